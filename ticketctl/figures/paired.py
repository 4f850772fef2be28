"""Differences paired by seed: what two sets of runs share is taken out of their difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from ticketctl.figures.shelf import Group, Net

Seed = TypeVar("Seed", int, tuple[int, int])
T = TypeVar("T")


@dataclass(frozen=True)
class Paired:
    """The mean of n differences, and half the width of its 95 % interval.

    No width for n below 2, nor where all differences are equal: an interval without width would look like certainty.
    """

    mean: float
    half_width: float | None
    n: int
    equal: bool = False
    """Whether there are several differences and all are equal."""

    @property
    def low(self) -> float | None:
        """Where the interval begins; None without a width."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Where it ends."""
        return None if self.half_width is None else self.mean + self.half_width

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "low": self.low, "high": self.high}


def paired(ours: Mapping[Seed, float], theirs: Mapping[Seed, float]) -> Paired | None:
    """Ours minus theirs, over the seeds that both have; None if they share none. Interval by Student's t."""
    gaps = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not gaps:
        return None
    n, mean = len(gaps), float(np.mean(gaps))
    if n == 1:
        return Paired(gaps[0], None, 1)
    if all_equal(gaps):
        return Paired(mean, None, n, equal=True)
    error = float(np.std(gaps, ddof=1)) / math.sqrt(n)
    return Paired(mean, quantile(n - 1) * error, n)


def by_seeds(group: Group, value: Callable[[Net], T | None]) -> dict[tuple[int, int], T]:
    """The value of each net that stayed finite and has it, by its seeds; those that several nets have make no pair."""
    found: dict[tuple[int, int], list[T | None]] = {}
    for net in group.finite:
        found.setdefault(net.seeds, []).append(value(net))
    return {seeds: one[0] for seeds, one in found.items() if len(one) == 1 and one[0] is not None}


def all_equal(values: Sequence[float]) -> bool:
    """Whether the values are one but for rounding: to 1e-12 of themselves, or of 1, which accuracies are below."""
    return max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values))


def quantile(freedom: int, share: float = 0.95) -> float:
    """The t for which Student's distribution of `freedom` degrees has `share` of its mass within [-t, t].

    The mass is finite in sines and cosines of atan(t / sqrt(freedom)) (Abramowitz and Stegun 1964, 26.7.3 and
    26.7.4); it is inverted by bisection over that angle.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mass(middle, freedom) < share else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _mass(angle: float, freedom: int) -> float:
    cosine = math.cos(angle)
    odd = freedom % 2 == 1
    term = total = (cosine if odd else 1.0) if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
