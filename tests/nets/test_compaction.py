"""A compacted net says what the net says, is as small as it can be, and leaves the net alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.nets.thin import FAMILIES, QUARTER, images, thin, thinned_
from ticketctl.errors import UsageError
from ticketctl.nets.build import build, initialise_
from ticketctl.nets.compact import Picking, compact, difference
from ticketctl.nets.compact_sparse import sparse
from ticketctl.nets.describe import macs, parameter_count
from ticketctl.seeds import Seeds
from ticketctl.tweaks import skip

SHAPE = (3, 16, 16)


@torch.no_grad()
def same(net: nn.Module, other: nn.Module, shape: tuple[int, int, int] = SHAPE) -> None:
    """Logits within 1e-5 of each other, and equal classes, on images that tell classes apart."""
    x = images(64, shape, seed=2)
    was, now = net(x), other(x)
    assert was.std(0).max() > 1e-3, "these logits do not depend on the image: nothing is shown"
    assert float((was - now).abs().max()) <= 1e-5 * max(1.0, float(was.abs().max()))
    assert torch.equal(was.argmax(1), now.argmax(1))


@pytest.mark.long
@pytest.mark.parametrize(("name", "density", "options"), FAMILIES, ids=[one[0] for one in FAMILIES])
def test_every_family_says_the_same_with_fewer_channels(
    name: str, density: float, options: dict[str, Any]
) -> None:
    net = thin(name, density, **options)
    before = copy.deepcopy(net.state_dict())
    found = compact(net, SHAPE)
    same(net, found.net)
    assert parameter_count(found.net) < parameter_count(net)
    assert macs(found.net, SHAPE) < macs(net, SHAPE)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["identity", "identity-bn", "proj"])
@pytest.mark.parametrize("mismatch", ["none", "pad"])
@pytest.mark.parametrize("name", ["resnet20s", "vgg11", "mobilenet"])
def test_nets_with_branches_added_say_the_same(name: str, kind: Any, mismatch: Any) -> None:
    if kind == "proj" and mismatch == "pad":
        pytest.skip("proj has a branch everywhere")
    net = build(name, shape=SHAPE, classes=10, **({} if name == "resnet20s" else QUARTER))
    initialise_(net, "kaiming-normal", Seeds(0))
    params = skip.Params(kind=kind, mismatch=mismatch, alpha=0.5)
    skip.tweak(None, params=params).model(net, Seeds(1))  # type: ignore[arg-type]  # it wants no kit
    thinned_(net, 0.5 if name == "mobilenet" else 0.1, SHAPE)
    same(net, compact(net, SHAPE).net)


def test_a_fading_branch_that_has_gone_leaves_the_plain_net() -> None:
    net = build("vgg11", shape=SHAPE, classes=10, **QUARTER)
    initialise_(net, "kaiming-normal", Seeds(0))
    skip.tweak(None, params=skip.Params(fade=1)).model(net, Seeds(1))
    thinned_(net, 0.02, SHAPE)
    net.get_buffer("tweak.skip.left").zero_()
    same(net, compact(net, SHAPE).net)


@pytest.mark.parametrize("act", [nn.ReLU, nn.SiLU, nn.Mish, nn.GELU, nn.Sigmoid, nn.Tanh])
def test_constants_pass_every_activation_and_end_in_a_bias(act: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), act(), nn.Conv2d(8, 8, 3, bias=False), act(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 10),
    )  # fmt: skip
    thinned_(net, 1.0, SHAPE)
    with torch.no_grad():
        net[0].weight[:5] = 0
        net[1].weight[5] = 0
    found = compact(net, SHAPE).net
    same(net, found)
    assert found[0].weight.shape[0] == 2, "five channels read nothing, one has scale 0"
    assert found[3].bias is not None or act is nn.ReLU


def test_before_zero_padding_only_a_channel_of_zeros_goes() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 10)
    )  # fmt: skip
    thinned_(net, 1.0, SHAPE)
    with torch.no_grad():
        net[0].weight[:2] = 0
        net[0].bias[:2] = torch.tensor([0.7, -0.7])
    found = compact(net, SHAPE).net
    same(net, found)
    assert torch.equal(found[0].bias, net[0].bias[[0, 2, 3]])


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_channels_stay_if_and_only_if_stilling_them_is_seen_in_the_logits(seed: int, padding: int) -> None:
    torch_numbers = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 7, 3, padding=padding), nn.Tanh(), nn.Conv2d(7, 7, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_numbers))
        for layer in (net[0], net[2], net[6], net[8]):
            keep = torch.rand(layer.weight.shape[:2], generator=torch_numbers) < 0.25
            layer.weight.mul_(keep.view(*keep.shape, *[1] * (layer.weight.ndim - 2)))
    x = torch.randn(16, 2, 7, 7, generator=torch_numbers)
    found = compact(net.eval(), (2, 7, 7))
    for place in (1, 3, 7):  # an activation: each of its channels held at what it is on average
        seen = [_is_seen(net, place, channel, x) for channel in range(net[place](net[:place](x)).shape[1])]
        kept = found.net[place - 1].weight.shape[0]
        assert kept == max(1, sum(seen))


@torch.no_grad()
def _is_seen(net: nn.Sequential, place: int, channel: int, x: Tensor) -> bool:
    hidden = net[: place + 1](x)
    held = hidden.clone()
    held[:, channel] = hidden[:, channel].mean()
    return float((net[place + 1 :](held) - net[place + 1 :](hidden)).abs().max()) > 1e-6


def test_pixels_that_nothing_reads_are_not_picked() -> None:
    net = thin("lenet-300-100", 0.01, (1, 28, 28))
    found = compact(net, (1, 28, 28)).net
    assert isinstance(found.fc1, Picking)
    read = (net.fc1.weight[:, :] != 0).any(0)
    assert 0 < len(found.fc1.picked) <= int(read.sum())
    same(net, found, (1, 28, 28))


def test_a_dense_net_comes_back_as_it_is() -> None:
    net = thin("resnet20s", 1.0)
    found = compact(net, SHAPE)
    assert found.cuts == {}
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in found.net.state_dict().items())


def test_a_net_that_is_cut_everywhere_becomes_its_last_bias() -> None:
    net = thin("lenet-300-100", 1.0)
    with torch.no_grad():
        net.fc1.weight.zero_()
    found = compact(net, SHAPE).net
    x = images(8, SHAPE)
    assert difference(net(x), found(x)) < 1e-6
    assert parameter_count(found) < 40


class Odd(nn.Module):
    """Two convolutions with something between them, and a layer that runs twice."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.between = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), between
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.two(self.between(self.one(x)).relu()).relu())
        logits: Tensor = self.head(x.amax((2, 3)))
        return logits


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x.flip(1),
        lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
        lambda x: x.view(len(x), 2, 4, 14, 14).transpose(1, 2).flatten(1, 2),
        lambda x: 9 * x.softmax(1),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: x + torch.arange(8.0).view(1, 8, 1, 1),
    ],
    ids=["flip", "cat", "shuffle", "softmax", "layer-norm", "constant"],
)
def test_what_is_not_understood_keeps_its_channels(between: Callable[[Tensor], Tensor]) -> None:
    net = thinned_(Odd(between), 1.0, SHAPE)
    with torch.no_grad():
        net.one.weight[:3] = 0
        net.two.weight[:, 5:] = 0
        net.two.weight[5:] = 0
        net.head.weight[:, 5:] = 0
    found = compact(net, SHAPE)
    same(net, found.net)
    assert found.net.one.weight.shape[0] == 8


class Counting(nn.Module):
    """A net that writes down how many channels it has, where no operation shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        if x.shape[1] != 8:
            raise RuntimeError("eight channels are wanted")
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_a_net_that_does_not_run_with_fewer_channels_is_refused_in_one_line() -> None:
    net = thinned_(Counting(), 1.0, SHAPE)
    with torch.no_grad():
        net.head.weight[:, 0] = 0
    with pytest.raises(UsageError, match="not compacted: eight channels are wanted"):
        compact(net, SHAPE)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_torchvisions_nets_say_the_same(name: str) -> None:
    shape = (3, 64, 64)
    net = build(f"torchvision:{name}", shape=shape, classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    thinned_(net, 0.1, shape)
    found = compact(net, shape)
    with torch.no_grad():
        x = images(4, shape)
        assert difference(net(x), found.net(x)) <= 1e-5
    assert parameter_count(found.net) < parameter_count(net)


def test_a_logit_that_is_no_number_hides_no_difference_of_the_others() -> None:
    inf, nan = math.inf, math.nan
    was = torch.tensor([[inf, 1.0, 2.0], [nan, -inf, 4.0]])
    assert difference(was, was.clone()) == 0
    far = was.clone()
    far[0, 1] = 3
    assert difference(was, far) == 0.5
    for place, value in (((0, 0), -inf), ((0, 0), 7.0), ((1, 0), inf), ((1, 1), nan), ((0, 1), inf)):
        other = was.clone()
        other[place] = value
        assert difference(was, other) == inf
        assert difference(other, was) == inf
    assert difference(was[:1, :1], was[:1, :1]) == 0
    assert difference(was, was[:1]) == inf


def test_sparse_products_say_the_same_and_other_nets_are_refused() -> None:
    net = thin("lenet-300-100", 0.05, (1, 28, 28))
    same(net, sparse(net), (1, 28, 28))
    with pytest.raises(UsageError, match="convolutions"):
        sparse(thin("vgg11", 0.5, **QUARTER))


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "density"), [("resnet20s", 0.05), ("mobilenet", 0.1)])
def test_on_cuda_the_same_channels_go(name: str, density: float) -> None:
    net = thin(name, density)
    here, there = compact(net, SHAPE), compact(net.cuda(), SHAPE)
    assert here.cuts.keys() == there.cuts.keys()
    assert all(torch.equal(here.cuts[path].rows, cut.rows) for path, cut in there.cuts.items())
    same(here.net, there.net.cpu())
