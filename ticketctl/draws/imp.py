"""Iterative magnitude pruning: train, drop the smallest weights, rewind, repeat.

Each round trains the masked net from the rewound weights to its end, ranks |w_T| over the weights still alive, and
keeps round(N (1-rate)^level) of them; then every weight, bias and buffer goes back to the rewind point. `rewind = "0"`
is the lottery-ticket procedure of Frankle & Carbin (2019), a later point is late rewinding (LTR; Frankle et al. 2020).
The ranking uses the weights of the last epoch. All of papers 000-004 draw this way.

Choices: one rule for counts and ties (exact, lower flat index first); all levels see the same data order.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import ladder_trainings, magnitude_ladder
from ticketctl.train.lab import Lab, Level, Target


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained."""
    return magnitude_ladder(lab, target, params)


def trainings(target: Target, params: Params) -> int:
    """How many trainings this takes."""
    return ladder_trainings(target, params)
