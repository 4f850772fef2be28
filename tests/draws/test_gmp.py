"""Gradual magnitude pruning: the cubic, its exact counts, what is ranked, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.draws.drawing import bits, levels_of, setting_of, tables
from tests.train import small
from ticketctl.draws import gmp
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.train import evaluate, loop
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Level, Plan, Target

TARGET = Target(Fraction(3, 10), None)
SIZE = 3 * 2 * 3 * 3 + 3 * 48


# --------------------------------------------------------------------------------------------------- the schedule


def test_halfway_the_cubic_is_seven_eighths_of_the_way_and_at_the_end_it_is_exact() -> None:
    final = Fraction(9, 10)
    assert gmp.sparsity(150, 100, 200, Fraction(0), final) == Fraction(7, 8) * final
    assert gmp.sparsity(200, 100, 200, Fraction(0), final) == final
    assert gmp.sparsity(999, 100, 200, Fraction(0), final) == final
    assert gmp.sparsity(100, 100, 200, Fraction(1, 5), final) == Fraction(1, 5)
    assert gmp.sparsity(0, 100, 200, Fraction(1, 5), final) == Fraction(1, 5)


def test_it_is_zhu_and_guptas_formula_in_n_steps_of_delta_t() -> None:
    """s_t = s_f + (s_i - s_f) (1 - (t - t0)/(n Delta t))^3 in floats, n = 55."""
    initial, final, begin, delta, n = 0.1, 0.95, 20_000, 1_000, 55
    for k in range(n + 1):
        t = begin + k * delta
        wanted = final + (initial - final) * (1 - (t - begin) / (n * delta)) ** 3
        found = gmp.sparsity(t, begin, begin + n * delta, Fraction(1, 10), Fraction(19, 20))
        assert float(found) == pytest.approx(wanted, abs=1e-14)


def test_the_default_shares_give_rigls_steps_on_its_97656() -> None:
    assert 24 * 4069 == 97_656
    assert gmp.update_steps(gmp.Params(), 24, 4069) == list(range(20_000, 75_001, 1_000))


def test_the_last_update_falls_on_the_end_where_the_interval_does_not_divide() -> None:
    params = gmp.Params(begin="2it", end="9it", every="3it")
    assert gmp.update_steps(params, 2, 5) == [2, 5, 8, 9]
    assert gmp.update_steps(gmp.Params(begin="0", end="1ep", every="2it"), 2, 5) == [0, 2, 4, 5]
    assert gmp.update_steps(gmp.Params(), 2, 5) == [2, 3, 4, 5, 6, 7, 8]  # never less than a step apart


@pytest.mark.parametrize(("begin", "end"), [("5it", "5it"), ("6it", "5it"), ("0", "11it"), ("0", "3ep")])
def test_updates_out_of_order_or_outside_the_training_are_refused(begin: str, end: str) -> None:
    with pytest.raises(UsageError, match=r"draw\.begin") as refused:
        gmp.update_steps(gmp.Params(begin=begin, end=end), 2, 5)
    assert refused.value.exit_code == 2


# --------------------------------------------------------------------------------------------------- the draw


class Witness(Hooks):
    """Stands before and after another hook, and takes down weights, masks and momentum around its updates."""

    moves_mask = True

    def __init__(self, within: gmp.Gradual) -> None:
        self.within, self.rows = within, list[dict[str, Any]]()

    def identity(self) -> dict[str, Any]:
        return self.within.identity()

    def start(self, loop: Course) -> None:
        self.within.start(loop)

    def step(self, loop: Course) -> None:
        before, mask = self._weights(loop), loop.mask
        self.within.step(loop)
        momenta = {
            name: loop.optimizer.state[loop.parameters[name]]["momentum_buffer"].clone() for name in mask.keep
        }
        self.rows.append(
            {"step": loop.step + 1, "before": before, "mask": mask, "after": self._weights(loop)}
            | {"now": loop.mask, "momenta": momenta}
        )

    def _weights(self, loop: Course) -> dict[str, torch.Tensor]:
        return {name: loop.parameters[name].detach().clone() for name in loop.masks}


def watched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: Any
) -> tuple[list[Level], list[dict[str, Any]]]:
    """A small draw, and every step of it as a witness saw it."""
    made: list[Witness] = []

    def gradual(*args: Any, **more: Any) -> Witness:
        made.append(Witness(original(*args, **more)))
        return made[-1]

    original = gmp.Gradual
    monkeypatch.setattr(gmp, "Gradual", gradual)
    levels = small_draw(folder, **keys)
    monkeypatch.undo()
    return levels, made[0].rows


def small_draw(
    folder: Path,
    asked: Callable[[], int | None] = small.never,
    *,
    tick: float = 0.0,
    rewind: int = 0,
    train: dict[str, Any] | None = None,
    target: Target = TARGET,
    **keys: Any,
) -> list[Level]:
    """As a new process would: four epochs of three steps."""
    spec = small.train_spec(**{"momentum": 0.9, "weight_decay": 1e-3, "epochs": 4, **(train or {})})
    lab = small.lab(folder, small.bench(spec, stop=asked, clock=small.Clock(tick)), rewind=rewind)
    return list(gmp.draw(lab, target=target, params=gmp.Params(**{"begin": "2it", "end": "10it", **keys})))


def flat(values: dict[str, torch.Tensor]) -> np.ndarray[Any, Any]:
    return np.concatenate([value.numpy().reshape(-1) for value in values.values()])


def kept(mask: Mask) -> np.ndarray[Any, Any]:
    return flat(dict(mask.keep))


def test_each_update_keeps_the_largest_of_what_lives_in_the_exact_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, rows = watched(tmp_path, monkeypatch, every="3it")
    updates = []
    for row in rows:
        if row["step"] not in (2, 5, 8, 10):
            assert row["now"].equal(row["mask"])
            continue
        share = 1 - 0.7 * (1 - (1 - (row["step"] - 2) / 8) ** 3)
        count = int(np.floor(share * SIZE + 0.5))
        alive = np.flatnonzero(kept(row["mask"]))
        ranked = alive[np.argsort(-np.abs(flat(row["before"]))[alive], kind="stable")]
        assert sorted(ranked[:count]) == np.flatnonzero(kept(row["now"])).tolist()
        assert row["now"] <= row["mask"]
        assert bool((flat(row["after"])[~kept(row["now"])] == 0).all())
        updates.append([row["step"], count])
    assert levels[1].notes["updates"] == updates
    assert updates[-1] == [10, round(SIZE * 0.3)]


def test_the_ticket_is_the_final_mask_on_the_start_and_its_training_the_gradual_one(tmp_path: Path) -> None:
    dense, ticket = small_draw(tmp_path)
    lab = small.lab(tmp_path, small.bench(small.train_spec()))
    assert dense.fit is None
    assert dense.mask.kept == SIZE
    assert ticket.mask.kept == 59  # 198 * 0.3 = 59.4
    assert bits(ticket.start) == bits(lab.initial)
    assert ticket.role is None
    assert ticket.fit is not None
    assert ticket.fit.steps == 12
    end = ticket.fit.end().weights
    for name, keep in ticket.mask.keep.items():
        assert bool((end[name][~keep] == 0).all())
        assert bool((end[name][keep] != 0).all())


def test_by_layer_every_layer_has_the_same_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels, rows = watched(tmp_path, monkeypatch, scope="layer")
    for above, below in pairwise(rows):
        assert below["now"] <= above["now"]
    for row in rows:
        share = row["now"].kept / SIZE
        for count, size in row["now"].layers().values():
            assert abs(count - share * size) <= 1
    assert levels[1].mask.kept == 59
    assert levels[1].mask.layers() == {"conv.weight": (16, 54), "fc.weight": (43, 144)}


def test_pruned_weights_that_keep_their_values_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strong weight decay shrinks what lives below what was pruned; replayed here with arrays."""
    train = {"weight_decay": 2.0, "lr": 0.1}
    levels, rows = watched(tmp_path, monkeypatch, every="2it", regrow=True, train=train)
    held, came_back = None, 0
    for row in rows:
        if row["step"] not in (2, 4, 6, 8, 10):
            continue
        alive, now = kept(row["mask"]), kept(row["now"])
        held = np.where(alive, flat(row["before"]), flat(row["before"]) if held is None else held)
        order = np.argsort(-np.abs(held), kind="stable")
        assert sorted(order[: row["now"].kept]) == np.flatnonzero(now).tolist()
        np.testing.assert_array_equal(flat(row["after"]), np.where(now, held, 0))
        back = now & ~alive
        assert bool((flat(row["momenta"])[back] == 0).all())
        came_back += int(back.sum())
    assert came_back > 0
    assert levels[1].mask.kept == 59
    nested = watched(tmp_path / "nested", monkeypatch, every="2it", train=train)[1]
    assert all(below["now"] <= above["now"] for above, below in pairwise(nested))


def test_a_sparsity_to_begin_with_is_there_from_the_first_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows = watched(tmp_path, monkeypatch, begin="0", initial=Fraction(1, 2))
    assert rows[0]["mask"].kept == SIZE // 2  # before the first step
    with pytest.raises(UsageError, match="final sparsity"):
        small_draw(tmp_path / "more", initial=Fraction(4, 5))


def test_from_a_rewind_point_updates_that_lie_before_it_are_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, rows = watched(tmp_path, monkeypatch, rewind=5, every="3it")
    assert [row["step"] for row in rows] == list(range(6, 13))
    assert [step for step, _ in levels[1].notes["updates"]] == [8, 10]
    assert levels[1].start.step == 5
    assert levels[1].mask.kept == 59
    with pytest.raises(UsageError, match="lies before the rewind point"):
        small_draw(tmp_path / "late", rewind=10)
    assert not list((tmp_path / "late").rglob("*.*")), "said before anything was trained"


def test_on_digits_it_prunes_in_one_training(tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "cache", tables("gmp"))
    dense, ticket = levels_of(setting, tmp_path / "work")
    assert ticket.mask.kept == round(dense.mask.size * 0.15)
    assert ticket.fit is not None
    assert ticket.fit.steps == 10
    counts = [count for _, count in ticket.notes["updates"]]
    assert counts == sorted(counts, reverse=True)


def test_it_costs_one_training_and_needs_a_density() -> None:
    assert gmp.cost(Plan(TARGET, 160), gmp.Params()) == gmp.Cost(1, 160)
    with pytest.raises(UsageError, match="give --density"):
        gmp.cost(Plan(Target(None, 3), 160), gmp.Params())


class StopAt:
    """Asks to stop at the n-th question (from 0), and counts the questions."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> int | None:
        self.asked += 1
        return 75 if self.at is not None and self.asked > self.at else None


@pytest.mark.long
@pytest.mark.parametrize(
    "keys",
    [
        {"begin": "0", "initial": Fraction(1, 5)},
        {"regrow": True, "train": {"weight_decay": 2.0, "lr": 0.1}, "tick": 2 * loop.CHECKPOINT_SECONDS},
        {"scope": "layer", "rewind": 4, "train": {"optimizer": "adam", "lr": 0.01}},
    ],
    ids=["from the start", "regrow, a checkpoint at every step", "layers, rewound, adam"],
)
def test_stopped_anywhere_and_begun_again_it_ends_in_the_same_bytes(
    keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr("os.fsync", lambda handle: None)
    asked = StopAt()
    truth = small_draw(tmp_path / "truth", asked, **keys)
    wanted = small.files_below(tmp_path / "truth")
    for at in range(0, asked.asked, 3):
        folder = tmp_path / str(at)
        with pytest.raises(StoppedError):
            small_draw(folder, StopAt(at), **keys)
        again = small_draw(folder, **keys)
        assert again[1].mask.equal(truth[1].mask)
        found = small.files_below(folder)
        assert all(found[name] == data for name, data in wanted.items() if "best-" not in name), at
