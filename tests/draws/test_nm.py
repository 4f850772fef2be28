"""N:M masks against the definition, group by group; SR-STE against its formula worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.draws.drawing import bits, levels_of, masks, setting_of
from tests.stages import tiny
from ticketctl.draws import nm
from ticketctl.draws._groups import divides, grouped, refined
from ticketctl.errors import DivergedError, StoppedError, UsageError
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.stages.method import method_of, target_of
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.train.lab import Level, Plan, Target

SHAPES = {
    "conv1.weight": torch.Size([8, 3, 3, 3]),
    "conv2.weight": torch.Size([6, 8, 3, 3]),
    "depthwise.weight": torch.Size([8, 1, 3, 3]),
    "fc.weight": torch.Size([10, 16]),
}


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def tables(**draw: Any) -> dict[str, Any]:
    small = {"data": {"validation": "last:1100"}, "train": {"batch": 128}}
    return merge(tiny.TABLES, {**small, "draw": {"method": "nm", "density": "1/2"}}) | {
        "draw": {"method": "nm", "density": "1/2", **draw}
    }


def levels(folder: Path, **draw: Any) -> list[Level]:
    return levels_of(setting_of(folder / "cache", tables(**draw)), folder / "work")


def stopping_after(polls: int) -> Callable[[], int | None]:
    asked = iter(range(10**9))
    return lambda: 130 if next(asked) >= polls else None


def stopped(folder: Path, polls: int, layers: dict[str, Any]) -> list[Level] | None:
    recipe = parse_recipe(layers, where="test")
    around = tiny.around(folder / "cache", stopping_after(polls))
    setting = prepare(recipe, seeds_of(recipe, 0), around)
    lab = setting.lab(folder / "work")
    method, params = method_of(recipe)
    try:
        return list(method.draw(lab, target=target_of(recipe), params=params))
    except StoppedError:
        return None


def by_hand(weight: np.ndarray[Any, Any], n: int, m: int) -> np.ndarray[Any, Any]:
    """Group by group, sorting (−|w|, index) pairs."""
    keep = np.zeros(weight.shape, dtype=bool)
    rest = weight.shape[2:]
    for out in range(weight.shape[0]):
        for place in np.ndindex(*rest):
            for start in range(0, weight.shape[1], m):
                group = [(-abs(float(weight[(out, i, *place)])), i) for i in range(start, start + m)]
                for _, i in sorted(group)[:n]:
                    keep[(out, i, *place)] = True
    return keep


# ------------------------------------------------------------------------------------------------------- the pattern


@pytest.mark.parametrize(("n", "m"), [(2, 4), (4, 8), (1, 4), (1, 2), (3, 8), (4, 4)])
@pytest.mark.parametrize("shape", [(6, 16), (5, 8, 3, 3), (4, 8, 1, 1)])
def test_each_group_keeps_its_largest(n: int, m: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(n * m))
    keep = grouped(weight.abs(), n, m)
    np.testing.assert_array_equal(keep.numpy(), by_hand(weight.numpy(), n, m))
    per_group = keep.movedim(1, -1).reshape(-1, m).sum(1)
    assert set(per_group.tolist()) == {n}
    assert Fraction(int(keep.sum()), keep.numel()) == Fraction(n, m)


def test_equal_weights_keep_the_lower_index() -> None:
    assert grouped(torch.ones(1, 8), 2, 4).tolist() == [[True, True, False, False] * 2]
    mixed = torch.tensor([[1.0, 2.0, 1.0, 2.0, 0.0, 0.0, 0.0, 3.0]])
    assert grouped(mixed, 1, 4).int().tolist() == [[0, 1, 0, 0, 0, 0, 0, 1]]
    assert grouped(mixed, 3, 4).int().tolist() == [[1, 1, 0, 1, 1, 1, 0, 1]]


def test_a_convolution_is_grouped_over_its_inputs_at_one_kernel_position() -> None:
    """Flattened as outputs, height, width, inputs, every four neighbours make a group."""
    weight = torch.randn(3, 8, 3, 3, generator=torch.Generator().manual_seed(1))
    flat = weight.permute(0, 2, 3, 1).reshape(-1, 4).abs()
    keep = torch.zeros_like(flat, dtype=torch.bool)
    keep.scatter_(1, flat.topk(2, dim=1).indices, True)  # no ties among random numbers
    expected = keep.reshape(3, 3, 3, 8).permute(0, 3, 1, 2)
    assert torch.equal(grouped(weight.abs(), 2, 4), expected)


def test_memory_layout_does_not_change_the_mask() -> None:
    weight = torch.randint(0, 3, (4, 8, 3, 3), generator=torch.Generator().manual_seed(2)).float()
    assert torch.equal(
        grouped(weight, 2, 4), grouped(weight.contiguous(memory_format=torch.channels_last), 2, 4)
    )


def test_one_of_four_lies_inside_two_of_four() -> None:
    for weight in (torch.randn(8, 16, generator=torch.Generator().manual_seed(3)).abs(), torch.ones(8, 16)):
        assert not bool((grouped(weight, 1, 4) & ~grouped(weight, 2, 4)).any())


def test_an_axis_that_does_not_divide_is_refused_or_left_dense() -> None:
    assert [divides(shape, 4) for shape in SHAPES.values()] == [False, True, False, True]
    with pytest.raises(ValueError, match="2:4"):
        grouped(torch.ones(8, 3, 3, 3), 2, 4)
    mask = nm.pattern(weights(), SHAPES, 2, 4)
    kept = {name: Fraction(*pair) for name, pair in mask.layers().items()}
    half = Fraction(1, 2)
    assert kept == {"conv1.weight": 1, "conv2.weight": half, "depthwise.weight": 1, "fc.weight": half}


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    broken = weights()
    broken["fc.weight"][0, 0] = float("nan")
    with pytest.raises(DivergedError, match=r"fc\.weight"):
        nm.pattern(broken, SHAPES, 2, 4)


# ------------------------------------------------------------------------------------------------------------ SR-STE


def test_the_gradient_of_sr_ste_is_that_of_the_masked_weight_plus_the_pull() -> None:
    """loss = sum(c * w * m): d/d(w m) = c, so w gets c + decay * (1 - m) * w; 4 weights by hand."""
    weight = torch.tensor([[0.5, -2.0, 1.0, 0.25]], requires_grad=True)
    factor = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    sparse = refined(weight, 2, 4, 0.1)
    assert sparse.tolist() == [[0.0, -2.0, 1.0, 0.0]]
    (sparse * factor).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([[1.0 + 0.05, 2.0, 3.0, 4.0 + 0.025]]))


def test_without_a_pull_sr_ste_is_the_straight_through_gradient() -> None:
    weight = torch.randn(4, 8, generator=torch.Generator().manual_seed(4), requires_grad=True)
    inputs = torch.randn(5, 8, generator=torch.Generator().manual_seed(5))
    (inputs @ refined(weight, 2, 4, 0.0).T).square().sum().backward()
    masked = (weight.detach() * grouped(weight.abs(), 2, 4)).requires_grad_()
    (inputs @ masked.T).square().sum().backward()
    assert torch.equal(weight.grad, masked.grad)


# ---------------------------------------------------------------------------------------------------------- the draw


@pytest.mark.parametrize("when", ["init", "trained", "sr-ste"])
def test_the_ticket_is_the_pattern_of_the_weights_that_were_ranked(when: str, tmp_path: Path) -> None:
    dense, ticket = levels(tmp_path, when=when)
    assert ticket.mask.density == Fraction(1, 2)
    assert ticket.scores is not None
    for name, keep in ticket.mask.keep.items():
        np.testing.assert_array_equal(keep.numpy(), by_hand(ticket.scores[name].numpy(), 2, 4))
    if when == "init":
        assert all(
            torch.equal(ticket.scores[name], dense.start.weights[name].abs()) for name in ticket.scores
        )
    assert (dense.fit is not None) == (when == "trained")
    assert ticket.notes["structure"] == "2:4"
    assert ticket.notes["left_dense"] == []
    assert bits(ticket.start) == bits(dense.start)
    assert ticket.role is None
    assert ticket.fit is not None
    end = ticket.fit.end().weights
    assert all(bool((end[name][~keep] == 0).all()) for name, keep in ticket.mask.keep.items())


def test_sr_ste_trains_other_weights_than_dense_training_does(tmp_path: Path) -> None:
    """And its accuracy is that of the net with the pattern, which masking its last weights gives again."""
    [_, plain] = levels(tmp_path / "a", when="trained")
    [_, ticket] = levels(tmp_path / "b", when="sr-ste", start="trained")
    assert masks([plain]) != masks([ticket])
    assert ticket.role == "trained"
    assert ticket.start.step == 0
    assert ticket.fit is not None
    before = dict(zip(ticket.fit.columns, ticket.fit.history[0].tolist(), strict=True))
    found = {name: before[name] for name in ticket.notes["sr_ste"]}
    assert found == ticket.notes["sr_ste"]


def test_a_layer_without_groups_stays_dense_and_is_named(tmp_path: Path) -> None:
    """64 inputs and 300 hidden units divide by 4, 100 as well; by 8 only the first layer's do."""
    _, ticket = levels(tmp_path, when="init", n=4, m=8)
    layers = ticket.mask.layers()
    assert ticket.notes["left_dense"] == ["fc2.weight", "fc3.weight"]
    assert {name: kept / size for name, (kept, size) in layers.items()} == {
        "fc1.weight": 0.5, "fc2.weight": 1.0, "fc3.weight": 1.0,
    }  # fmt: skip
    assert ticket.notes["density"] == str(ticket.mask.density)


def test_a_density_that_contradicts_the_pattern_is_refused() -> None:
    with pytest.raises(UsageError, match=r"density 0\.3 is not 2:4, which keeps 0\.5"):
        nm.cost(Plan(Target(Fraction(3, 10)), 10), nm.Params())
    with pytest.raises(UsageError, match="rounds"):
        nm.cost(Plan(Target(None, 3), 10), nm.Params())
    with pytest.raises(UsageError, match="5 of 4"):
        nm.cost(Plan(Target(), 10), nm.Params(n=5))
    with pytest.raises(UsageError, match="trained weights"):
        nm.cost(Plan(Target(), 10), nm.Params(when="init", start="trained"))
    assert nm.cost(Plan(Target(), 10, 2.0), nm.Params()).epochs == 18
    assert nm.cost(Plan(Target(Fraction(1, 2)), 10), nm.Params(when="init")).trainings == 1


def test_a_net_without_groups_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="groups of 7"):
        levels(tmp_path, m=7, n=2, when="init", density="2/7")


def test_stopped_anywhere_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    layers = tables(when="sr-ste")
    whole = stopped(tmp_path / "whole", 10**6, layers)
    assert whole is not None
    attempts, again = 0, None
    while again is None:
        again, attempts = stopped(tmp_path / "parts", 12, layers), attempts + 1
    assert attempts > 2
    assert masks(again) == masks(whole)
    for ours, theirs in zip(again, whole, strict=True):
        assert ours.notes == theirs.notes
        assert (ours.fit is None) == (theirs.fit is None)
        if ours.fit is not None and theirs.fit is not None:
            assert ours.fit.files.final.read_bytes() == theirs.fit.files.final.read_bytes()
