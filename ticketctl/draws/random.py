"""Random pruning: keep weights by one random ranking over all layers.

Every weight draws one uniform number, and the round(N d) highest stay; how many each layer keeps follows from that
(multinomial: about d n_l). Masks of smaller density are subsets of larger ones, and depend on the seed and the tensors'
names alone. Papers 001 (A4) and 004 section 3.

Choices: one global ranking, where others toss a coin for each weight and meet the density on average only; `uniform`
fixes the density of every layer instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.masks.spread import random_masks
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "papers 001 and 004",
    "rule": "one random number per weight",
    "scope": "global",
    "data": "none",
    "cost": "E",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "nothing",
    "limits": "takes a density, not rounds",
}


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
