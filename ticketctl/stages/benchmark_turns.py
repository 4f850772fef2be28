"""Timing on a machine that others use too: variants take turns, and their ratios are taken round by round."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

TURN = 0.15
"""Seconds that a turn lasts, at least: what is shorter is repeated within it."""
MOST = 100_000
"""Repeats of one turn."""
TICK = 1e-9
"""Seconds that anything takes at least: clocks have a grain."""
UNEVEN = 1.5
"""How many times the least of all rounds the most may be, of a figure that is held against anything."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """A median over rounds, and the least and the most."""

    median: float
    least: float
    most: float
    unsure: bool = False
    """Whether the rounds differ too much to tell anything by, or there was only one."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Timing:
        """Of one value each round, at least one."""
        found = list(values)
        unsure = len(found) < 2 or max(found) > UNEVEN * min(found)
        return cls(statistics.median(found), min(found), max(found), unsure)

    def times(self, factor: float) -> Timing:
        """In another unit; `factor` is above 0."""
        return Timing(self.median * factor, self.least * factor, self.most * factor, self.unsure)


@dataclass(frozen=True)
class Lap:
    """Seconds of one call: by the clock that figures are taken by, and on the wall."""

    work: float
    wall: float


def _nothing() -> None:
    """A CPU has done what it was told."""


@dataclass(frozen=True)
class Stopwatch:
    """A clock, and how to wait for the device."""

    clock: Callable[[], float] = time.process_time
    """Seconds: of the processor, where one thread computes; else of the wall."""
    settle: Callable[[], None] = field(default=_nothing)
    """Waits until the device has done all that it was told."""

    def lap(self, run: Run, repeats: int = 1) -> Lap:
        """Of one call of so many."""
        self.settle()
        work, wall = self.clock(), time.perf_counter()
        for _ in range(repeats):
            run()
        self.settle()
        work, wall = self.clock() - work, time.perf_counter() - wall
        return Lap(max(work / repeats, TICK), max(wall / repeats, TICK))

    def repeats(self, run: Run, most: float = math.inf) -> int:
        """Calls that fill a turn; the first call may set things up, and counts only where it is long by far.

        Args:
            run: what is called.
            most: seconds that a turn may last, where that is less than it should.
        """
        turn, wall = min(TURN, most), self.lap(run).wall
        if wall < 4 * turn:
            wall = self.lap(run).wall
        return min(MOST, max(1, round(turn / wall)))


def in_turns(
    variants: Mapping[str, Run],
    more: Callable[[int], bool],
    watch: Stopwatch,
    repeats: Mapping[str, int] | None = None,
) -> dict[str, list[Lap]]:
    """Laps of each variant, one a round, all of them in turn.

    Args:
        variants: by name.
        more: whether to go on after so many rounds.
        watch: what they are timed with.
        repeats: calls that make up a lap of each; 1, where it is not said.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in variants}
    done = 0
    while more(done):
        for name, run in variants.items():
            laps[name].append(watch.lap(run, repeats[name] if repeats else 1))
        done += 1
    return laps


def ratios(over: Sequence[Lap], under: Sequence[Lap]) -> Timing:
    """Of laps of the same rounds: what the one takes in units of the other."""
    return Timing.of(one.work / other.work for one, other in zip(over, under, strict=True))


def rates(laps: Sequence[Lap], amount: float) -> Timing:
    """Of `amount` in each lap, how much a second."""
    return Timing.of(amount / lap.work for lap in laps)
