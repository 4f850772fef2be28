"""The magnitude draws and random pruning, against their papers' words."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.draws.drawing import METHODS, Drawings, bits, levels_of, masks, setting_of, tables
from tests.stages import tiny
from ticketctl.draws import _ladder, imp, ltr
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe_files import merge
from ticketctl.train.lab import Fit, Target
from ticketctl.train.loop import Loop
from ticketctl.train.state import State

LADDERS = [method for method in ("imp", "ltr") if method in METHODS]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    return Drawings(tmp_path_factory.mktemp("draws"))


def flat(mask: Mask) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.concatenate([keep.numpy().reshape(-1) for keep in mask.keep.values()])


def magnitude(fit: Fit, names: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights = fit.end().weights
    return np.abs(np.concatenate([weights[name].double().numpy().reshape(-1) for name in names]))


@pytest.mark.parametrize("method", LADDERS)
def test_each_level_keeps_the_largest_of_what_was_alive(method: str, drawn: Drawings) -> None:
    """Rounds of 50 % to 15 %: a stable sort over the survivors, at counts in closed form."""
    setting, levels = drawn(method)
    names, total = list(setting.shapes), levels[0].mask.size
    counts = [total, (total + 1) // 2, (total + 2) // 4, levels[-1].mask.kept]
    assert [level.mask.kept for level in levels] == counts
    for above, below in pairwise(levels):
        assert above.fit is not None
        alive = np.flatnonzero(flat(above.mask))
        ranked = alive[np.argsort(-magnitude(above.fit, names)[alive], kind="stable")]
        keep = np.zeros(total, dtype=bool)
        keep[ranked[: below.mask.kept]] = True
        np.testing.assert_array_equal(flat(below.mask), keep)


@pytest.mark.parametrize("rounds", [1, 4])
def test_imp_keeps_four_fifths_to_the_power_of_the_level(rounds: int, tmp_path: Path) -> None:
    setting = setting_of(
        tmp_path / "cache", merge(tables("imp", rounds=rounds, rate="0.2"), {"train": {"epochs": 1}})
    )
    levels = levels_of(setting, tmp_path / "work")
    total = Decimal(levels[0].mask.size)
    assert [level.mask.kept for level in levels] == [
        int((total * Decimal("0.8") ** level).quantize(Decimal(1), ROUND_HALF_UP))
        for level in range(rounds + 1)
    ]


def test_the_first_level_of_imp_is_omp_at_its_rate(drawn: Drawings, tmp_path: Path) -> None:
    """Both rank the same dense run."""
    one_round = setting_of(tmp_path / "cache", tables("imp", rounds=1, rate="0.2"))
    at_once = setting_of(tmp_path / "cache", tables("omp", density="0.8"))
    first, shot = levels_of(one_round, tmp_path / "imp"), levels_of(at_once, tmp_path / "omp")
    assert masks(first)[1] == masks(shot)[1]
    for ours, theirs in zip(first, shot, strict=True):
        assert ours.fit is not None
        assert theirs.fit is not None
        assert ours.fit.files.final.read_bytes() == theirs.fit.files.final.read_bytes()


def test_one_shot_masks_are_nested_in_density(drawn: Drawings, tmp_path: Path) -> None:
    wide = levels_of(setting_of(tmp_path / "cache", tables("omp", density="0.5")), tmp_path / "wide")
    assert drawn("omp")[1][1].mask <= wide[1].mask


@pytest.mark.parametrize("schedule", ["continue", "restart"])
def test_ltr_is_imp_with_a_rewind_point(schedule: str, tmp_path: Path) -> None:
    labels = {}
    for method in ("imp", "ltr"):
        setting = setting_of(tmp_path / "cache", tables(method, rounds=1, rewind="7it", schedule=schedule))
        labels[method] = masks(levels_of(setting, tmp_path / method))
    assert labels["imp"] == labels["ltr"]


def test_ltr_without_a_rewind_point_is_refused(tmp_path: Path) -> None:
    for rewind in ("0", "0ep"):
        setting = setting_of(tmp_path / "cache", tables("ltr", rewind=rewind))
        with pytest.raises(UsageError, match=r"give --rewind .* or use --method imp"):
            levels_of(setting, tmp_path / "work")


def test_a_rewind_point_at_the_end_is_refused(tmp_path: Path) -> None:
    for rewind in ("2ep", "100%", "10it", "3ep"):
        with pytest.raises(UsageError, match=r"end of the training"):
            setting_of(tmp_path / "cache", tables("imp", rewind=rewind)).rewind_step()


@pytest.mark.parametrize("rewind", ["3it", "1ep", "7it"])
def test_a_rewound_level_begins_at_its_steps_rate_order_and_weights(
    rewind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights at k are the dense run's at k; the first rate is schedule(k); T - k steps; a fresh optimizer."""
    setting = setting_of(tmp_path / "cache", tables("imp", rounds=1, rewind=rewind))
    step_k = setting.rewind_step()
    seen: dict[str, list[tuple[int, float, list[int], bool]]] = {}
    passed: dict[int, dict[str, bytes]] = {}
    step = Loop._step

    def watched(self: Loop) -> None:
        before = self.progress.step
        if self.order.title.startswith("level 0"):
            passed[before] = bits(State.of(self.model, before))
        momenta = [state["momentum_buffer"] for state in self.machine.optimizer.state.values()]
        fresh = not any(bool(momentum.any()) for momentum in momenta)
        step(self)
        size, epoch = self.bench.feed.batch_size, before % tiny.PER_EPOCH
        shown = self.bench.feed.order[epoch * size : (epoch + 1) * size].tolist()
        rate = self.machine.optimizer.param_groups[0]["lr"]
        seen.setdefault(self.order.title[:7], []).append((before, rate, shown, fresh))

    monkeypatch.setattr(Loop, "_step", watched)
    levels = levels_of(setting, tmp_path / "work")
    dense, sparse = seen["level 0"], seen["level 1"]
    assert [entry[0] for entry in dense] == list(range(10))
    assert [entry[0] for entry in sparse] == list(range(step_k, 10))
    assert bits(levels[1].start) == passed[step_k]
    assert [entry[1:3] for entry in sparse] == [entry[1:3] for entry in dense[step_k:]]
    assert sparse[0][1] == pytest.approx(0.025 * (1 + np.cos(np.pi * step_k / 10)))
    assert [entry[3] for entry in sparse] == [True] + [False] * (9 - step_k)


class Stub:
    """A lab whose trainings end in planted weights."""

    rewind = 0

    def __init__(self, ends: list[dict[str, torch.Tensor]]) -> None:
        self.ends = ends
        self.asked: list[Mask] = []
        self.shapes = {name: value.shape for name, value in ends[0].items()}
        self.head = list(self.shapes)[-1]
        self.initial = State({name: torch.zeros_like(value) for name, value in ends[0].items()}, 0)

    def full(self) -> Mask:
        return Mask.full(self.shapes)

    def poll(self) -> None:
        pass

    def rewound(self, fit: Any) -> State:
        return self.initial

    def fit(self, start: State, mask: Mask, **options: Any) -> Any:
        weights = self.ends[len(self.asked)]
        self.asked.append(mask)
        return type("Planted", (), {"end": lambda self: State(weights, 9)})()


def test_a_pruned_weight_never_comes_back_however_large(tmp_path: Path) -> None:
    """1e9 on a weight that level 1 lost: it stays lost, and takes no place from those alive."""
    first = {"a": torch.tensor([5.0, -4.0, 3.0, -2.0]), "b": torch.tensor([[1.0, -6.0], [0.5, 7.0]])}
    second = {"a": torch.tensor([5.0, -0.1, 1e9, 1e9]), "b": torch.tensor([[1e9, 6.0], [-1e9, -7.0]])}
    for method in (imp, ltr):
        lab: Any = Stub([first, second, second])
        lab.rewind = 1
        levels = list(
            method.draw(lab, target=Target(rounds=2), params=_ladder.MagnitudeParams(Fraction(1, 2)))
        )
        assert flat(levels[1].mask).tolist() == [True, True, False, False, False, True, False, True]
        assert flat(levels[2].mask).tolist() == [False] * 5 + [True, False, True]


def test_layers_ranked_alone_keep_their_own_share() -> None:
    """The output layer at half the rate, as the original code does."""
    end = {"a": torch.arange(1.0, 11.0), "head": torch.arange(1.0, 11.0) / 100}
    lab: Any = Stub([end, end, end])
    lab.head = "head"
    params = _ladder.MagnitudeParams(Fraction(2, 5), "layer", head_rate=Fraction(1, 5))
    levels = list(imp.draw(lab, target=Target(rounds=2), params=params))
    assert [level.mask.layers() for level in levels[1:]] == [
        {"a": (6, 10), "head": (8, 10)}, {"a": (4, 10), "head": (6, 10)},
    ]  # fmt: skip
    assert flat(levels[2].mask).tolist() == [False] * 6 + [True] * 4 + [False] * 4 + [True] * 6


def test_a_survivor_that_is_no_number_is_never_ranked() -> None:
    end = {"a": torch.tensor([1.0, float("nan"), 2.0])}
    with pytest.raises(DivergedError, match="'a'"):
        list(imp.draw(Stub([end, end]), target=Target(rounds=1), params=imp.Params()))


# ---------------------------------------------------------------------------------------------------------- random


def test_random_masks_depend_on_the_draw_stream_alone(drawn: Drawings, tmp_path: Path) -> None:
    plain = drawn("random")[1]
    other = merge(tables("random"), {"seeds": {"init": 5, "order": 6, "augment": 7, "split": 8}})
    assert masks(levels_of(setting_of(tmp_path / "cache", other), tmp_path / "other"))[1] == masks(plain)[1]
    moved = merge(tables("random"), {"seeds": {"draw": 5}})
    assert masks(levels_of(setting_of(tmp_path / "cache", moved), tmp_path / "moved"))[1] != masks(plain)[1]


def test_random_keeps_each_layers_share_within_chance(drawn: Drawings) -> None:
    mask = drawn("random")[1][1].mask
    for name, (kept, size) in mask.layers().items():
        deviation = (0.15 * 0.85 * size) ** 0.5
        assert abs(kept - 0.15 * size) < 5 * deviation, name
