"""What keeps lines and marks from hiding each other: which lines lie under others, and how far marks step aside."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter

STEP, SPREAD = 3.4, 20.0
"""Points from one series' marks to the next one's at the same place, and of all of them at most."""
NEAR = 0.004
"""Of a panel's sides: points closer than this lie over each other."""
Point = tuple[float, float]


def hidden(lines: Mapping[str, Sequence[Point]]) -> dict[str, int]:
    """How many later lines each line lies under: with half of its points or more.

    Args:
        lines: points of each line, in the order in which they are drawn.
    """
    every = [point for points in lines.values() for point in points] or [(0.0, 0.0)]
    wide, tall = (NEAR * (max(side) - min(side) or 1.0) for side in zip(*every, strict=True))
    ordered = {name: sorted(points) for name, points in lines.items()}
    names = [*lines]
    return {
        name: sum(_under(ordered[name], ordered[later], wide, tall) for later in names[at + 1 :])
        for at, name in enumerate(names)
    }


def _under(lower: Sequence[Point], upper: Sequence[Point], wide: float, tall: float) -> bool:
    """Whether points of the upper line lie over half of the lower one's; both by x."""
    met = 0
    for x, y in lower:
        first, end = (bisect_right(upper, one, key=itemgetter(0)) for one in (x - wide, x + wide))
        met += any(abs(other - y) <= tall for _, other in upper[first:end])
    return bool(met) and 2 * met >= len(lower)


def aside(marks: Mapping[str, Sequence[Point]]) -> dict[str, float]:
    """By how many points the marks of each series step to the right: by none where no two series are at one x.

    Args:
        marks: points of each series, in the order of the legend.
    """
    at = Counter(x for points in marks.values() for x in {x for x, _ in points})
    if max(at.values(), default=0) < 2:
        return dict.fromkeys(marks, 0.0)
    step = min(STEP, SPREAD / len(marks))
    return {name: step * (place - (len(marks) - 1) / 2) for place, name in enumerate(marks)}
