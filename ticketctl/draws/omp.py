"""One-shot magnitude pruning: train once, keep the largest weights, rewind.

The dense net is trained to its end, its weights are ranked by |w_T| over all layers, and the round(N d) largest are
kept; the ticket starts from the initialisation or from the rewind point. Paper 004 section 3, paper 001 A1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import magnitudes, one_shot, one_shot_cost
from ticketctl.masks.select import top
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target


@dataclass(frozen=True)
class Params:
    """omp has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense, and level 1."""
    return one_shot(lab, target, "omp", lambda dense, count: top(magnitudes(lab, dense), count))


def cost(plan: Plan, params: Params) -> Cost:
    """The dense training and the ticket's."""
    return one_shot_cost(plan, "omp")
