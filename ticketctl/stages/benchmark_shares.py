"""How a benchmark keeps within its time: what each net gets of it, and which nets are left out because they take more.

All is counted in steps of a net, whose length a few images tell. Seconds are those of the wall.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS, MOST_ROUNDS = 3, 25
"""How many there should be, and how many there are at most, of each net."""
NETS_SHARE, YARDSTICK_SHARE, PROBES_SHARE = 0.8, 0.1, 0.1
"""Of the time: for nets, for the product of matrices, and to tell how long a step of each net takes."""
PER_ROUND, LEAST_STEPS, FULL_STEPS = 3.3, 8.0, 16.0
"""Steps' time of one round; of building a net, setting up and one round; and of the same with `ROUNDS` rounds."""
TURNS = 3.0
"""Seconds that `ROUNDS` rounds of a net without any weight take: a turn has a length of its own."""
OVER = 1.5
"""How far a net may exceed its share, to get what it should have at least."""
FEW = 2
"""Images of the first step that is timed, to tell how long a whole one takes: some layers need more than one."""
ENOUGH = 0.2
"""Seconds of such a step, at least, from which on it tells enough."""
LIMIT = 2.0
"""Likewise, all nets together, of the time that was asked for: beyond it no other net is begun."""


@dataclass(frozen=True)
class Clock:
    """The time of all that is timed, on the wall."""

    began: float
    seconds: float
    """About how long it should take."""

    def spent(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.began


def expected(nets: int, seconds: float) -> str:
    """What is said first: how long it takes in all."""
    return (
        f"timing {nets} net{'s' * (nets != 1)}: about {seconds:g} s, at most {LIMIT * seconds:g} s, "
        "and some seconds to begin"
    )


def step_of(batch: int, timed: Callable[[int], float], enough: float) -> float:
    """Seconds of a step, or more: told by the smallest part of its batch that takes `enough` seconds.

    Args:
        batch: images of the step.
        timed: seconds of a step of so many images; it is asked for more and more of them.
        enough: seconds; the last step that is timed takes about four times as many, at most.
    """
    images = min(FEW, batch)
    taken = timed(images)
    while images < batch and taken <= enough:
        images = min(batch, 4 * images)
        taken = timed(images)
    return taken * batch / images


def shares(steps: Sequence[float], seconds: float) -> list[float]:
    """Of the time for all nets, seconds of each; 0: it is left out.

    Each gets what is proportional to what it needs. Where that is too little for one round the net with the longest
    step is left out, which is the one that lacks most, and the others share anew.

    Args:
        steps: seconds of a step of each.
        seconds: for all.
    """
    needs = [FULL_STEPS * step + TURNS for step in steps]
    kept = sorted(range(len(steps)), key=lambda place: steps[place])
    while kept:
        each = seconds / sum(needs[place] for place in kept)
        longest = kept[-1]
        if LEAST_STEPS * steps[longest] <= OVER * each * needs[longest]:
            break
        kept.pop()
    return [each * needs[place] if place in kept else 0.0 for place in range(len(steps))]


def goes_on(done: int, spent: float, rounds: float, share: float) -> bool:
    """Whether a net gets another round: always a first one, and the next if it ends in time.

    Args:
        done: rounds that were had.
        spent: seconds since the net was begun.
        rounds: seconds of them that went into rounds.
        share: seconds of the net.
    """
    if done == 0 or done >= MOST_ROUNDS:
        return done == 0
    return spent + rounds / done <= share * (OVER if done < ROUNDS else 1.0)


def round_seconds(step: float) -> float:
    """About how long one round takes, at most."""
    return PER_ROUND * step + TURNS / ROUNDS


def wanted(step: float) -> int:
    """`--seconds` of a benchmark of one net alone, that has room for its rounds."""
    return math.ceil((FULL_STEPS * step + TURNS) / NETS_SHARE)
