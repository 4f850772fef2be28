"""One-shot magnitude pruning: train once, keep the largest weights, rewind.

The dense net is trained to its end, |w_T| is ranked over all layers, and the round(N d) largest stay; the ticket starts
from the initialisation or from the rewind point. Paper 004 section 3, paper 001 A1.4. At density 1 - rate it is level 1
of `imp`.

Choices: the weights ranked are those of the last epoch; counts are exact, ties go to the lower flat index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import magnitudes, one_shot, one_shot_cost
from ticketctl.masks.select import top
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "papers 001 and 004",
    "rule": "|w| of the trained dense net",
    "scope": "global",
    "data": "all, to train the dense net and the ticket",
    "cost": "2E - k",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "yes; by |w| of the trained dense net",
    "notes": "nothing",
    "limits": "takes a density, not rounds",
}


@dataclass(frozen=True)
class Params:
    """omp has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense, and level 1."""
    return one_shot(lab, target, "omp", lambda dense, count: top(magnitudes(lab, dense), count))


def cost(plan: Plan, params: Params) -> Cost:
    """The dense training and the ticket's."""
    return one_shot_cost(plan, "omp")
