"""Random pruning: keep weights by one random ranking over all layers.

The counts per layer follow from the ranking (multinomial). Masks of smaller density are subsets of larger ones, and
depend on the seed and the tensors' names alone. No trained net is needed, so level 0 is not trained. Papers 001 (A4)
and 004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.masks.spread import random_masks
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target


@dataclass(frozen=True)
class Params:
    """random has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1."""
    return at_start(
        lab, target, "random", lambda _start, count: Chosen(random_masks(lab.shapes, [count], lab.seeds)[0])
    )


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "random")
