"""Nets: structure, forward passes, and that building them touches nothing global."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ticketctl.errors import UsageError
from ticketctl.nets.build import build, layout
from ticketctl.nets.initialise import initialise_
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds

NAMES = [
    "lenet-300-100",
    "resnet20s",
    "resnet20",
    "resnet32",
    "resnet32-2x",
    "resnet18",
    "resnet34",
    "resnet50",
    "vgg11",
    "vgg16",
    "vgg19",
    "wrn-28-10",
    "wrn-22-2",
    "mobilenet",
]


def test_listing_the_nets_reads_them_without_importing_torch() -> None:
    code = "import sys; from ticketctl.plugins import plugins; print(*plugins('nets'), *sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(NAMES) <= set(listed.split())
    assert "torch" not in listed.split()
    assert all(plugins("nets")[name].help for name in NAMES)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 64, 64), (3, 33, 47)])
def test_any_size_and_number_of_channels_gives_logits(name: str, shape: tuple[int, int, int]) -> None:
    if name.startswith("vgg") and min(shape[1:]) < 16:
        with pytest.raises(
            UsageError, match=f"{name} halves images four times: 8x8 is too small, 16x16 the least"
        ):
            layout(name, shape=shape, classes=7)
        return
    model = layout(name, shape=shape, classes=7)
    assert model(torch.zeros(2, *shape, device="meta")).shape == (2, 7)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_activations_are_modules_of_their_own_and_not_in_place(name: str) -> None:
    model = layout(name, shape=(3, 32, 32), classes=10)
    calls: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(lambda m, i, o: calls.append(m))
    model(torch.zeros(2, 3, 32, 32, device="meta"))
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    assert len(calls) == len(set(calls)) == len(relus)
    # One ReLU per weighted layer of the trunk but the last: swapping them all leaves none behind.
    trunk = [n for n, p in model.named_parameters() if p.ndim > 1 and "downsample" not in n]
    assert len(relus) == len(trunk) - 1


def test_resnet20s_pads_the_shortcut_with_zero_channels_on_both_sides() -> None:
    model = build("resnet20s", shape=(3, 32, 32), classes=10)
    x = torch.arange(2 * 16 * 6 * 6.0).reshape(2, 16, 6, 6)
    expected = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 32 // 4, 32 // 4), "constant", 0)
    assert torch.equal(model.layer2[0].downsample(x), expected)
    assert not any("downsample" in name for name in model.state_dict())
    assert torch.equal(model.layer1[0].downsample(x), x)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_weights_give_torchvisions_logits(name: str) -> None:
    import torchvision

    ours = initialise_(build(name, shape=(3, 64, 64), classes=5, stem="imagenet"), "torch", Seeds(0)).eval()
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, num_classes=5)
    theirs = theirs.to_empty(device="cpu").eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_the_cifar_stem_keeps_the_size() -> None:
    model = layout("resnet18", shape=(3, 32, 32), classes=10)
    assert model.conv1.weight.shape == (64, 3, 3, 3)
    sizes: list[torch.Size] = []
    model.layer4.register_forward_hook(lambda m, i, o: sizes.append(o.shape))
    model(torch.zeros(1, 3, 32, 32, device="meta"))
    assert sizes == [torch.Size([1, 512, 4, 4])]


def test_building_and_initialising_leave_the_global_random_state_alone() -> None:
    import numpy as np

    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    for name in ("lenet-300-100", "resnet20"):
        initialise_(build(name, shape=(3, 32, 32), classes=10), "torch", Seeds(0))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_a_built_net_is_on_the_cpu_zero_and_trainable() -> None:
    model = build("resnet20", shape=(3, 32, 32), classes=10)
    for tensor in model.state_dict().values():
        assert tensor.device.type == "cpu"
        assert not tensor.any()
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert model.training


@pytest.mark.parametrize(("size", "pool"), [(32, 2), (64, 4)])
def test_the_mean_at_the_end_of_vgg_is_the_papers_pooling(size: int, pool: int) -> None:
    model = initialise_(build("vgg11", shape=(3, size, size), classes=5), "kaiming-normal", Seeds(0)).eval()
    x = torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size)
    with torch.no_grad():
        theirs = model.fc(F.avg_pool2d(model.features(x), pool).flatten(1))
        torch.testing.assert_close(model(x), theirs)


def test_a_wide_block_activates_first_and_only_a_convolved_shortcut_sees_it() -> None:
    """Zagoruyko's functional form: o = relu(bn(x)); z = conv1(relu(bn(conv0(o)))); z + convdim(o) or z + x."""
    stage = initialise_(build("wrn-22-2", shape=(3, 8, 8), classes=5), "openlth", Seeds(0)).eval().layer1
    x = torch.linspace(-1, 1, 16 * 64).reshape(1, 16, 8, 8)
    for block in (stage[0], stage[1]):
        unit = 1 / (1 + 1e-5) ** 0.5  # BatchNorm in evaluation, statistics 0 and 1
        o = torch.relu(x * unit * block.bn1.weight[:, None, None])
        z = torch.relu(F.conv2d(o, block.conv1.weight, padding=1) * unit * block.bn2.weight[:, None, None])
        z = F.conv2d(z, block.conv2.weight, padding=1)
        expected = z + (F.conv2d(o, block.downsample.weight) if block is stage[0] else x)
        with torch.no_grad():
            torch.testing.assert_close(block(x), expected)
            x = block(x)


def test_options_that_a_net_does_not_have_are_refused() -> None:
    with pytest.raises(UsageError, match="resnet18 has no option conv_bias"):
        build("resnet18", shape=(3, 32, 32), classes=10, conv_bias=True)
    with pytest.raises(UsageError, match=r"wrn-22-2 has 4 of them, usually 16, 32, 64, 128, not 2"):
        build("wrn-22-2", shape=(3, 32, 32), classes=10, widths=(4, 4))
    with pytest.raises(UsageError, match="exclude each other"):
        build("lenet-300-100", shape=(1, 8, 8), classes=10, widths=(4, 4), width=Fraction(1, 2))


def test_unknown_names_and_stems_say_the_near_miss() -> None:
    with pytest.raises(UsageError, match="no model named 'resnet19'; did you mean 'resnet18'"):
        build("resnet19", shape=(3, 32, 32), classes=10)
    with pytest.raises(UsageError, match="no stem named 'imagnet'; did you mean 'imagenet'"):
        build("resnet18", shape=(3, 32, 32), classes=10, stem="imagnet")
