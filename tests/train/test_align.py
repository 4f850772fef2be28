"""Alignment finds planted permutations, never makes nets less alike, and agrees with trying all orders."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.nets.thin import images, thin, thinned_
from ticketctl.errors import DivergedError, MissingExtraError, UsageError
from ticketctl.nets.build import build, initialise_
from ticketctl.nets.permutation import Group, Permutations, permutation_groups, permuted
from ticketctl.seeds import Seeds
from ticketctl.train.align import activation_matching, weight_matching
from ticketctl.train.state import State
from ticketctl.tweaks import skip

SHAPE = (3, 16, 16)
NETS: list[tuple[str, dict[str, Any]]] = [
    ("lenet-300-100", {}),
    ("vgg11", {"width": Fraction(1, 8)}),
    ("resnet20", {}),
    ("resnet20s", {}),
    ("mobilenet", {"width": Fraction(1, 4)}),
]
each = pytest.mark.parametrize(("name", "options"), NETS, ids=[name for name, _ in NETS])


def planted(groups: Sequence[Group]) -> Permutations:
    numbers = np.random.default_rng(3)
    return {group.name: numbers.permutation(group.size) for group in groups}


def exchanged(net: nn.Module, groups: Sequence[Group], perms: Permutations) -> nn.Module:
    other = copy.deepcopy(net)
    other.load_state_dict(permuted(net.state_dict(), groups, perms))
    return other


def other(net: nn.Module, seed: int = 5) -> nn.Module:
    """Another net of its kind."""
    found = copy.deepcopy(net)
    initialise_(found, "kaiming-normal", Seeds(seed))
    return found


def undone(found: Permutations, plant: Permutations) -> bool:
    """Whether the one takes the other back, unit by unit."""
    return all(np.array_equal(plant[name][order], np.arange(len(order))) for name, order in found.items())


def hidden(net: nn.Module) -> list[Tensor]:
    return [value for value in net.state_dict().values() if value.is_floating_point()]


@pytest.mark.long
@each
@pytest.mark.parametrize("density", [1.0, 0.5])
def test_a_planted_permutation_is_recovered_from_weights_and_nothing_is_between_the_nets(
    name: str, options: dict[str, Any], density: float
) -> None:
    net = thin(name, 1.0, **options)
    if density < 1:  # pruned at random, each unit keeping weights
        numbers = torch.Generator().manual_seed(0)
        for parameter in net.parameters():
            parameter.data *= torch.rand(parameter.shape, generator=numbers) < density
    groups = permutation_groups(net, SHAPE)
    plant = planted(groups)
    moved = exchanged(net, groups, plant)
    found = weight_matching(State.of(net, 0), State.of(moved, 0), groups, seeds=Seeds(0))
    assert undone(found.perms, plant)
    assert found.before < found.after
    assert found.sweeps < 100
    back = permuted(moved.state_dict(), groups, found.perms)
    assert all(torch.equal(value, back[key]) for key, value in net.state_dict().items())


@pytest.mark.long
@pytest.mark.parametrize(("name", "options"), NETS[:-1], ids=[name for name, _ in NETS[:-1]])
def test_a_planted_permutation_is_recovered_from_activations(name: str, options: dict[str, Any]) -> None:
    net = thin(name, 1.0, **options)
    groups = permutation_groups(net, SHAPE)
    plant = planted(groups)
    moved = exchanged(net, groups, plant)
    found = activation_matching(net, moved, images(96, SHAPE).split(40), groups)
    assert undone(found.perms, plant)
    assert found.before < found.after


def test_only_units_that_are_silent_on_all_images_are_not_recovered_from_activations() -> None:
    net = thin("mobilenet", 1.0, width=Fraction(1, 4))
    groups = permutation_groups(net, SHAPE)
    plant = planted(groups)
    x = [images(96, SHAPE)]
    found = activation_matching(net, exchanged(net, groups, plant), x, groups)
    units = sum(group.size for group in groups)
    wrong = sum(
        int((plant[name][order] != np.arange(len(order))).sum()) for name, order in found.perms.items()
    )
    voiced = activation_matching(net, net, x, groups).before
    assert found.after == pytest.approx(voiced, rel=1e-6)
    assert 0 < wrong <= round(units - voiced) < units / 10


@pytest.mark.parametrize("name", ["vgg11", "resnet20s"])
def test_a_plant_is_recovered_from_noisy_weights(name: str) -> None:
    net = thin(name, 1.0, width=Fraction(1, 2 if name == "resnet20s" else 8))
    groups = permutation_groups(net, SHAPE)
    plant = planted(groups)
    moved = exchanged(net, groups, plant)
    numbers = torch.Generator().manual_seed(1)
    for parameter in moved.parameters():
        parameter.data += 0.3 * parameter.data.std() * torch.randn(parameter.shape, generator=numbers)
    found = weight_matching(State.of(net, 0), State.of(moved, 0), groups, seeds=Seeds(0))
    assert undone(found.perms, plant)


def _product(net: nn.Module, tensors: dict[str, Tensor], groups: Sequence[Group]) -> float:
    names = {place.tensor for group in groups for place in group.places if place.trained}
    ours = net.state_dict()
    return sum(float((ours[name].double() * tensors[name].double()).sum()) for name in names)


def test_every_sweep_adds_to_the_objective_which_is_the_distance() -> None:
    net = thin("resnet20", 1.0, width=Fraction(1, 2))
    rival = other(net)
    groups = permutation_groups(net, SHAPE)
    a, b = State.of(net, 0), State.of(rival, 0)
    full = weight_matching(a, b, groups, seeds=Seeds(0))
    values = [full.before]
    for sweeps in range(1, full.sweeps + 1):
        found = weight_matching(a, b, groups, seeds=Seeds(0), sweeps=sweeps)
        assert found.sweeps == sweeps
        values.append(found.after)
    assert all(one < two for one, two in itertools.pairwise(values[:-1]))
    assert values[-1] == values[-2] == full.after, "the last sweep is the one in which none gained"
    for value, perms in ((full.before, {}), (full.after, full.perms)):
        assert value == pytest.approx(_product(net, permuted(b.weights, groups, perms), groups), rel=1e-9)
    names = [name for name, _ in net.named_parameters()]
    far, near = (
        sum(float((a.weights[name] - tensors[name]).double().square().sum()) for name in names)
        for tensors in (b.weights, permuted(b.weights, groups, full.perms))
    )
    assert far - near == pytest.approx(2 * (full.after - full.before), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_with_one_hidden_layer_no_order_of_five_units_is_better(seed: int) -> None:
    net = thinned_(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 10)), 1.0, (3, 2, 2))
    rival = other(net, seed)
    groups = permutation_groups(net, (3, 2, 2))
    found = weight_matching(State.of(net, 0), State.of(rival, 0), groups, seeds=Seeds(seed))
    tried = [
        _product(net, permuted(rival.state_dict(), groups, {"1": np.array(order)}), groups)
        for order in itertools.permutations(range(5))
    ]
    assert found.after == pytest.approx(max(tried), rel=1e-12)
    x = images(50, (3, 2, 2))
    said = [net[:3](x).detach().numpy(), rival[:3](x).detach().numpy()]
    correlations = np.corrcoef(*said, rowvar=False)[:5, 5:]  # numpy's, of all pairs
    best = max(correlations[range(5), order].sum() for order in itertools.permutations(range(5)))
    matched = activation_matching(net, rival, x.split(20), groups)
    assert matched.after == pytest.approx(best, rel=1e-6)
    assert matched.before == pytest.approx(correlations.trace(), rel=1e-6)


def test_no_random_order_is_better() -> None:
    net = thin("vgg11", 1.0, width=Fraction(1, 8))
    rival = other(net)
    groups = permutation_groups(net, SHAPE)
    found = weight_matching(State.of(net, 0), State.of(rival, 0), groups, seeds=Seeds(0))
    start = permuted(rival.state_dict(), groups, found.perms)
    numbers = np.random.default_rng(0)
    for group in groups:
        for _ in range(20):
            tried = permuted(start, groups, {group.name: numbers.permutation(group.size)})
            assert _product(net, tried, groups) <= found.after * (1 + 1e-9)


def test_where_one_group_is_on_both_axes_the_objective_still_never_falls() -> None:
    net = build("vgg11", shape=SHAPE, classes=10, width=Fraction(1, 8))
    initialise_(net, "kaiming-normal", Seeds(0))
    skip.tweak(None, params=skip.Params()).model(net, Seeds(1))  # type: ignore[arg-type]  # it wants no kit
    groups = permutation_groups(net, SHAPE)
    tensors = [(place.tensor, group.name) for group in groups for place in group.places]
    assert any(tensors.count(pair) > 1 for pair in tensors), "no tensor reads and writes one group"
    values = [
        weight_matching(
            State.of(net, 0), State.of(other(net), 0), groups, seeds=Seeds(0), sweeps=sweeps
        ).after
        for sweeps in range(6)
    ]
    assert values == sorted(values)
    assert values[0] < values[-1]


def _read(net: nn.Module, paths: list[str]) -> dict[str, Tensor]:
    """[channels, entries] that layers are given, once `net` has run; narrow strided 1x1 ones skip positions first."""
    found: dict[str, Tensor] = {}
    for path in paths:
        layer = net.get_submodule(path)
        step = 2 if "downsample" in path else 1

        def take(_: nn.Module, args: tuple[Tensor], path: str = path, step: int = step) -> None:
            found[path] = args[0][:, :, ::step, ::step].transpose(0, 1).flatten(1)

        layer.register_forward_pre_hook(take)
    return found


def test_a_residual_stream_is_matched_by_the_mean_over_the_layers_that_read_it() -> None:
    net = thin("resnet20", 1.0, width=Fraction(1, 4))
    groups = permutation_groups(net, SHAPE)
    stream = groups[0]
    assert len(stream.readers) == 5
    nets = net, other(net)
    seen = [_read(one, [place.tensor.removesuffix(".weight") for place in stream.readers]) for one in nets]
    found = activation_matching(*nets, [images(30, SHAPE)], [stream])
    rows = [
        np.corrcoef(seen[0][path].detach().numpy(), seen[1][path].detach().numpy())[
            : stream.size, stream.size :
        ]
        for path in seen[0]
    ]
    mean = np.mean(rows, axis=0)
    assert found.before == pytest.approx(mean.trace(), rel=1e-5)
    orders = itertools.permutations(range(stream.size))
    assert found.after == pytest.approx(
        max(mean[range(stream.size), order].sum() for order in orders), rel=1e-5
    )


def test_silent_units_match_nobody_and_equal_nets_stay() -> None:
    net = thin("lenet-300-100", 1.0)
    with torch.no_grad():
        net.fc1.weight[:50] = 0
        net.fc1.bias[:50] = -1
    groups = permutation_groups(net, SHAPE)
    found = activation_matching(net, net, [images(64, SHAPE)], groups)
    assert undone(found.perms, {name: np.arange(len(order)) for name, order in found.perms.items()})
    assert found.after == found.before
    assert found.before <= 350 + 1e-6


def test_the_nets_stay_as_they_are() -> None:
    net = thin("resnet20", 1.0, width=Fraction(1, 4))
    rival, groups = other(net), permutation_groups(net, SHAPE)
    before = [[value.clone() for value in hidden(one)] for one in (net, rival)]
    activation_matching(net, rival, [images(8, SHAPE)], groups)
    weight_matching(State.of(net, 0), State.of(rival, 0), groups, seeds=Seeds(0))
    assert all(
        torch.equal(was, now)
        for one, values in zip((net, rival), before, strict=True)
        for was, now in zip(values, hidden(one), strict=True)
    )


class Stopped(Exception):  # noqa: N818  # nothing went wrong
    pass


def _stop() -> None:
    raise Stopped


def test_both_ways_can_be_stopped_and_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin("resnet20", 1.0, width=Fraction(1, 4))
    groups, state = permutation_groups(net, SHAPE), State.of(net, 0)
    ways: list[Callable[..., Any]] = [
        lambda **more: weight_matching(state, state, groups, seeds=Seeds(0), **more),
        lambda **more: activation_matching(net, net, [images(4, SHAPE)], groups, **more),
    ]
    for way in ways:
        with pytest.raises(Stopped):
            way(poll=_stop)
    with pytest.raises(UsageError, match="at least one"):
        activation_matching(net, net, [], groups)
    bad = State({**state.weights, "conv1.weight": state.weights["conv1.weight"] / 0}, 0)
    with pytest.raises(DivergedError, match="align"):
        weight_matching(state, bad, groups, seeds=Seeds(0))
    lost = copy.deepcopy(net)
    bad.load_into(lost)
    with pytest.raises(DivergedError, match="align"):
        activation_matching(net, lost, [images(4, SHAPE)], groups)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    for way in ways:
        with pytest.raises(MissingExtraError, match=r"ticketctl\[align\]"):
            way()


@pytest.mark.gpu
def test_on_cuda_the_same_units_are_matched_and_objectives_agree_within_1e_4() -> None:
    net = thin("resnet20", 1.0)
    groups = permutation_groups(net, SHAPE)
    plant = planted(groups)
    moved = exchanged(net, groups, plant)
    here = activation_matching(net, moved, [images(96, SHAPE)], groups)
    there = activation_matching(net.cuda(), moved.cuda(), [images(96, SHAPE).cuda()], groups)
    assert undone(there.perms, plant)
    assert there.before == pytest.approx(here.before, abs=1e-2)
    assert there.after == pytest.approx(here.after, rel=1e-4)
