"""A net whose hidden channels changed places says what it said; what is not understood keeps its place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torchvision.models.resnet import BasicBlock

from tests.nets.thin import images, thin, thinned_
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build, initialise_
from ticketctl.nets.permutation import Group, Permutations, permutation_groups, permuted, permuted_mask
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.tweaks import skip

SHAPE = (3, 16, 16)
NAMES = [name for name in plugins("nets") if ":" not in name]


def options(name: str) -> dict[str, Any]:
    narrow = ("mobilenet", "vgg", "resnet18", "resnet34", "resnet50", "wrn-28")
    return {} if name == "lenet-300-100" else {"width": Fraction(1, 8 if name.startswith(narrow) else 4)}


def shuffles(groups: Sequence[Group], seed: int = 7) -> Permutations:
    return {each.name: np.random.default_rng(seed).permutation(each.size) for each in groups}


def exchanged(net: nn.Module, groups: Sequence[Group], perms: Permutations) -> nn.Module:
    other = copy.deepcopy(net)
    other.load_state_dict(permuted(net.state_dict(), groups, perms))
    return other


@torch.no_grad()
def same(net: nn.Module, other: nn.Module, shape: tuple[int, int, int] = SHAPE) -> None:
    """Logits within 1e-5 of the largest in float32, within 1e-9 in float64."""
    x = images(4, shape, seed=2)
    for dtype, within in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        was, now = net.to(dtype)(x.to(dtype)), other.to(dtype)(x.to(dtype))
        assert was.std(0).max() > 1e-4, "these logits do not depend on the image: nothing is shown"
        assert float((was - now).abs().max()) <= within * max(1.0, float(was.abs().max()))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_family_permuted_says_the_same_and_its_mask_follows(name: str) -> None:
    net = thin(name, 0.5, **options(name))
    groups = permutation_groups(net, SHAPE)
    perms = shuffles(groups)
    other = exchanged(net, groups, perms)
    layers = [key for key, value in net.state_dict().items() if value.dim() > 1]
    mask = Mask({key: net.state_dict()[key] != 0 for key in layers})
    moved = permuted_mask(mask, groups, perms)
    assert moved.equal(Mask({key: other.state_dict()[key] != 0 for key in layers}))
    assert moved.layers() == mask.layers()
    assert not moved.equal(mask)
    same(net, other)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_all_hidden_channels_of_every_family_may_change_places(name: str) -> None:
    net = thin(name, 1.0, **options(name))
    moving: dict[tuple[str, int], list[int]] = {}
    for group in permutation_groups(net, SHAPE):
        for place in group.places:
            moving.setdefault((place.tensor, place.axis), []).extend(place.channels)
    state = net.state_dict()
    wide = {(key, axis) for key, value in state.items() for axis in range(min(2, value.dim()))}
    first, last = next(iter(state)), next(key for key in reversed(state) if key.endswith(".weight"))
    depthwise = {(key, 1) for key, value in state.items() if value.dim() == 4 and value.shape[1] == 1}
    fixed = {(first, 1), (last, 0), (last.replace("weight", "bias"), 0)} | depthwise
    assert moving.keys() == wide - fixed
    for (key, axis), channels in moving.items():
        assert state[key].shape[axis] % len(channels) == 0
        assert sorted(channels) == list(range(len(channels)))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("lenet-300-100", [300, 100]),
        ("vgg11", [8, 16, 32, 32, 64, 64, 64, 64]),
        # the stem and stage 1, then 3 insides of blocks; stages 2 and 3 with 3 insides each
        ("resnet20", [16, 16, 16, 16, 32, 32, 32, 32, 64, 64, 64, 64]),
        # shortcuts that pad: stage 2 holds the channels of stage 1 and 16 of its own, stage 3 those and 32
        ("resnet20s", [16, 16, 16, 16, 32, 16, 32, 32, 64, 32, 64, 64]),
    ],
)
def test_groups_are_those_of_the_architecture(name: str, sizes: list[int]) -> None:
    net = build(name, shape=SHAPE, classes=10, **(options(name) if name == "vgg11" else {}))
    before = copy.deepcopy(net.state_dict())
    assert [group.size for group in permutation_groups(net, SHAPE)] == sizes
    assert net.training, "its mode stays"
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_norms_follow_and_statistics_are_told_from_what_is_trained() -> None:
    groups = permutation_groups(build("resnet20", shape=SHAPE, classes=10), SHAPE)
    inside = {(place.tensor, place.axis, place.trained) for place in groups[1].places}
    assert groups[1].name == "layer1.0.conv1"
    assert inside == {
        ("layer1.0.conv1.weight", 0, True), ("layer1.0.bn1.weight", 0, True), ("layer1.0.bn1.bias", 0, True),
        ("layer1.0.bn1.running_mean", 0, False), ("layer1.0.bn1.running_var", 0, False),
        ("layer1.0.conv2.weight", 1, True),
    }  # fmt: skip
    assert [place.tensor for place in groups[1].readers] == ["layer1.0.conv2.weight"]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["identity", "identity-bn", "proj"])
@pytest.mark.parametrize("mismatch", ["none", "pad"])
@pytest.mark.parametrize("name", ["resnet20s", "vgg11", "mobilenet"])
def test_nets_with_branches_added_say_the_same(name: str, kind: Any, mismatch: Any) -> None:
    if kind == "proj" and mismatch == "pad":
        pytest.skip("proj has a branch everywhere")
    net = build(name, shape=SHAPE, classes=10, **options(name))
    initialise_(net, "kaiming-normal", Seeds(0))
    params = skip.Params(kind=kind, mismatch=mismatch, alpha=0.5)
    skip.tweak(None, params=params).model(net, Seeds(1))  # type: ignore[arg-type]  # it wants no kit
    thinned_(net, 1.0, SHAPE)
    groups = permutation_groups(net, SHAPE)
    assert groups
    same(net, exchanged(net, groups, shuffles(groups)))


@pytest.mark.parametrize("shift", [2, 0, -1, -3])
def test_padding_and_cutting_channels_ties_those_that_pass(shift: int) -> None:
    class Padding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 1), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.one(x).relu()
            x = (F.pad(x, (0, 0, 0, 0, shift, 2 - shift), value=0.5) + self.two(x)).relu()
            return self.head(x.mean((2, 3)))

    net = thinned_(Padding(), 1.0, SHAPE)
    groups = permutation_groups(net, SHAPE)
    through = min(6, 6 + shift)
    assert sorted(group.size for group in groups) == sorted(
        size for size in (through, 6 - through, 8 - through) if size > 1
    )
    assert len({group.name for group in groups}) == len(groups)
    same(net, exchanged(net, groups, shuffles(groups)))


class Odd(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.between = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), between
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.between(self.one(x)).relu()).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _overwrite(x: Tensor) -> Tensor:
    x[:, 2] = 0  # nothing comes out of this call, so nobody sees it
    return x


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x.flip(1),
        lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
        lambda x: x.view(len(x), 2, 4, 14, 14).transpose(1, 2).flatten(1, 2),
        lambda x: F.group_norm(x, 2),
        lambda x: x * torch.arange(8.0).view(1, 8, 1, 1),
        lambda x: F.pad(x, (0, 0, 0, 0, 1, 1), mode="circular")[:, :8],
        _overwrite,
    ],
    ids=["flip", "cat", "shuffle", "group-norm", "constant", "circular", "overwrite"],
)
def test_what_is_not_understood_keeps_its_channels(between: Callable[[Tensor], Tensor]) -> None:
    net = thinned_(Odd(between), 1.0, SHAPE)
    assert [group.name for group in permutation_groups(net, SHAPE)] == ["two"]


def _tied(net: Odd) -> None:
    net.two.bias = net.one.bias


def _named_twice(net: Odd) -> None:
    net.again = net.one


def _grouped(net: Odd) -> None:
    net.two = nn.Conv2d(8, 8, 3, groups=2)


def _computed(net: Odd) -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    parametrize.register_parametrization(net.one, "bias", Double())


@pytest.mark.parametrize(
    ("change", "left"),
    [(_tied, []), (_named_twice, ["two"]), (_grouped, []), (_computed, ["two"])],
    ids=["bias of two layers", "layer of two names", "grouped convolution", "computed bias"],
)
def test_tensors_that_cannot_follow_fix_their_channels(
    change: Callable[[Odd], None], left: list[str]
) -> None:
    net = Odd(lambda x: x)
    change(net)
    thinned_(net, 1.0, SHAPE)
    groups = permutation_groups(net, SHAPE)
    assert [group.name for group in groups] == left
    same(net, exchanged(net, groups, shuffles(groups)))


def test_torchvisions_resnet_blocks_say_the_same() -> None:
    shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2), nn.BatchNorm2d(16))
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), BasicBlock(8, 8), BasicBlock(8, 16, 2, shortcut), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip
    thinned_(net, 1.0, SHAPE)
    groups = permutation_groups(net, SHAPE)
    assert [group.size for group in groups] == [8, 8, 16, 16]
    same(net, exchanged(net, groups, shuffles(groups)))


@pytest.mark.long
@pytest.mark.parametrize(("name", "count"), [("squeezenet1_1", 9), ("mobilenet_v3_small", 27)])
def test_torchvisions_nets_say_the_same(name: str, count: int) -> None:
    shape = (3, 32, 32)
    net = build(f"torchvision:{name}", shape=shape, classes=10).eval()
    initialise_(net, "kaiming-normal", Seeds(0))
    groups = permutation_groups(net, shape)
    assert len(groups) == count
    same(net, exchanged(net, groups, shuffles(groups)), shape)


def test_a_transformer_is_not_understood_and_stays() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    net = nn.Sequential(nn.Flatten(2), nn.Linear(256, 8), layer, nn.Flatten(), nn.Linear(24, 10))
    assert permutation_groups(net, SHAPE) == ()


def test_a_unit_comes_to_the_place_that_names_it_and_the_inverse_brings_it_back() -> None:
    net = thin("vgg11", 1.0, width=Fraction(1, 8))
    state, groups = net.state_dict(), permutation_groups(net, SHAPE)
    perms = shuffles(groups)
    moved = permuted(state, groups, perms)
    order = perms["features.0"]
    assert torch.equal(moved["features.0.weight"], state["features.0.weight"][order])
    back = permuted(moved, groups, {name: np.argsort(order) for name, order in perms.items()})
    assert all(torch.equal(value, state[key]) for key, value in back.items())
    assert all(torch.equal(value, state[key]) for key, value in permuted(state, groups, {}).items())


def test_a_flattened_image_moves_by_whole_channels() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(7), nn.Flatten(), nn.Linear(16, 10)
    ).double()
    groups = permutation_groups(net, SHAPE)
    (group,) = groups
    assert [place.repeat for place in group.places] == [1, 1, 4]
    moved = permuted({"4.weight": torch.arange(16.0)[None]}, groups, {"0": np.array([2, 0, 1, 3])})
    assert moved["4.weight"].tolist() == [[8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15]]
    same(net, exchanged(net, groups, shuffles(groups)))


@pytest.mark.parametrize(
    "perms", [{"fc1": np.zeros(300, int)}, {"fc1": np.arange(5)}, {"fc3": np.arange(10)}]
)
def test_what_is_no_permutation_of_a_group_is_refused(perms: Permutations) -> None:
    net = build("lenet-300-100", shape=SHAPE, classes=10)
    with pytest.raises(ValueError, match=next(iter(perms))):
        permuted(net.state_dict(), permutation_groups(net, SHAPE), perms)


@pytest.mark.gpu
def test_on_cuda_groups_are_the_same_and_tensors_stay_there() -> None:
    net = thin("mobilenet", 1.0, width=Fraction(1, 8))
    here = permutation_groups(net, SHAPE)
    there = permutation_groups(net.cuda(), SHAPE)
    assert here == there
    moved = permuted(net.state_dict(), there, shuffles(there))
    assert all(value.is_cuda for value in moved.values())
    same(net.cpu(), exchanged(net, there, shuffles(there)))
