"""Is a difference more than chance? Intervals and tests over seeds, and ranks of methods over blocks. numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ticketctl.figures.paired import Paired, all_equal, paired

BLOCKS = 10
"""Blocks below which a critical difference is not to be trusted (Demšar 2006, section 3.2.2)."""
LEVEL = 0.05


@dataclass(frozen=True)
class Tested:
    """A difference paired by seed, and how likely one so large is by chance, by two tests; both two-sided."""

    gap: Paired
    student: float | None
    """Of the paired t-test; None for one pair, or where all differences are equal."""
    wilcoxon: float | None
    """Of the signed-rank test, exact; None for one pair, or where all differences are 0."""
    holm: float | None = None
    """The first, corrected for all the differences that are told beside it."""


def interval(values: Sequence[float]) -> Paired | None:
    """Mean and 95 % interval by Student's t; None of nothing. Without a width where n is 1 or all are equal."""
    return paired(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Tested | None:
    """Ours minus theirs over the seeds that both have; None if they share none."""
    gap = paired(ours, theirs)
    if gap is None:
        return None
    gaps = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    return Tested(gap, student(gaps), signed_rank(gaps) if len(gaps) > 1 else None)


# ------------------------------------------------------------------------------------------------------------- pairs


def student(gaps: Sequence[float]) -> float | None:
    """Two-sided p of the paired t-test: that differences so far from 0 come of a normal distribution around it.

    None for fewer than two, or where all are equal: their deviation, 0, tells nothing of chance.
    """
    if len(gaps) < 2 or all_equal(gaps):
        return None
    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    return beyond(abs(float(np.mean(gaps))) / error, len(gaps) - 1)


def beyond(t: float, freedom: int) -> float:
    """The mass of Student's distribution outside [-t, t], for t >= 0: I_x(f / 2, 1 / 2) at x = f / (f + t^2).

    By the continued fraction of the incomplete beta function (Abramowitz and Stegun 1964, 26.5.8), which keeps its
    digits however small the mass is.
    """
    x = freedom / (freedom + t * t)
    a, b = freedom / 2, 0.5
    if x > (a + 1) / (a + b + 2):
        return 1 - _part(1 - x, b, a)
    return _part(x, a, b)


def _part(x: float, a: float, b: float) -> float:
    """I_x(a, b), where x < (a + 1) / (a + b + 2) or nearly, so that the fraction converges soon."""
    if x <= 0:
        return 0.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    value = 1.0
    for m in range(120, 0, -1):  # from far in to the outside: the two steps of each round
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + even / (1 + odd / value)
    value = 1 - (a + b) * x / (a + 1) / value
    return front / (a * value)


def signed_rank(gaps: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test, exact: over all signs that these differences could have had.

    Differences of 0 are left out (Wilcoxon's own rule); ties share their mean rank. None where nothing is left. Of n
    differences p is never below 2 / 2^n.
    """
    kept = [gap for gap in gaps if abs(gap) > 1e-12]
    if not kept:
        return None
    doubled = [round(2 * rank) for rank in ranks([abs(gap) for gap in kept])]
    plus = sum(rank for rank, gap in zip(doubled, kept, strict=True) if gap > 0)
    ways = np.zeros(sum(doubled) + 1)
    ways[0] = 1.0
    for rank in doubled:  # the distribution of the sum over equally likely signs
        ways[rank:] = (ways[rank:] + ways[:-rank]) / 2
        ways[:rank] /= 2
    least = min(plus, sum(doubled) - plus)
    return min(1.0, 2 * float(ways[: least + 1].sum()))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Each p corrected for being one of several (Holm 1979); what was not tested counts for nothing."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    found: list[float | None] = [None] * len(values)
    most = 0.0
    for at, (p, place) in enumerate(known):
        most = max(most, min(1.0, (len(known) - at) * p))
        found[place] = most
    return found


# ------------------------------------------------------------------------------------------------------------- ranks


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the smallest; values that are one but for rounding share their mean rank."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    ends = [
        at
        for at, (one, other) in enumerate(pairwise(order), 1)
        if not all_equal([values[one], values[other]])
    ]
    for begin, end in pairwise([0, *ends, len(order)]):
        for place in order[begin:end]:
            found[place] = (begin + end + 1) / 2
    return found


@dataclass(frozen=True)
class Ranked:
    """Mean ranks, 1 being the best, and how far apart two must be to differ by more than chance."""

    means: Mapping[str, float]
    blocks: int
    """Rows of which each ranks all of them."""
    apart: int
    """Blocks that share neither seed nor net nor data: those that count as independent."""
    left_out: int
    """Blocks in which some of them has no value."""
    critical: float | None
    """The critical difference of Nemenyi's test at 5 %; None below `BLOCKS` independent blocks, or of fewer than 3."""


def ranked(
    rows: Mapping[tuple[str, str], Mapping[str, float]], names: Sequence[str], *, lower: bool = False
) -> Ranked | None:
    """Mean ranks over the rows in which all have a value; None if there is no such row, or fewer than two names.

    Rows of one seed share draws and batches, and are no independent witnesses: the critical difference, q of the
    studentized range times sqrt(k (k + 1) / (6 N)) (Demšar 2006), is taken with N the number of independent ones, which
    is too wide rather than too narrow.

    Args:
        rows: by what is independent, and by what is not; of each the values by name.
        names: what is ranked.
        lower: whether less is better.
    """
    whole = {key: row for key, row in rows.items() if all(name in row for name in names)}
    if not whole or len(names) < 2:
        return None
    sums = np.zeros(len(names))
    for row in whole.values():
        sums += ranks([row[name] if lower else -row[name] for name in names])
    apart = len({own for own, _ in whole})
    sound = apart >= BLOCKS and len(names) > 2
    critical = (
        range_quantile(len(names)) / math.sqrt(2) * math.sqrt(len(names) * (len(names) + 1) / (6 * apart))
    )
    means = dict(zip(names, map(float, sums / len(whole)), strict=True))
    return Ranked(means, len(whole), apart, len(rows) - len(whole), critical if sound else None)


def range_quantile(many: int, share: float = 1 - LEVEL) -> float:
    """Below which the range of so many standard normal values lies in `share` of all cases: studentized, for an error
    that is known.
    """
    z = np.linspace(-9.0, 9.0, 1801)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erf(one / math.sqrt(2)) for one in z]) / 2 + 0.5
    step, low, high = float(z[1] - z[0]), 0.0, 18.0
    for _ in range(50):
        middle = (low + high) / 2
        shifted = np.interp(z - middle, z, below, left=0.0)
        mass = many * float((density * (below - shifted) ** (many - 1)).sum()) * step
        low, high = (middle, high) if mass < share else (low, middle)
    return low
