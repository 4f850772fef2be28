"""Pyramidal random pruning: density r^l in the l-th layer from the input; positions at random.

r in (0, 1] is the real root of sum_l n_l r^l = d N over the prunable layers l = 1..L, of n_l weights each. Gadhikar et
al. (2023), "Why Random Pruning Is All We Need to Start Sparse".

Choices: the root is found by bisection in exact arithmetic, and largest remainders round the counts. Each layer has one
random ranking per seed, so masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import at_start_cost, count_of, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import pyramidal, sizes_of
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Gadhikar et al. 2023",
    "rule": "density r^l in layer l; random positions",
    "scope": "layer",
    "data": "none",
    "cost": "E",
    "nested": "by counts",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`ratio` (r)",
    "limits": "takes a density, not rounds; a layer may end up empty (`least` sees to it)",
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    least: int = 0
    """Weights that every layer keeps at the least; 0: a layer may end up empty."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: the density is too small for `least`.
    """
    counts, ratio = pyramidal(lab.shapes, count_of(lab, target, "pyramidal"))
    counts = at_least(counts, sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "pyramidal", counts, {"ratio": float(ratio)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "pyramidal")
