"""Pruning efficacy, ranges of sparsity, representatives (paper 002), and convergence speed (T22)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.written import run
from ticketctl.cli.spend import show_noise
from ticketctl.stages.ranges import (
    Point,
    Ranges,
    Unlearned,
    convergence_speed,
    efficacy,
    ranges,
    representatives,
    unlearned,
)
from ticketctl.stages.spent import ladder_under_noise


def points(*rows: tuple[object, object, object, object]) -> list[Point]:
    return [Point.of(*row) for row in rows]


DOUBLE_DESCENT = points(
    # sparsity, train, last, best: the course that paper 002 draws for 40 % noise, numbers made up
    ("0", "1", "0.60", "0.80"),
    ("0.2", "1", "0.58", "0.80"),
    ("0.36", "0.998", "0.55", "0.79"),
    ("0.49", "0.995", "0.53", "0.79"),
    ("0.59", "0.97", "0.50", "0.80"),
    ("0.67", "0.90", "0.56", "0.81"),
    ("0.74", "0.80", "0.66", "0.82"),
    ("0.79", "0.70", "0.78", "0.83"),
    ("0.83", "0.62", "0.81", "0.82"),
    ("0.87", "0.58", "0.77", "0.78"),
    ("0.89", "0.50", "0.55", "0.70"),
    ("0.91", "0.30", "0.30", "0.40"),
)


def sparsities(*texts: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(text) for text in texts)


def test_the_four_ranges_of_a_double_descent() -> None:
    found = ranges(DOUBLE_DESCENT)
    assert found.efficacy == Fraction("0.49")  # 0.995 is exactly half a point below
    assert found.trivial == sparsities("0", "0.2", "0.36", "0.49")
    assert found.critical == sparsities("0.59", "0.67")
    assert found.high == sparsities("0.74", "0.79", "0.83", "0.87")
    assert found.extreme == sparsities("0.89", "0.91")


def test_the_five_representatives_of_a_double_descent() -> None:
    found = representatives(DOUBLE_DESCENT)
    assert found.dense == 0
    assert found.overfitting == Fraction("0.59")  # 0.30 at 0.91 is lower, and beyond the sweet spot
    assert found.sweet_best == Fraction("0.79")
    assert found.sweet_last == Fraction("0.83")
    assert found.underfitting == Fraction("0.89")  # at 0.87 the last is still above dense


def test_the_order_of_the_levels_means_nothing() -> None:
    assert ranges(DOUBLE_DESCENT[::-1]) == ranges(DOUBLE_DESCENT)
    assert representatives(DOUBLE_DESCENT[::-1]) == representatives(DOUBLE_DESCENT)


def test_without_a_level_above_dense_all_beyond_the_efficacy_is_extreme() -> None:
    """A monotone fall, as without noise."""
    falling = points(
        ("0", 1, "0.9", "0.9"),
        ("0.2", 1, "0.89", "0.9"),
        ("0.4", "0.9", "0.8", "0.8"),
        ("0.6", "0.8", "0.7", "0.7"),
    )
    assert ranges(falling) == Ranges(
        Fraction("0.2"), sparsities("0", "0.2"), (), (), sparsities("0.4", "0.6")
    )
    found = representatives(falling)
    assert (found.overfitting, found.sweet_best, found.sweet_last) == (None, 0, 0)
    assert found.underfitting == Fraction("0.4")  # at 0.2 the best is not below dense


def test_a_monotone_rise_has_no_end() -> None:
    rising = points(("0", 1, "0.5", "0.5"), ("0.2", "0.9", "0.6", "0.6"), ("0.4", "0.8", "0.7", "0.7"))
    assert ranges(rising) == Ranges(Fraction(0), sparsities("0"), (), sparsities("0.2", "0.4"), ())
    found = representatives(rising)
    assert (found.overfitting, found.sweet_last, found.underfitting) == (None, Fraction("0.4"), None)


def test_the_dense_net_alone_is_trivial() -> None:
    alone = points(("0", "0.9", "0.5", "0.6"))
    assert ranges(alone) == Ranges(Fraction(0), sparsities("0"), (), (), ())
    found = representatives(alone)
    assert (found.dense, found.sweet_best, found.sweet_last) == (0, 0, 0)
    assert found.overfitting is found.underfitting is None


def test_the_high_range_is_the_one_around_the_best_and_has_no_gap() -> None:
    """A level above dense by luck, apart from the others, is not of it."""
    lucky = points(
        ("0", 1, "0.5", "0.6"), ("0.1", "0.9", "0.5", "0.6"), ("0.2", "0.9", "0.4", "0.6"),
        ("0.3", "0.8", "0.7", "0.7"), ("0.4", "0.7", "0.6", "0.7"), ("0.5", "0.6", "0.4", "0.5"),
        ("0.6", "0.6", "0.5", "0.5"),
    )  # fmt: skip
    found = ranges(lucky)
    assert found.critical == sparsities("0.1", "0.2")
    assert found.high == sparsities("0.3", "0.4")
    assert found.extreme == sparsities("0.5", "0.6")


def test_the_efficacy_is_the_largest_sparsity_wherever_training_dipped_before() -> None:
    dipped = points(("0", 1, 1, 1), ("0.1", "0.99", 1, 1), ("0.2", "0.995", 1, 1), ("0.3", "0.9949", 1, 1))
    assert efficacy(dipped) == Fraction("0.2")
    assert efficacy(dipped, Fraction("0.0051")) == Fraction("0.3")
    assert efficacy(dipped, Fraction(0)) == 0


def test_half_a_point_is_exact_where_binary_numbers_are_not() -> None:
    dense, pruned = 0.50004, 0.49504
    assert pruned < dense - 0.005  # in floating point
    assert efficacy(points((0, dense, 1, 1), (0.2, pruned, 1, 1))) == Fraction("0.2")


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9))
def test_every_level_is_in_one_range_and_the_ranges_are_in_order(rows: list[tuple[int, int, int]]) -> None:
    levels = points(*((Fraction(n, 10), *(Fraction(v, 8) for v in row)) for n, row in enumerate(rows)))
    found = ranges(levels)
    assert found.trivial + found.critical + found.high + found.extreme == tuple(p.sparsity for p in levels)
    assert found.trivial[-1] == found.efficacy
    assert all(levels[int(10 * s)].last >= levels[0].last for s in found.high)
    assert found.high or not found.critical


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "dense net"), ([("0.2", 1, 1, 1)], "dense net"), ([(0, 1, 1, 1), ("0", 1, 1, 1)], "same sparsity")],
)
def test_levels_that_make_no_ladder_are_refused(rows: list[tuple[object, ...]], said: str) -> None:
    for function in (efficacy, ranges, representatives):
        with pytest.raises(ValueError, match=said):
            function([Point.of(*row) for row in rows])


@pytest.mark.parametrize("value", ["nan", float("nan"), "inf", "much"])
def test_accuracies_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Invalid literal"):
        Point.of(0, value, 1, 1)


# -------------------------------------------------------------------------------------------------- convergence


def test_all_progress_in_the_first_epoch_is_a_speed_of_one() -> None:
    assert convergence_speed([1, 0.5, 0.5]) == 1


@given(st.integers(1, 300), st.floats(0.01, 1))
def test_a_linear_decay_has_the_speed_of_the_triangle(epochs: int, end: float) -> None:
    """T22: (T + 1) / 2T."""
    errors = [1 - end * epoch / epochs for epoch in range(epochs + 1)]
    assert convergence_speed(errors) == pytest.approx((epochs + 1) / (2 * epochs))


def test_an_error_that_rises_again_is_faster_than_one() -> None:
    assert convergence_speed([1, 0.2, 0.6]) == pytest.approx((0.8 + 0.4) / 2 / 0.4)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.1, 10))
def test_the_speed_has_no_unit(errors: list[float], factor: float) -> None:
    speed = convergence_speed(errors)
    if speed is not None and abs(errors[0] - errors[-1]) > 1e-3:
        assert convergence_speed([1 + factor * error for error in errors]) == pytest.approx(speed, rel=1e-6)


@pytest.mark.parametrize(
    "errors", [[], [0.5], [0.5, 0.5], [0.5, 0.1, 0.5], [1, float("nan"), 0.5], [float("inf"), 1]]
)
def test_no_progress_has_no_speed(errors: list[float]) -> None:
    assert convergence_speed(errors) is None


# ------------------------------------------------------------------------------------- whether there is a ladder at all


def ladder(folder: Path, drawn: str | None) -> object:
    """That of the double descent, its dense net right on `drawn` of the images with drawn labels."""
    spent: list[Any] = []
    for number, point in enumerate(DOUBLE_DESCENT):
        metrics = {"train.eval.accuracy": point.train, "oracle.test.accuracy": point.best}
        known = {name: repr(float(value)) for name, value in metrics.items()}
        known |= {"test.accuracy": repr(float(point.last))} | ({"permuted.accuracy": drawn} if drawn else {})
        kept = None if number == 0 else int(1000 * (1 - point.sparsity))
        made = run(folder / str(number), 0.5, kept=kept, metrics=known)
        spent.append(SimpleNamespace(control=None, job=SimpleNamespace(tweaks=()), run=made))
    return ladder_under_noise(spent)


@pytest.mark.parametrize("drawn", ["1.0", "0.9", None])
def test_a_dense_net_that_has_learned_its_labels_has_ranges(tmp_path: Path, drawn: str | None) -> None:
    assert ladder(tmp_path, drawn) == (ranges(DOUBLE_DESCENT), representatives(DOUBLE_DESCENT))


def test_one_that_has_not_has_none_however_well_it_does_on_the_other_images(tmp_path: Path) -> None:
    assert ladder(tmp_path, "0.899") == Unlearned(Fraction(1), Fraction("0.899"))
    assert unlearned(Fraction("0.899"), None) == Unlearned(Fraction("0.899"), None)
    assert unlearned(Fraction("0.9"), None) is None


def test_what_is_printed_of_a_ladder_says_what_its_words_mean(capsys: pytest.CaptureFixture[str]) -> None:
    found = (ranges(DOUBLE_DESCENT), representatives(DOUBLE_DESCENT))
    row: Any = SimpleNamespace(values={"permuted.accuracy": 1.0}, tweaks=(), kind="dense", level=0)
    show_noise([row], found)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "pruning efficacy (sparsity up to which labels are learned as by the dense net): 49.00 %",
        "ranges of sparsity: trivial 0.00 to 49.00 %, critical 59.00 to 67.00 %, high 74.00 to 87.00 %, "
        "extreme 89.00 to 91.00 %",
        "overfitting (lowest test accuracy on the way) at 59.00 %, sweet spots (highest) at 79.00 % by the best epoch "
        "and 83.00 % by the last, underfitting (after them, first below dense by both) at 89.00 %",
    ]
    show_noise([row], Unlearned(Fraction("0.64"), Fraction("0.13")))
    assert capsys.readouterr().out.splitlines()[-1] == (
        "the dense net has not learned its labels (train accuracy 64.00 % of the given labels; 13.00 % of those drawn, "
        "90 % are wanted): no ranges"
    )
