"""What curves say: pruning efficacy and ranges of sparsity under wrong labels (paper 002), convergence speed (003)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

DELTA = Fraction(1, 200)
"""Training accuracy that may be lost before pruning counts as losing any: half a point. Ours; the paper names none."""

LEARNED = Fraction(9, 10)
"""Share of the images with drawn labels that the dense net must answer as given: of a net that has not learned its
labels no level can lose them, so ranges would mean nothing. Ours; the dense nets of the paper fit all of theirs."""


@dataclass(frozen=True)
class Unlearned:
    """Why a ladder has no ranges: the dense net has not learned its labels. Accuracies in [0, 1]."""

    train: Fraction
    """On the images trained on, with the labels they are given."""
    drawn: Fraction | None
    """On those of them whose labels were drawn; None where there are none."""


@dataclass(frozen=True)
class Point:
    """One level of a ladder: sparsity in [0, 1), and accuracies in [0, 1].

    `train`: on the images trained on, with the labels they are given. `last`: on test images, after the last epoch.
    `best`: the best on test images of any epoch, an oracle.
    """

    sparsity: Fraction
    train: Fraction
    last: Fraction
    best: Fraction

    @classmethod
    def of(cls, sparsity: object, train: object, last: object, best: object) -> Point:
        """From numbers or their text; of a float counts what it prints, since a verdict may hang on it.

        Raises:
            ValueError: not a number, or not a finite one.
        """
        return cls(*(Fraction(str(value)) for value in (sparsity, train, last, best)))


@dataclass(frozen=True)
class Ranges:
    """Sparsities of the levels in each range, ascending; together all levels (paper 002, section 3.2)."""

    efficacy: Fraction
    """The largest sparsity at which the net still fits its training images as the dense net does."""
    trivial: tuple[Fraction, ...]
    """Up to the efficacy."""
    critical: tuple[Fraction, ...]
    """Beyond it, before `high`: the net no longer fits its labels, and test accuracy may fall all the same."""
    high: tuple[Fraction, ...]
    """The levels around the best last test accuracy beyond the efficacy that are all at least as good as dense."""
    extreme: tuple[Fraction, ...]
    """Beyond `high`; where there is none, all beyond the efficacy."""


@dataclass(frozen=True)
class Representatives:
    """The five nets that paper 002 (section 3.2) looks at closely, by their sparsity; None where there is none."""

    dense: Fraction
    overfitting: Fraction | None
    """The lowest last test accuracy on the way to `sweet_last`."""
    sweet_best: Fraction
    """The highest best test accuracy."""
    sweet_last: Fraction
    """The highest last test accuracy."""
    underfitting: Fraction | None
    """The first level after both sweet spots whose last and best test accuracy are both below dense."""


def unlearned(train: Fraction, drawn: Fraction | None) -> Unlearned | None:
    """What is wrong with a dense net of these accuracies, each in [0, 1], or None if it has learned its labels.

    What counts are the images whose labels were drawn, for the others are learned in any case; all, where there are
    none.
    """
    return None if (train if drawn is None else drawn) >= LEARNED else Unlearned(train, drawn)


def efficacy(points: Sequence[Point], delta: Fraction = DELTA) -> Fraction:
    """Pruning efficacy: the largest sparsity whose training accuracy is at least the dense net's minus `delta`.

    Args:
        points: the levels, the dense net among them, in any order.
        delta: accuracy that may be lost, in [0, 1].

    Raises:
        ValueError: no dense net, or two levels of one sparsity.
    """
    levels = _ordered(points)
    return max(level.sparsity for level in levels if level.train >= levels[0].train - delta)


def ranges(points: Sequence[Point], delta: Fraction = DELTA) -> Ranges:
    """The four ranges of sparsity (paper 002, section 3.2, which says them in words; the formulas are ours).

    Raises:
        ValueError: as `efficacy`.
    """
    levels = _ordered(points)
    edge = efficacy(levels, delta)
    beyond = [level for level in levels if level.sparsity > edge]
    first, last = _around_best(beyond, levels[0].last)
    return Ranges(
        edge,
        tuple(level.sparsity for level in levels if level.sparsity <= edge),
        tuple(level.sparsity for level in beyond[:first]),
        tuple(level.sparsity for level in beyond[first:last]),
        tuple(level.sparsity for level in beyond[last:]),
    )


def representatives(points: Sequence[Point]) -> Representatives:
    """The five representatives; of equal levels the one of lower sparsity (paper 002, section 3.2).

    The overfitting net is looked for before the sweet spot: beyond it accuracy falls to chance in any case.

    Raises:
        ValueError: as `efficacy`.
    """
    levels = _ordered(points)
    dense = levels[0]
    by_last, by_best = _first_best(levels, _last), _first_best(levels, _best)
    before = levels[:by_last]
    lowest = _first_best(before, lambda level: -level.last) if before else 0
    after = levels[max(by_last, by_best) + 1 :]
    under = [level.sparsity for level in after if level.last < dense.last and level.best < dense.best]
    return Representatives(
        dense.sparsity,
        levels[lowest].sparsity if lowest else None,
        levels[by_best].sparsity,
        levels[by_last].sparsity,
        under[0] if under else None,
    )


def convergence_speed(errors: Sequence[float]) -> float | None:
    """Mean over the epochs of the share of all progress that was made by then (paper 003, equation 4).

    1 means that the first epoch did everything; above 1 is possible where errors rose again.

    Args:
        errors: validation errors, before training and after each of T epochs: [T + 1].

    Returns:
        The mean over e = 1 … T of (E_0 - E_e) / (E_0 - E_T), or None where nothing was trained, nothing was gained
        or lost, or an error is not a number.
    """
    if len(errors) < 2 or errors[0] == errors[-1] or not all(math.isfinite(error) for error in errors):
        return None
    gains = [errors[0] - error for error in errors[1:]]
    return math.fsum(gains) / len(gains) / gains[-1]


def _ordered(points: Sequence[Point]) -> list[Point]:
    levels = sorted(points, key=lambda level: level.sparsity)
    if not levels or levels[0].sparsity != 0:
        raise ValueError("the dense net, of sparsity 0, is wanted among the levels")
    if len({level.sparsity for level in levels}) < len(levels):
        raise ValueError("two levels have the same sparsity")
    return levels


def _around_best(levels: Sequence[Point], dense: Fraction) -> tuple[int, int]:
    """Begin and end of the run of levels at least as good as dense that holds the best one; 0, 0 without such a run."""
    best = _first_best(levels, _last) if levels else 0
    if not levels or levels[best].last < dense:
        return 0, 0
    first = last = best
    while first > 0 and levels[first - 1].last >= dense:
        first -= 1
    while last < len(levels) and levels[last].last >= dense:
        last += 1
    return first, last


def _first_best(levels: Sequence[Point], value: Callable[[Point], Fraction]) -> int:
    return max(range(len(levels)), key=lambda number: (value(levels[number]), -number))


def _last(level: Point) -> Fraction:
    return level.last


def _best(level: Point) -> Fraction:
    return level.best
