"""Differences paired by seed: what two sets of runs share is taken out of their difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Paired:
    """The mean of n differences, and half the width of its 95 % interval (None for n below 2)."""

    mean: float
    half_width: float | None
    n: int


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired | None:
    """Ours minus theirs, over the seeds that both have; None if they share none. Interval by Student's t."""
    gaps = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not gaps:
        return None
    n = len(gaps)
    if n == 1:
        return Paired(gaps[0], None, 1)
    error = float(np.std(gaps, ddof=1)) / math.sqrt(n)
    return Paired(float(np.mean(gaps)), quantile(n - 1) * error, n)


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
