"""Barriers and other numbers of curves between two nets. Nothing here imports torch.

A curve is float64 [A] at A equidistant values of alpha from 0 to 1: errors in [0, 1], or mean losses, which need not be
finite; then numbers of them are not finite either. By equation 3 of paper 003, alpha is the share of the first net: the
curve's last value is the first net's, its first value the second net's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLUMNS = ("barrier", "chord", "over-max", "bound", "first", "second", "falls", "rise")
"""Numbers of a curve, in this order."""
SHARES = ("first", "second", "falls")
"""Those of an error that are shares in [0, 1]; the others are differences, in percent points."""


@dataclass(frozen=True)
class Lift:
    """How far a curve rises above a mix of its ends, at most."""

    value: float
    place: int
    """Where; of equal ones the first."""
    share: float
    """Of the first net in the mix there; 1 - `share` is the second's."""

    def parts(self, values: NDArray[np.bool_]) -> Floats:
        """What each of N examples adds, [N]; their mean is `value`.

        Args:
            values: [A, N], of which the curve is the mean over N.
        """
        wide = values[[self.place, -1, 0]].astype(np.float64)
        found: Floats = wide[0] - self.share * wide[1] - (1 - self.share) * wide[2]
        return found


def barrier(curve: Floats) -> Lift:
    """The curve's maximum above the mean of its ends (paper 003, equation 3); at least half of what these differ by."""
    return _lift(curve, np.full(len(curve), 0.5))


def chord(curve: Floats) -> Lift:
    """Its largest height above the straight line between its ends: 0 or more, and 0 if it is convex."""
    return _lift(curve, np.arange(len(curve)) / (len(curve) - 1))


def over_max(curve: Floats) -> Lift:
    """Its maximum above the higher of its ends: 0 or more."""
    return _lift(curve, np.full(len(curve), float(curve[-1] >= curve[0])))


def _lift(curve: Floats, share: Floats) -> Lift:
    second, first = curve[0], curve[-1]
    with np.errstate(invalid="ignore"):
        # from the nearer end: exact at both, and where they are equal
        mixed = np.where(
            share < 0.5, second + share * (first - second), first + (1 - share) * (second - first)
        )
        excess = curve - np.where(share == 0.5, (first + second) / 2, mixed)
    place = int(np.argmax(excess))  # the first NaN, if there is one
    return Lift(float(excess[place]), place, float(share[place]))


def falls(curve: Floats) -> float:
    """The share of steps from the first net to the second at which the curve falls; 1: it falls all the way."""
    with np.errstate(invalid="ignore"):
        steps = np.diff(curve[::-1])
    return float("nan") if np.isnan(steps).any() else float((steps < 0).mean())


def rise(curve: Floats) -> float:
    """The most it rises, on the way from the first net to the second, above its lowest value so far; or 0."""
    way = curve[::-1]
    with np.errstate(invalid="ignore"):
        return float((way - np.minimum.accumulate(way)).max())


def numbers(curve: Floats) -> tuple[dict[str, float], dict[str, Lift]]:
    """Its `COLUMNS`, in the curve's unit, and what is behind the first three."""
    lifts = {"barrier": barrier(curve), "chord": chord(curve), "over-max": over_max(curve)}
    second, first = float(curve[0]), float(curve[-1])
    with np.errstate(invalid="ignore"):
        bound = float(np.abs(curve[-1] - curve[0]) / 2)
    ends = {"bound": bound, "first": first, "second": second}
    found = {name: lift.value for name, lift in lifts.items()} | ends
    return found | {"falls": falls(curve), "rise": rise(curve)}, lifts


def standard_error(parts: Floats) -> float | None:
    """Of the mean of what N examples add, [N]; none of a single one."""
    return float(parts.std(ddof=1) / np.sqrt(len(parts))) if len(parts) > 1 else None


@dataclass
class Curves:
    """Errors and losses of one set of images under one policy, pair by pair."""

    error: list[Floats] = field(default_factory=list)
    """Of each pair, [A]."""
    loss: list[Floats] = field(default_factory=list)
    pairs: list[dict[str, float]] = field(default_factory=list)
    """Of each pair, the numbers of its error: percent points, and shares."""
    losses: list[dict[str, float]] = field(default_factory=list)
    errors: list[float | None] = field(default_factory=list)
    """Of each pair, the standard error of its error barrier, percent points."""
    parts: dict[str, Floats] = field(default_factory=dict)
    """What each image adds to the numbers of errors, summed over the pairs, [N]."""

    def add(self, right: NDArray[np.bool_], loss: Floats) -> None:
        """A pair more: which images were right [A, N], and mean losses [A], at ascending alphas."""
        wrong = ~right
        curve = wrong.mean(axis=1)
        found, lifts = numbers(curve)
        self.error.append(curve)
        self.loss.append(loss)
        self.pairs.append({name: value * _unit(name) for name, value in found.items()})
        self.losses.append(numbers(loss)[0])
        parts = {name: lift.parts(wrong) for name, lift in lifts.items()}
        first, second = wrong[-1].astype(np.float64), wrong[0].astype(np.float64)
        parts |= {"first": first, "second": second}
        parts["bound"] = (first - second) / 2 * np.sign(curve[-1] - curve[0])
        for name, part in parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + part * _unit(name)
        error = standard_error(parts["barrier"])
        self.errors.append(None if error is None else 100 * error)

    def spread(self, name: str) -> float | None:
        """The standard error, over images, of the mean over pairs of a number of errors; None: it is no mean."""
        return standard_error(self.parts[name] / len(self.pairs)) if name in self.parts else None


def _unit(name: str) -> float:
    return 1.0 if name in SHARES else 100.0
