"""Initial weights against torch's own initialisers (their moments and bounds), and against frozen numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from ticketctl.errors import UsageError
from ticketctl.nets.build import build
from ticketctl.nets.initialise import SCHEMES, initialise_
from ticketctl.seeds import Seeds


def net(scheme: str, seed: int = 0, name: str = "resnet20", classes: int = 10) -> nn.Module:
    return initialise_(build(name, shape=(3, 32, 32), classes=classes), scheme, Seeds(seed))


def wide() -> nn.Module:
    return nn.Sequential(nn.Conv2d(32, 96, 3, groups=2), nn.BatchNorm2d(96), nn.Flatten(), nn.Linear(96, 700))


# scheme -> what torch would call, with the fans of each layer
TRUTH = {
    "torch": lambda w, g: nn.init.kaiming_uniform_(w, a=math.sqrt(5), generator=g),
    "kaiming-normal": lambda w, g: nn.init.kaiming_normal_(
        w, mode="fan_in", nonlinearity="relu", generator=g
    ),
    "kaiming-normal-fan-out": lambda w, g: (
        nn.init.kaiming_normal_(w, mode="fan_out", generator=g)
        if w.ndim == 4
        else w.normal_(0, 0.01, generator=g)
    ),
    "xavier-normal": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "openlth": lambda w, g: nn.init.kaiming_normal_(w, mode="fan_in", nonlinearity="relu", generator=g),
}


def test_every_scheme_has_a_truth_here() -> None:
    assert set(TRUTH) == set(SCHEMES)


@pytest.mark.parametrize("scheme", TRUTH)
@pytest.mark.parametrize("layer", [0, 3], ids=["conv", "linear"])
def test_weights_are_distributed_as_torchs_initialiser_would(scheme: str, layer: int) -> None:
    ours = initialise_(wide(), scheme, Seeds(0))[layer].weight.detach().double().flatten()
    theirs = wide()[layer].weight.detach().clone()
    with torch.no_grad():
        theirs = TRUTH[scheme](theirs, torch.Generator().manual_seed(1)).double().flatten()
    n = ours.numel()
    assert abs(ours.mean()) < 5 * theirs.std() / math.sqrt(n)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=8 / math.sqrt(n))
    # Kolmogorov and Smirnov's distance of two samples; 1.95 is its 0.1 % point
    grid = torch.sort(torch.cat([ours, theirs])).values
    steps = [torch.searchsorted(torch.sort(x).values, grid, right=True) / n for x in (ours, theirs)]
    assert (steps[0] - steps[1]).abs().max() < 1.95 * math.sqrt(2 / n)


def test_torchs_default_keeps_its_bounds_in_weights_and_biases() -> None:
    model = initialise_(wide(), "torch", Seeds(0))
    for layer, fan in ((model[0], 16 * 9), (model[3], 96)):
        for tensor in (layer.weight, layer.bias):
            assert 0.95 / math.sqrt(fan) < tensor.abs().max() <= 1 / math.sqrt(fan)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_batchnorm_biases_and_buffers_start_as_the_scheme_says(scheme: str) -> None:
    model = initialise_(wide(), scheme, Seeds(0))
    norm = model[1]
    assert not norm.bias.any()
    assert not norm.running_mean.any()
    assert (norm.running_var == 1).all()
    assert norm.num_batches_tracked == 0
    if scheme == "openlth":
        assert 0 <= norm.weight.min() < 0.1 < 0.9 < norm.weight.max() < 1
    else:
        assert (norm.weight == 1).all()
    assert bool(model[3].bias.any()) == (scheme in ("torch", "openlth"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_bits_whatever_lay_there(scheme: str) -> None:
    one, two = net(scheme), net(scheme)
    with torch.no_grad():
        for tensor in two.state_dict().values():
            tensor.fill_(7)
    initialise_(two, scheme, Seeds(0))
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


def test_other_seeds_give_other_weights_and_the_init_override_is_the_one_that_counts() -> None:
    one = net("kaiming-normal", 0).conv1.weight
    assert not torch.equal(one, net("kaiming-normal", 1).conv1.weight)
    model = build("resnet20", shape=(3, 32, 32), classes=10)
    assert torch.equal(one, initialise_(model, "kaiming-normal", Seeds(9, {"init": 0})).conv1.weight)
    assert torch.equal(one, initialise_(model, "kaiming-normal", Seeds(0, {"order": 4})).conv1.weight)


def test_a_layer_more_or_another_head_changes_no_other_layer() -> None:
    small, deep = net("openlth").state_dict(), net("openlth", name="resnet32").state_dict()
    assert set(small) < set(deep)
    assert all(torch.equal(value, deep[name]) for name, value in small.items())
    other = net("openlth", classes=100).state_dict()
    assert {name for name in small if small[name].shape != other[name].shape} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(small[name], other[name]) for name in small if "fc" not in name)


def test_no_two_tensors_share_their_numbers() -> None:
    weights = [p.flatten()[:4].tolist() for n, p in net("kaiming-normal").named_parameters() if p.ndim > 1]
    scaled = {tuple(round(v / w[0], 6) for v in w) for w in weights}
    assert len(scaled) == len(weights)


def test_memory_layout_and_dtype_do_not_change_the_numbers() -> None:
    plain = net("kaiming-normal")
    other = build("resnet20", shape=(3, 32, 32), classes=10).to(memory_format=torch.channels_last)
    initialise_(other, "kaiming-normal", Seeds(0))
    assert other.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))
    double = initialise_(
        build("resnet20", shape=(3, 32, 32), classes=10).double(), "kaiming-normal", Seeds(0)
    )
    assert all(
        torch.equal(a, b.float()) for a, b in zip(plain.parameters(), double.parameters(), strict=True)
    )


def test_the_numbers_are_frozen() -> None:
    """A change here changes every initial weight ever published by seed."""
    layer = nn.Linear(3, 1)
    initialise_(layer, "torch", Seeds(0))
    assert [*layer.weight[0].tolist(), layer.bias.item()] == pytest.approx(
        [-0.03107101, -0.30411592, 0.24671642, -0.2398546], abs=1e-7
    )
    initialise_(layer, "kaiming-normal", Seeds(0))
    assert layer.weight[0].tolist() == pytest.approx([-0.20919891, 0.43235159, -0.90030044], abs=1e-7)


def test_normals_are_box_and_mullers_transform_of_the_streams_words() -> None:
    layer = initialise_(nn.Linear(2, 2, bias=False), "kaiming-normal", Seeds(3))
    radii, angles = [], []
    for place, word in enumerate(Seeds(3).raw("init", "weight", count=4).tolist()):
        uniform = (word >> 11) / 2**53
        (radii if place < 2 else angles).append(uniform)
    pairs = [(math.sqrt(-2 * math.log(1 - r)), 2 * math.pi * a) for r, a in zip(radii, angles, strict=True)]
    expected = [r * math.cos(a) for r, a in pairs] + [r * math.sin(a) for r, a in pairs]
    assert layer.weight.flatten().tolist() == pytest.approx(expected, rel=1e-6)  # sqrt(2 / fan_in) = 1


def test_an_unknown_scheme_says_the_near_miss() -> None:
    with pytest.raises(UsageError, match="no initialisation named 'kaiming'; did you mean 'kaiming-normal'"):
        net("kaiming")


class Odd(nn.Module):
    """What no scheme speaks about."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.gamma = nn.Parameter(torch.full((4,), 1e-6))
        self.slope = nn.PReLU()
        self.positions = nn.Parameter(torch.arange(4000.0).reshape(1, 1000, 4))
        self.waves = nn.Parameter(torch.arange(4.0).sin(), requires_grad=False)
        self.register_buffer("table", torch.arange(6).reshape(2, 3))
        self.words = nn.Embedding(30, 4)
        self.attend = nn.MultiheadAttention(64, 2)
        self.group = nn.GroupNorm(2, 4)
        self.layer = nn.LayerNorm(4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_no_scheme_speaks_about_follows_the_documented_rule(scheme: str) -> None:
    fresh, net = Odd(), Odd()
    with torch.no_grad():
        net.group.weight.fill_(7)
        net.layer.bias.fill_(7)
        net.words.weight.mul_(9)
    initialise_(net, scheme, Seeds(0))
    for kept in ("token", "gamma", "slope.weight", "waves", "table"):
        assert torch.equal(net.state_dict()[kept], fresh.state_dict()[kept])
    for drawn in (net.positions, net.words.weight):
        assert drawn.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * drawn.numel()))
    assert not net.layer.bias.any()
    assert not net.group.bias.any()
    if scheme == "openlth":
        assert 0 <= net.group.weight.min() < net.group.weight.max() < 1
    else:
        assert (net.group.weight == 1).all()
        assert (net.layer.weight == 1).all()
    like = initialise_(nn.ModuleDict({"attend": nn.Linear(64, 192)}), scheme, Seeds(0))["attend"].weight
    packed = net.attend.in_proj_weight
    assert packed.std().item() == pytest.approx(like.std().item(), rel=0.05)
    again = initialise_(Odd(), scheme, Seeds(0)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 64, 3, groups=64),
        nn.ConvTranspose2d(32, 48, 3),
        nn.Conv1d(8, 160, 3),
        nn.Conv3d(4, 32, 3),
    ],
    ids=["depthwise", "transposed", "1d", "3d"],
)
def test_fans_of_every_convolution_are_torchs(scheme: str, layer: nn.Module) -> None:
    ours = initialise_(nn.Sequential(layer), scheme, Seeds(0))[0].weight.detach()
    with torch.no_grad():
        # fan-out of convolutions in one and three dimensions: TRUTH knows two
        make = (
            TRUTH[scheme]
            if scheme != "kaiming-normal-fan-out"
            else (lambda w, g: nn.init.kaiming_normal_(w, mode="fan_out", generator=g))
        )
        theirs = make(ours.clone(), torch.Generator().manual_seed(1))
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=12 / math.sqrt(ours.numel()))


def test_a_shared_weight_gets_the_numbers_of_its_first_name() -> None:
    alone = initialise_(nn.Sequential(nn.Linear(3, 3)), "torch", Seeds(0))[0].weight
    pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    pair[1].weight = pair[0].weight
    assert torch.equal(initialise_(pair, "torch", Seeds(0))[0].weight, alone)


@pytest.mark.parametrize(
    "normed", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_a_weight_computed_from_others_is_refused_by_name(normed: Any) -> None:
    with pytest.raises(UsageError, match=r"^0\.weight is computed from other parameters"):
        initialise_(nn.Sequential(normed(nn.Linear(3, 2))), "torch", Seeds(0))
