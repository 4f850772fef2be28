"""Regularisers against autograd and finite differences, the stop rule by hand, art end to end and after stops."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.draws.drawing import levels_of, setting_of, tables
from tests.train import small
from ticketctl.draws import art
from ticketctl.draws._regularisers import (
    STEEPNESS,
    Regulariser,
    gradient,
    laid_out,
    penalty,
    rank_of,
    shaped_like,
    steepness,
)
from ticketctl.draws._shrink import Shrink, Shrinking, masks_of, under
from ticketctl.draws._stop import Rule, Watch, watched
from ticketctl.errors import DivergedError, StoppedError, UsageError
from ticketctl.masks.select import order_statistic, top
from ticketctl.train import evaluate, loop
from ticketctl.train.lab import Level, Plan, Target
from ticketctl.train.state import State

KINDS: tuple[Regulariser, ...] = get_args(Regulariser)
each_kind = pytest.mark.parametrize("kind", KINDS)


def normal(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, count))


# ------------------------------------------------------------------------------------------------- regularisers


@each_kind
@pytest.mark.parametrize("rate", ["0.1", "0.9", "0.998"])
def test_the_closed_form_is_autograds_gradient(kind: Regulariser, rate: str) -> None:
    weights = normal(1001).requires_grad_()
    rank = rank_of(1001, 1 - Fraction(rate))
    [wanted] = torch.autograd.grad(penalty(kind, weights, rank), weights)
    found = gradient(kind, weights.detach(), rank)
    assert float((found - wanted).abs().max()) <= 1e-13 * max(1.0, float(wanted.abs().max()))


def test_the_closed_form_is_the_difference_quotient_of_the_surrogate() -> None:
    """The published formula in plain Python floats, with A and s frozen at the point of departure."""
    weights, rank, step = normal(60, 3), 48, 1e-6
    steep = 0.6585 / sorted(abs(w) for w in weights.tolist())[rank]
    held = math.fsum(math.tanh(steep * abs(w)) for w in weights.tolist())

    def surrogate(values: list[float]) -> float:
        total = math.fsum(abs(w) for w in values)
        return total * math.fsum(math.tanh(steep * abs(w)) for w in values) / held - total

    found = gradient("hypersparse", weights, rank)
    assert surrogate(weights.tolist()) == pytest.approx(0, abs=1e-12)
    for place in range(60):
        up, down = weights.tolist(), weights.tolist()
        up[place] += step
        down[place] -= step
        quotient = (surrogate(up) - surrogate(down)) / (2 * step)
        assert float(found[place]) == pytest.approx(quotient, rel=1e-5, abs=1e-6)


def test_hypersparse_is_always_worth_nothing() -> None:
    for seed in range(3):
        value = penalty("hypersparse", normal(500, seed), 450)
        assert abs(float(value)) < 1e-12


def test_l1_and_l2_are_sums_without_a_root_or_a_half() -> None:
    weights = torch.tensor([-3.0, 0.0, 4.0])
    assert float(penalty("l1", weights, 0)) == 7
    assert float(penalty("l2", weights, 0)) == 25
    assert gradient("l1", weights, 0).tolist() == [-1, 0, 1]
    assert gradient("l2", weights, 0).tolist() == [-6, 0, 8]


def test_at_w_kappa_the_gradient_is_two_thirds_of_its_maximum() -> None:
    """0.6585 is atanh(1/sqrt 3) to four digits, and sech^2 of it is 2/3."""
    assert pytest.approx(math.atanh(1 / math.sqrt(3)), abs=5e-5) == STEEPNESS
    assert 1 / math.cosh(STEEPNESS) ** 2 == pytest.approx(2 / 3, abs=5e-5)
    weights, rank = normal(1000), 900
    slopes = gradient("hypersparse", weights, rank).abs()
    sizes = weights.abs()
    at = int(sizes.argsort()[rank])
    most = float(steepness(sizes, rank) * sizes.sum() / torch.tanh(steepness(sizes, rank) * sizes).sum())
    assert float(slopes[at]) == pytest.approx(2 / 3 * most, rel=1e-4)


def test_the_gradient_falls_with_the_weight_and_points_away_from_zero() -> None:
    weights = normal(1000)
    slopes = gradient("hypersparse", weights, 900)
    ordered = slopes.abs()[weights.abs().argsort()]
    assert bool((ordered[1:] < ordered[:-1]).all())
    assert torch.equal(slopes.sign(), weights.sign())
    far = torch.cat([weights, torch.tensor([50.0, -50.0], dtype=torch.float64)])
    assert gradient("hypersparse", far, 900)[-2:].tolist() == [0, 0]


def test_scaling_all_weights_leaves_the_gradient_alone() -> None:
    weights = normal(1000)
    slopes = gradient("hypersparse", weights, 900)
    for factor in (1e-3, 0.5, 64.0):
        assert torch.allclose(gradient("hypersparse", factor * weights, 900), slopes, rtol=1e-12)


def test_a_larger_kappa_is_less_steep() -> None:
    sizes = normal(1000).abs()
    steeps = [
        float(steepness(sizes, rank_of(1000, 1 - Fraction(rate)))) for rate in (".5", ".9", ".98", ".998")
    ]
    assert steeps == sorted(steeps, reverse=True)
    assert len(set(steeps)) == 4


def test_where_w_kappa_is_0_the_smallest_weight_above_0_stands_in() -> None:
    """A net already sparser than it shall become: finite numbers, and nothing for the zeros."""
    weights = torch.zeros(100, dtype=torch.float64)
    weights[:5] = torch.tensor([0.3, -0.2, 0.1, 0.4, -0.5])
    assert float(steepness(weights.abs(), 90)) == pytest.approx(0.6585 / 0.1)
    slopes = gradient("hypersparse", weights, 90)
    assert bool(slopes.isfinite().all())
    assert bool((slopes[5:] == 0).all())
    assert bool((slopes[:5] * weights[:5] > 0).all())
    assert gradient("hypersparse", torch.zeros(10), 5).tolist() == [0] * 10
    assert float(penalty("hypersparse", torch.zeros(10), 5)) == 0


def test_w_kappa_is_the_order_statistic_at_the_floor_of_kappa_n() -> None:
    values = normal(777).abs()
    for density in ("0.1", "0.02", "0.5", "1/3"):
        rank = rank_of(777, Fraction(density))
        assert rank == int((1 - Fraction(density)) * 777)
        assert float(order_statistic(values, rank)) == sorted(values.tolist())[rank]
        assert float(values.kthvalue(rank + 1).values) == sorted(values.tolist())[rank]
        assert float(values.sort().values[rank]) == sorted(values.tolist())[rank]


@pytest.mark.parametrize("density", [Fraction(1), Fraction(0)])
def test_a_kappa_outside_0_to_1_is_refused(density: Fraction) -> None:
    with pytest.raises(UsageError, match="between 0 and 1") as refused:
        rank_of(100, density)
    assert refused.value.exit_code == 2


def test_laying_out_and_back_keeps_every_weight_in_its_place() -> None:
    tensors = [
        normal(2 * 3 * 4 * 5).view(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        normal(6, 1).view(3, 2),
        normal(8, 2).view(2, 4, 1, 1),
        normal(48, 3).view(2, 3, 2, 4),
        normal(12, 4).view(3, 4).t(),
    ]
    for ours, theirs in zip(shaped_like(laid_out(tensors), tensors), tensors, strict=True):
        assert torch.equal(ours, theirs)


# ------------------------------------------------------------------------------------------------- the stop rule


def trace_of(pruned: list[float], dense: list[float], rule: Rule, half: int = 1) -> list[Watch]:
    pairs = list(zip(pruned, dense, strict=True))
    return [watched(pairs[: count + 1], half=half, rule=rule) for count in range(len(pairs))]


def test_the_middle_of_the_best_window_is_chosen_and_the_end_is_when_its_mean_passes_the_dense_net() -> None:
    """Means of three: -, -, .2, .4, .5 (of .3 .6 .6), .5 (.6 .6 .3); dense .9 .9 .9 .9 .55 .49."""
    pruned, dense = [0.1, 0.2, 0.3, 0.7, 0.6, 0.2], [0.9, 0.9, 0.9, 0.9, 0.55, 0.49]
    seen = trace_of(pruned, dense, "means")
    assert [watch.chosen for watch in seen] == [
        None,
        None,
        1,
        2,
        3,
        3,
    ]  # .2, .4, .533, and .5 does not replace it
    assert [watch.ended for watch in seen] == [False] * 5 + [True]
    assert seen[-1].mean == pytest.approx((0.3 + 0.7 + 0.6) / 3)


def test_the_peer_compares_with_a_single_epoch_and_so_takes_a_worse_mean() -> None:
    """Full means .5, .4, .4: ours keeps epoch 1. The peer: .3 chooses 0 (bar .3); .3 no; .5 chooses 1, whose own
    accuracy is .3; .4 is above that and chooses 2, the worse (bar .9); .4 no."""
    pruned, dense = [0.3, 0.3, 0.9, 0.0, 0.3], [2.0] * 5
    ours, peer = trace_of(pruned, dense, "means"), trace_of(pruned, dense, "peer")
    assert [watch.chosen for watch in ours] == [None, None, 1, 1, 1]
    assert [watch.chosen for watch in peer] == [0, 0, 1, 2, 2]
    assert [watch.mean for watch in peer] == pytest.approx([0.3, 0.3, 0.5, 0.4, 0.4])


def test_the_peer_may_end_before_a_window_is_full_and_we_may_not() -> None:
    pruned, dense = [0.8, 0.9, 0.85], [0.7, 0.95, 0.84]
    assert [watch.ended for watch in trace_of(pruned, dense, "peer")] == [True, False, True]
    assert [watch.ended for watch in trace_of(pruned, dense, "means")] == [False, False, True]
    assert [watch.chosen for watch in trace_of(pruned, dense, "peer")] == [0, 1, 1]  # .8, .85 (bar .9), .85


def test_with_a_window_of_one_every_epoch_stands_alone() -> None:
    pruned, dense = [0.1, 0.4, 0.3, 0.5], [0.9, 0.9, 0.35, 0.6]
    seen = trace_of(pruned, dense, "means", half=0)
    assert [watch.chosen for watch in seen] == [0, 1, 1, 3]
    assert [watch.ended for watch in seen] == [False, False, True, False]


def test_where_nothing_can_be_above_the_dense_net_a_mean_of_1_is_enough() -> None:
    """Small data are learned by heart; the released code would go on for ever."""
    assert [watch.ended for watch in trace_of([1.0] * 3, [1.0] * 3, "means")] == [False, False, True]
    assert not trace_of([1.0] * 5, [1.0] * 5, "peer")[-1].ended


def test_equal_to_the_dense_net_is_not_above_it_and_the_first_of_equals_stays() -> None:
    seen = trace_of([0.5] * 5, [0.5] * 5, "means")
    assert [watch.chosen for watch in seen] == [None, None, 1, 1, 1]
    assert not any(watch.ended for watch in seen)


# ------------------------------------------------------------------------------------------------- the draw

QUICK: dict[str, Any] = {
    "density": "3/20", "pretrain": 1, "lambda_init": 1e-2, "eta": 1.3, "max_epochs": 40,
}  # fmt: skip


def test_a_pruned_net_grows_as_good_as_the_dense_one_and_is_then_trained(tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "cache", tables("art", **QUICK))
    dense, ticket = levels_of(setting, tmp_path / "work")
    total = dense.mask.size
    assert dense.fit is None
    assert dense.mask.kept == total
    assert ticket.mask.kept == math.floor(Fraction(3, 20) * total + Fraction(1, 2))
    assert ticket.role == "trained"
    assert ticket.start.step == 0
    assert ticket.fit is not None
    assert ticket.fit.steps == 10  # the recipe's own two epochs
    weights = {name: ticket.start.weights[name].abs() for name in setting.shapes}
    assert top(weights, ticket.mask.kept).equal(ticket.mask)
    assert any(bool((weights[name][~keep] > 0).any()) for name, keep in ticket.mask.keep.items())
    ends = ticket.fit.end().weights
    assert all(bool((ends[name][~keep] == 0).all()) for name, keep in ticket.mask.keep.items())
    notes = ticket.notes
    pruned, against = notes["accuracy"]["pruned"], notes["accuracy"]["dense"]
    middle = notes["chosen_epoch"] - 1 - notes["pretrain_epochs"]
    assert sum(pruned[middle - 1 : middle + 2]) / 3 > against[-1]
    assert notes["epochs"] == 1 + len(pruned)
    assert notes["overlap"].index(1) == notes["chosen_epoch"] - 1
    assert all(0.15 < share <= 1 for share in notes["overlap"])  # chance is the density


def test_a_net_that_never_gets_there_is_not_converged_and_the_best_is_kept(tmp_path: Path) -> None:
    hopeless = {**QUICK, "density": "1/500", "max_epochs": 4, "lambda_init": 1e-9}
    setting = setting_of(tmp_path / "cache", tables("art", **hopeless))
    with pytest.raises(
        DivergedError, match=r"did not converge in 4 regularised epochs.*max_epochs"
    ) as refused:
        levels_of(setting, tmp_path / "work")
    assert refused.value.exit_code == 4
    assert "\n" not in str(refused.value)
    folder = tmp_path / "work" / "000"
    assert str(folder) in str(refused.value)
    assert b'"hook.0.best.' in (folder / "record.safetensors").read_bytes()


def test_a_rewind_point_a_number_of_rounds_or_a_full_density_is_refused(tmp_path: Path) -> None:
    for changes, words in (
        ({"rewind": "3it"}, "leave --rewind at 0"),
        ({"rounds": 2}, "give --density"),
        ({"density": "1"}, "between 0 and 1"),
        ({"pretrain": "30it"}, "counts steps"),
    ):
        said = {**QUICK, **changes}
        if "rounds" in changes:
            del said["density"]
        setting = setting_of(tmp_path / "cache", tables("art", **said))
        with pytest.raises(UsageError, match=words):
            levels_of(setting, tmp_path / "work")


def test_it_says_at_most_how_long_it_takes() -> None:
    target = Target(Fraction(1, 10), None)
    assert art.cost(Plan(target, 160), art.Params()) == art.Cost(2, 60 + 200 + 160, at_most=True)
    assert art.cost(Plan(target, 160), art.Params(regulariser="l2")).epochs == 60 + 300 + 160
    assert art.cost(Plan(target, 300), art.Params(pretrain="60ep", max_epochs=7)).epochs == 367
    with pytest.raises(UsageError):
        art.cost(Plan(Target(None, 3), 160), art.Params())
    with pytest.raises(UsageError):
        art.cost(Plan(Target(Fraction(1), None), 160), art.Params())


def test_stretched_it_takes_so_many_times_as_long_and_at_least_an_epoch_of_each() -> None:
    target, tenth = Target(Fraction(1, 10), None), Fraction(1, 10)
    assert art.cost(Plan(target, 16), art.Params(stretch=tenth)).epochs == 6 + 20 + 16
    assert art.cost(Plan(target, 16), art.Params(stretch=tenth, regulariser="l2")).epochs == 6 + 30 + 16
    assert art.cost(Plan(target, 480), art.Params(stretch=Fraction(3))).epochs == 180 + 600 + 480
    assert art.cost(Plan(target, 2), art.Params(stretch=Fraction(1, 1000))).epochs == 1 + 1 + 2
    said = art.Params(stretch=Fraction(1, 100), pretrain="6ep", max_epochs=40)
    assert art.cost(Plan(target, 2), said).epochs == 6 + 40 + 2, "what is said is of the draw as it is"


@pytest.mark.parametrize("factor", [Fraction(1, 4), Fraction(1), Fraction(3)])
def test_stretched_lambda_is_at_the_same_share_of_the_way_what_it_was(
    tmp_path: Path, factor: Fraction
) -> None:
    lab = small.lab(tmp_path, small.bench(small.train_spec(epochs=int(160 * factor))))
    how = art._shrinking(lab, TARGET, art.Params(stretch=factor))
    assert how.pretrain == 60 * factor
    for epoch in range(0, 200, 8):  # of the paper's 200
        wanted = 5e-6 * math.exp(epoch * math.log(1.05))
        assert how.strength(how.pretrain + int(epoch * factor)) == pytest.approx(wanted, rel=1e-12)


def test_lambda_is_0_before_and_grows_by_eta_from_epoch_to_epoch() -> None:
    how = Shrinking("l1", 5, 5, 3, 0.5, 2.0, 1, "means", "training", record=True)
    assert [how.strength(epoch) for epoch in range(6)] == [0, 0, 0, 0.5, 1, 2]


# ------------------------------------------------------------------------------ the engine around a net of nothing

SMALL: dict[str, Any] = {
    "pretrain": "2ep", "max_epochs": 14, "lambda_init": 0.1, "eta": 1.5,
}  # fmt: skip
TARGET = Target(Fraction(1, 4), None)


def small_draw(
    folder: Path,
    asked: Callable[[], int | None] = small.never,
    *,
    padding: int | None = None,
    tick: float = 0.0,
    train: dict[str, Any] | None = None,
    **keys: Any,
) -> list[Level]:
    """As a new process would."""
    spec = small.train_spec(**{"momentum": 0.9, "weight_decay": 1e-3, **(train or {})})
    bench = small.bench(spec, stop=asked, clock=small.Clock(tick), padding=padding)
    params = art.Params(**{**SMALL, **keys})
    return list(art.draw(small.lab(folder, bench), target=TARGET, params=params))


def test_one_step_moves_the_weights_by_the_gradient_of_loss_plus_lambda_l(tmp_path: Path) -> None:
    """Plain SGD: w' = w - lr (dCE/dw + lambda dL/dw), dCE/dw and dL/dw from autograd over our own formula."""
    for kind in KINDS:
        spec = small.train_spec(epochs=1)
        bench = small.bench(spec, images=small.BATCH)  # one step is the epoch
        lab = small.lab(tmp_path / kind, bench)
        size = sum(shape.numel() for shape in lab.shapes.values())
        how = Shrinking(
            kind, size // 4, rank_of(size, Fraction(1, 4)), 0, 0.3, 1.0, 1, "means", "plain", record=False
        )
        fit = lab.fit(lab.initial, lab.full(), hooks=(Shrink(lab.shapes, how),))
        model = small.Net()
        lab.initial.load_into(model)
        bench.feed.begin_epoch(lab.seeds, 0)
        inputs, labels, _ = bench.feed.batch(0)
        flat = torch.cat([dict(model.named_parameters())[name].reshape(-1) for name in lab.shapes])
        sizes = flat.abs()
        soft = torch.tanh(0.6585 / sizes.detach().sort().values[how.rank] * sizes)
        value = {
            "l1": sizes.sum(),
            "l2": flat.square().sum(),
            "hypersparse": sizes.sum() * soft.sum() / soft.sum().detach() - sizes.sum(),
        }[kind]
        (torch.nn.functional.cross_entropy(model(inputs), labels) + 0.3 * value).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            wanted = lab.initial.weights[name] - spec.lr * parameter.grad
            assert torch.allclose(fit.end().weights[name], wanted, atol=1e-6), (kind, name)


def watched_epochs(folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> tuple[Level, list[Any]]:
    """A small draw, and model and feed at every epoch's end of its first two phases as our own net saw them."""
    seen: list[Any] = []
    epoch = Shrink.epoch

    def watch(self: Shrink, course: Any) -> bool:
        state = State.of(course.model, course.step)
        model = small.Net()
        state.load_into(model)
        model.eval()
        kept = top({name: state.weights[name].abs() for name in self.names}, self.how.kept)
        seen.append((state, kept, _right(model, course), course.train_accuracy))
        with torch.no_grad():
            for name, keep in kept.keep.items():
                model.get_parameter(name).mul_(keep)
        seen[-1] += (_right(model, course), _right_as_shown(model, course))
        answer = epoch(self, course)
        for name, value in course.model.state_dict().items():  # looking leaves no trace
            assert torch.equal(value, state.weights[name])
        assert course.model.training
        return answer

    monkeypatch.setattr(Shrink, "epoch", watch)
    return small_draw(folder, **keys)[1], seen


@torch.no_grad()
def _right(model: small.Net, course: Any) -> list[bool]:
    inputs, labels = course.feed.images.batch(0, len(course.feed.images))
    answers: list[bool] = (model(inputs).argmax(1) == labels).tolist()
    return answers


@torch.no_grad()
def _right_as_shown(model: small.Net, course: Any) -> float:
    hits = [model(inputs).argmax(1) == labels for inputs, labels, _ in map(course.feed.batch, range(3))]
    return float(torch.cat(hits).double().mean())


@pytest.mark.parametrize(
    ("padding", "accuracies"), [(None, "training"), (1, "training"), (1, "plain")], ids=str
)
def test_the_record_is_what_an_outsider_sees_after_each_epoch(
    padding: int | None, accuracies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, seen = watched_epochs(tmp_path, monkeypatch, padding=padding, accuracies=accuracies)
    bench = small.bench(small.train_spec())
    lab = small.lab(tmp_path, bench)
    record = _record(tmp_path)
    count = len(bench.feed)
    assert ticket.notes["epochs"] == len(seen)
    pruned = np.unpackbits(record["right.pruned"].numpy(), axis=1, count=count, bitorder="little")
    dense = np.unpackbits(record["right.dense"].numpy(), axis=1, count=count, bitorder="little")
    assert pruned.astype(bool).tolist() == [row[4] for row in seen]
    with_dense = len(seen) if accuracies == "plain" else 2
    assert dense.astype(bool).tolist() == [row[2] for row in seen[:with_dense]]
    size = sum(shape.numel() for shape in lab.shapes.values())
    for bits, (_, kept, *_) in zip(masks_of(record, size), seen, strict=True):
        assert bits.tolist() == torch.cat([keep.reshape(-1) for keep in kept.keep.values()]).tolist()
    if accuracies == "plain":
        expected = [[np.mean(row[4]), np.mean(row[2])] for row in seen[2:]]
    else:
        expected = [[row[5], row[3]] for row in seen[2:]]
    np.testing.assert_allclose(record["accuracy"].numpy(), expected, rtol=1e-12)
    state, kept = seen[ticket.notes["chosen_epoch"] - 1][:2]
    assert ticket.mask.equal(kept)
    for name, value in state.weights.items():
        assert torch.equal(ticket.start.weights[name], value)
        assert torch.equal(under(record, "best.")[name], value)
    beside = [int((ours.keep["fc.weight"] & kept.keep["fc.weight"]).sum()) for _, ours, *_ in seen]
    assert record["overlap"][:, 1].tolist() == beside
    assert not [name for name in record if name.startswith("window")]


def _record(folder: Path) -> dict[str, torch.Tensor]:
    """What the hook left in the record of the first training."""
    tensors = safetensors.torch.load_file(folder / "000" / "record.safetensors")
    return under(tensors, "hook.0.")


def test_without_a_record_the_ticket_is_the_same(tmp_path: Path) -> None:
    kept, bare = small_draw(tmp_path / "kept")[1], small_draw(tmp_path / "bare", record=False)[1]
    assert kept.mask.equal(bare.mask)
    assert all(torch.equal(kept.start.weights[name], bare.start.weights[name]) for name in kept.start.weights)
    assert set(_record(tmp_path / "bare")) == {
        "accuracy",
        *(f"best.{name}" for name in kept.start.weights),
    }


def test_with_no_strength_and_no_stop_phases_one_and_two_are_a_plain_training_at_a_constant_rate(
    tmp_path: Path,
) -> None:
    spec = small.train_spec(epochs=5, momentum=0.9, weight_decay=1e-3)
    lab = small.lab(tmp_path / "plain", small.bench(spec))
    plain = lab.fit(lab.initial, None)
    train = {"schedule": "step", "milestones": ("1ep",), "warmup": "2it"}
    with pytest.raises(DivergedError):
        small_draw(tmp_path / "art", train=train, lambda_init=1e-30, max_epochs=3, half_window=9)
    final = (tmp_path / "art" / "000" / "final.safetensors").read_bytes()
    assert final == plain.files.final.read_bytes()


class StopAt:
    """Asks to stop at the n-th question (from 0), and counts the questions."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> int | None:
        self.asked += 1
        return 75 if self.at is not None and self.asked > self.at else None


def results(folder: Path) -> dict[str, bytes]:
    """Final weights and records: all that was learned."""
    files = small.files_below(folder)
    return {
        name: data
        for name, data in files.items()
        if name.endswith(("final.safetensors", "record.safetensors"))
    }


@pytest.mark.long
@pytest.mark.parametrize(
    "keys",
    [
        {"padding": 1},
        {"accuracies": "plain", "tick": 2 * loop.CHECKPOINT_SECONDS},
        {"stop": "peer", "record": False},
    ],
    ids=["augmented", "plain, a checkpoint at every step", "peer, no record"],
)
def test_stopped_in_any_phase_and_begun_again_it_ends_in_the_same_bytes(
    keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At questions between steps, in evaluations, and while the pruned copy is looked at."""
    monkeypatch.setattr(evaluate, "BATCH", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr("os.fsync", lambda handle: None)
    asked = StopAt()
    truth = small_draw(tmp_path / "truth", asked, **keys)
    phases = set()
    for at in range(0, asked.asked, 7):
        folder = tmp_path / str(at)
        with pytest.raises(StoppedError):
            small_draw(folder, StopAt(at), **keys)
        phases.add(phase_of(folder))
        again = small_draw(folder, **keys)
        assert again[1].mask.equal(truth[1].mask)
        assert again[1].notes == truth[1].notes
        assert results(folder) == results(tmp_path / "truth"), at
    assert phases == {1, 2, 3}


def phase_of(folder: Path) -> int:
    """Where a draw was stopped."""
    if (folder / "001").exists():
        return 3
    held = safetensors.torch.load_file(folder / "000" / "checkpoint.safetensors")
    return 2 if len(held["hook.0.accuracy"]) else 1


def test_a_stretch_in_which_lambda_outgrows_all_numbers_is_refused_by_the_plan() -> None:
    plan = Plan(Target(Fraction(1, 10), None), 60)
    assert art.cost(plan, art.Params(stretch=Fraction(1, 100))).trainings == 2
    with pytest.raises(UsageError, match=r"draw\.stretch: .* train longer"):
        art.cost(plan, art.Params(stretch=Fraction(1, 100_000)))
