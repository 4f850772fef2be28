"""Late rewinding at random: each round drops weights of those alive by lot.

The ladder of `ltr` whose mask owes nothing to training: every surviving weight draws a uniform number in every round,
and the lowest share `rate` goes. Each level is trained all the same, so that its accuracy can stand beside the ladders
that rank. Paper 002 section 3.1.

Choices: the numbers come from the stream `draw` at (random-iterative, round, layer), 53 bits each, so neither the
training nor the device has a say in the mask.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ticketctl.draws._ladder import LadderParams as Params
from ticketctl.draws._ladder import Ranked, ladder, ladder_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "paper 002",
    "rule": "a new random number in every round",
    "scope": "global; or layer",
    "data": "all, to train; none for the mask",
    "cost": "(n + 1)E - nk",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "yes; by |w| of the trained dense net",
    "notes": "nothing",
    "limits": "at most 254 rounds",
}


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained from the rewind point."""

    def rank(_above: Level, number: int) -> Ranked:
        return Ranked({name: _lots(lab, name, shape, number) for name, shape in lab.shapes.items()})

    return ladder(lab, target, params, rank)


def _lots(lab: Lab, name: str, shape: torch.Size, number: int) -> torch.Tensor:
    """53 random bits per weight as float64, which holds them exactly."""
    words = lab.seeds.raw("draw", "random-iterative", number, name, count=shape.numel())
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64)).reshape(shape)


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included."""
    return ladder_cost(plan, params)
