"""The first epoch that is stable: by bisection, or one by one. Pure: nothing here knows what is evaluated.

Epochs are 0 .. `last`. `last` counts as stable without an evaluation: from there nothing is trained, and twins are one
net. Paper 003, section C.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

Evaluate = Callable[[int], bool]
"""Whether twins that leave the dense net at this epoch end linearly connected."""


@dataclass(frozen=True)
class Found:
    """Where stability begins, and what was asked to find that."""

    first: int
    """The smallest epoch that was found stable; `last` where none was."""
    trace: tuple[tuple[int, bool], ...]
    """Epochs and whether they are stable, as they were asked, each once."""


def bisect(evaluate: Evaluate, last: int) -> Found:
    """The smallest stable epoch, if every epoch after a stable one is stable, in at most `most_evaluations(last)`.

    If that is not so, an epoch that is stable and comes after an unstable one (0 comes after none).

    Args:
        evaluate: asked of epochs below `last` alone.
        last: the end of the training, 0 or more.
    """
    trace: list[tuple[int, bool]] = []
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        trace.append((middle, evaluate(middle)))
        low, high = (low, middle) if trace[-1][1] else (middle + 1, high)
    return Found(high, tuple(trace))


def scan(evaluate: Evaluate, last: int) -> Found:
    """The smallest stable epoch, whatever comes after it: all below `last` are asked, ascending."""
    trace = tuple((epoch, evaluate(epoch)) for epoch in range(last))
    return Found(next((epoch for epoch, stable in trace if stable), last), trace)


def most_evaluations(last: int) -> int:
    """What a bisection of 0 .. `last` asks at most: the logarithm of last + 1 to the base 2, rounded up."""
    return last.bit_length()


def contradictions(evaluated: Mapping[int, bool]) -> tuple[tuple[int, int], ...]:
    """Stable epochs that come before an unstable one, ascending, each with the last that does: none if monotone."""
    unstable = max((epoch for epoch, stable in evaluated.items() if not stable), default=-1)
    return tuple((epoch, unstable) for epoch in sorted(evaluated) if evaluated[epoch] and epoch < unstable)


def settled(evaluated: Mapping[int, bool], last: int) -> int:
    """The smallest epoch from which on all that were evaluated are stable, and `last` is."""
    unstable = max((epoch for epoch, stable in evaluated.items() if not stable), default=-1)
    later = (epoch for epoch, stable in evaluated.items() if stable and epoch > unstable)
    return min(later, default=last)


def at_most(last: int, price: Callable[[int], float], known: Mapping[int, bool], whole: bool) -> float:
    """What a search costs at most, whatever its evaluations say.

    Args:
        last: the end of the training.
        price: of an evaluation at an epoch.
        known: what was evaluated before, and costs nothing.
        whole: every epoch is asked, by `scan`; otherwise by `bisect`.
    """

    def own(epoch: int) -> float:
        return 0.0 if epoch in known else price(epoch)

    @cache
    def dearest(low: int, high: int) -> float:
        if low >= high:
            return 0.0
        middle = (low + high) // 2
        ways = {True: (low, middle), False: (middle + 1, high)}
        told = [known[middle]] if middle in known else [True, False]
        return own(middle) + max(dearest(*ways[stable]) for stable in told)

    return sum(map(own, range(last)), 0.0) if whole else dearest(0, last)
