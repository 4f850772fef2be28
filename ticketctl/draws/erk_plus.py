"""ERK with a dense output layer ("ERK+"); positions at random.

The output layer keeps all of its n_head weights, and Erdős–Rényi-Kernel (`erk`) spreads the others over the rest at
density (d N - n_head) / (N - n_head). Liu et al. (2022), "The Unreasonable Effectiveness of Random Pruning", who use it
on ImageNet.

Choices: counts are exact, as in `erk`; where the output layer is not prunable it is dense already, and this is `erk` at
the density asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import erk_plus, sizes_of
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Liu et al. 2022",
    "rule": "the output layer dense, ERK over the others; random positions",
    "scope": "layer",
    "data": "none",
    "cost": "E",
    "nested": "by counts",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`dense_layers`",
    "limits": (
        "takes a density, not rounds; the output layer must leave weights for the others; a layer may end "
        "up empty (`least` sees to it)"
    ),
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    least: int = 0
    """Weights that every layer keeps at the least; 0: a layer may end up empty."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: the output layer alone takes all that is to be kept; the density is too small for `least`.
    """
    counts = erk_plus(lab.shapes, count_of(lab, target, "erk-plus"), head=lab.head)
    counts = at_least(counts, sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "erk-plus", counts, {"dense_layers": dense_layers(lab, counts)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "erk-plus")
