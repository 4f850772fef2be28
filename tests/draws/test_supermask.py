"""Edge-popup: what is chosen, what is trained and what is not, and the gradient that passes the choice."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.draws.drawing import bits, levels_of, masks, setting_of
from tests.stages import tiny
from ticketctl.draws import supermask
from ticketctl.draws._popup import first_scores, frozen, largest, popup
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.select import top
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.method import method_of, target_of
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.train.lab import Cost, Level, Plan, Target
from ticketctl.train.loop import Loop


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tables(model: str = "lenet-300-100", **draw: Any) -> dict[str, Any]:
    small = {"model": {"name": model}, "data": {"validation": "last:1240"}, "train": {"batch": 66}}
    return merge(tiny.TABLES, small) | {"draw": {"method": "supermask", "density": "3/10", **draw}}


def levels(folder: Path, model: str = "lenet-300-100", **draw: Any) -> list[Level]:
    return levels_of(setting_of(folder / "cache", tables(model, **draw)), folder / "work")


# -------------------------------------------------------------------------------------------------------- the choice


@pytest.mark.parametrize("count", [0, 1, 7, 59, 60])
@pytest.mark.parametrize("ties", [False, True])
def test_the_choice_on_the_device_is_the_choice_of_the_mask(count: int, ties: bool) -> None:
    scores = numbers(3, 5, 2, 2).abs()
    if ties:
        scores = (scores * 2).round()
    expected = top({"w": scores}, count).keep["w"]
    assert torch.equal(largest(scores, count), expected)
    assert torch.equal(largest(scores.contiguous(memory_format=torch.channels_last), count), expected)
    assert int(expected.sum()) == count


def test_constant_scores_keep_the_first() -> None:
    assert largest(torch.ones(2, 3), 4).tolist() == [[True, True, True], [True, False, False]]


# ------------------------------------------------------------------------------------------------------ the gradient


def test_the_gradient_of_a_score_is_that_of_its_masked_weight_times_weight_and_sign() -> None:
    """sum(c * w * m): d/d(w m) = c; scores -3, 1, 2, -0.5 keep the first and third."""
    scores = torch.tensor([-3.0, 1.0, 2.0, -0.5], requires_grad=True)
    weight = torch.tensor([0.5, -1.0, 2.0, 4.0], requires_grad=True)
    factor = torch.tensor([1.0, 2.0, 3.0, 5.0])
    subnet = popup(scores, weight, 2)
    assert subnet.tolist() == [0.5, 0.0, 2.0, 0.0]
    (subnet * factor).sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [-0.5, -2.0, 6.0, -20.0]
    assert weight.grad is None


def test_it_is_the_gradient_of_the_surrogate_by_autograd_and_by_finite_differences() -> None:
    """The straight-through surrogate: the mask replaced by (mask at this point) + |s| - |s at this point|."""
    scores, weight, inputs = (
        numbers(4, 6).double(),
        numbers(4, 6, seed=1).double(),
        numbers(3, 6, seed=2).double(),
    )
    mask = largest(scores.abs(), 9).double()

    def surrogate(s: torch.Tensor) -> torch.Tensor:
        return torch.tanh(inputs @ (weight * (mask + s.abs() - scores.abs())).T).square().sum()

    ours = scores.clone().requires_grad_()
    torch.tanh(inputs @ popup(ours, weight, 9).T).square().sum().backward()
    theirs = scores.clone().requires_grad_()
    surrogate(theirs).backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)
    for place in [(0, 0), (1, 3), (3, 5)]:
        step = torch.zeros_like(scores)
        step[place] = 1e-6
        slope = float(surrogate(scores + step) - surrogate(scores - step)) / 2e-6
        assert float(ours.grad[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))
        return logits


def test_only_scores_receive_a_gradient() -> None:
    net = _Net()
    hook = supermask.Popups({"conv.weight": numbers(4, 2, 3, 3)}, {"conv.weight": 20})
    hook.placed = hook.weights
    hook.forward(net, numbers(5, 2, 6, 6)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["conv.weight"]
    assert net.norm.num_batches_tracked is not None
    assert int(net.norm.num_batches_tracked) == 1, "statistics are the net's own"


# ---------------------------------------------------------------------------------------------- weights and scores


def test_scores_start_uniform_within_one_over_the_root_of_fan_in() -> None:
    scores = first_scores(Seeds(0), "w", torch.Size([64, 16, 3, 3])).double()
    bound = 1 / 12  # fan_in 144
    assert float(scores.abs().max()) <= bound
    assert float(scores.var()) == pytest.approx(bound**2 / 3, rel=0.05)
    assert abs(float(scores.mean())) < 5 * float(scores.std()) / 96
    assert not torch.equal(scores, first_scores(Seeds(1), "w", torch.Size([64, 16, 3, 3])).double())


def test_signed_constants_have_the_deviation_of_kaiming_normal() -> None:
    weight = numbers(5, 8, 3, 3)
    constant = frozen(weight, "signed-constant", 1.0)
    assert torch.equal(constant.sign(), weight.sign())
    torch.testing.assert_close(constant.abs(), torch.full_like(weight, (2 / 72) ** 0.5))
    torch.testing.assert_close(frozen(weight, "signed-constant", 0.25), 2 * constant)
    assert torch.equal(frozen(weight, "init", 1.0), weight)


@pytest.mark.parametrize("sizes", [(5,), (2, 7), (1000, 3), (300 * 64, 100 * 300, 1000)])
@pytest.mark.parametrize("density", [Fraction(1, 2), Fraction(3, 10), Fraction(2, 3)])
def test_counts_are_exact_in_all_and_within_one_in_each_layer(
    sizes: tuple[int, ...], density: Fraction
) -> None:
    counts = supermask.layer_counts({str(i): torch.Size([n]) for i, n in enumerate(sizes)}, density)
    total = Decimal(sum(sizes)) * density.numerator / density.denominator
    assert sum(counts.values()) == int(total.quantize(Decimal(1), ROUND_HALF_UP))
    assert all(abs(counts[str(i)] - n * density) <= 1 for i, n in enumerate(sizes))


# ---------------------------------------------------------------------------------------------------------- the draw


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Level]:
    folder = tmp_path_factory.mktemp("supermask")
    quick = merge(tables("resnet20s", weights="signed-constant"), {"train": {"epochs": 1}})
    return levels_of(setting_of(folder / "cache", quick), folder / "work")


@pytest.mark.long
def test_weights_are_bitwise_those_that_were_frozen_after_the_scores_were_trained(drawn: list[Level]) -> None:
    dense, ticket = drawn
    before, after = bits(dense.start), bits(ticket.start)
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert {name for name in before if before[name] != after[name]} == statistics
    for name, value in ticket.start.weights.items():
        if name.endswith(("bn1.weight", "bn2.weight")):
            assert set(value.tolist()) == {1.0}
    assert ticket.role == "init"


def test_every_layer_keeps_the_largest_scores_at_exact_counts(drawn: list[Level]) -> None:
    _, ticket = drawn
    total = ticket.mask.size
    assert ticket.mask.kept == int((Decimal(total) * Decimal("0.3")).quantize(Decimal(1), ROUND_HALF_UP))
    assert ticket.scores is not None
    for name, keep in ticket.mask.keep.items():
        kept = int(keep.sum())
        assert abs(kept - 0.3 * keep.numel()) <= 1
        order = np.argsort(-ticket.scores[name].double().numpy().reshape(-1), kind="stable")
        assert np.array_equal(np.sort(order[:kept]), np.flatnonzero(keep.numpy()))


def test_the_ticket_before_training_is_the_net_that_was_found(drawn: list[Level]) -> None:
    """Loss and accuracy to the last bit: the same weights, mask and statistics."""
    _, ticket = drawn
    assert ticket.fit is not None
    before = dict(zip(ticket.fit.columns, ticket.fit.history[0].tolist(), strict=True))
    assert ticket.notes["untrained"] == {name: before[name] for name in ticket.notes["untrained"]}
    assert {"val.accuracy", "test.accuracy"} <= set(ticket.notes["untrained"])


def test_scores_learn_and_nothing_else_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weight decay, momentum and the recipe's own course are kept off everything that is frozen."""
    ended: list[dict[str, torch.Tensor]] = []
    began: list[dict[str, torch.Tensor]] = []
    finish = Loop._finish

    def watched(self: Loop) -> None:
        began.append(dict(self.order.start.weights))
        ended.append({name: value.clone() for name, value in self.model.state_dict().items()})
        finish(self)

    monkeypatch.setattr(Loop, "_finish", watched)
    setting = setting_of(tmp_path / "cache", merge(tables(epochs=12), {"train": {"weight_decay": 0.1}}))
    dense, ticket = levels_of(setting, tmp_path / "work")
    for name in ended[0]:
        assert torch.equal(ended[0][name], began[0][name]) == name.endswith("bias"), name
    assert bits(ticket.start) == bits(dense.start) == bits(setting.initial)
    assert ticket.notes["score_steps"] == 12 * 3
    assert ticket.notes["untrained"]["val.accuracy"] > 0.4, "chance is 0.1"


def test_the_largest_density_keeps_everything(tmp_path: Path) -> None:
    _, ticket = levels(tmp_path, density="1")
    assert ticket.mask.kept == ticket.mask.size


def test_what_cannot_be_is_refused() -> None:
    good = Target(Fraction(1, 2))
    assert supermask.cost(Plan(good, 10), supermask.Params()) == Cost(2, 20)
    assert supermask.cost(Plan(good, 10), supermask.Params(epochs=3)).epochs == 13
    with pytest.raises(UsageError, match="prunes once"):
        supermask.cost(Plan(Target(None, 3), 10), supermask.Params())
    for bad in ({"epochs": -1}, {"lr": 0.0}, {"momentum": 1.0}, {"weight_decay": float("nan")}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            supermask.cost(Plan(good, 10), supermask.Params(**bad))


def test_a_rewind_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rewind"):
        levels(tmp_path, rewind="1it")


def stopping_after(polls: int) -> Callable[[], int | None]:
    asked = iter(range(10**9))
    return lambda: 130 if next(asked) >= polls else None


def stopped(folder: Path, polls: int, layers: dict[str, Any]) -> list[Level] | None:
    recipe = parse_recipe(layers, where="test")
    setting = prepare(recipe, seeds_of(recipe, 0), tiny.around(folder / "cache", stopping_after(polls)))
    method, params = method_of(recipe)
    try:
        return list(method.draw(setting.lab(folder / "work"), target=target_of(recipe), params=params))
    except StoppedError:
        return None


def test_stopped_anywhere_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = stopped(tmp_path / "whole", 10**6, tables())
    assert whole is not None
    attempts, again = 0, None
    while again is None:
        again, attempts = stopped(tmp_path / "parts", 12, tables()), attempts + 1
    assert attempts > 2
    assert masks(again) == masks(whole)
    for ours, theirs in zip(again, whole, strict=True):
        assert ours.notes == theirs.notes
        assert bits(ours.start) == bits(theirs.start)
        if ours.fit is not None and theirs.fit is not None:
            assert ours.fit.files.final.read_bytes() == theirs.fit.files.final.read_bytes()
