"""How long runs take that go in turn, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TURN = 0.02
"""Seconds that a turn lasts at least; shorter runs are repeated within it, at most `MOST` times."""
MOST = 1000


def seconds_of(
    runs: Mapping[str, Callable[[], None]],
    rounds: int,
    settle: Callable[[], None],
    poll: Callable[[], None],
) -> dict[str, Floats]:
    """Wall-clock seconds of one call of each run, [rounds], after calls that warm up.

    Args:
        runs: by name; they take their turns in this order, each once a round.
        rounds: at least 1.
        settle: waits until the device has done all that it was told.
        poll: called between turns; may raise to stop.
    """

    def turn(run: Callable[[], None], repeats: int) -> float:
        poll()
        settle()
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        settle()
        return (time.perf_counter() - began) / repeats

    repeats = {}
    for name, run in runs.items():
        turn(run, 2)
        repeats[name] = min(MOST, max(1, math.ceil(TURN / max(turn(run, 1), 1e-9))))
    found = [{name: turn(run, repeats[name]) for name, run in runs.items()} for _ in range(rounds)]
    return {name: np.array([one[name] for one in found]) for name in runs}


def middle(values: Floats, weights: Floats) -> float:
    """The median of `values`, each counted as often as its whole-numbered weight says."""
    return float(np.median(np.repeat(values, weights.astype(np.int64))))
