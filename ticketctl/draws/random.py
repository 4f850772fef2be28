"""Random pruning: keep weights by one random ranking over all layers.

The counts per layer follow from the ranking (multinomial). Masks of smaller density are subsets of larger ones, and
depend on the seed and the tensors' names alone. Papers 001 (A4) and 004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import one_shot, one_shot_trainings
from ticketctl.masks.spread import random_masks
from ticketctl.train.lab import Lab, Level, Target


@dataclass(frozen=True)
class Params:
    """random has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense, and level 1."""
    return one_shot(lab, target, "random", lambda _, count: random_masks(lab.shapes, [count], lab.seeds)[0])


def trainings(target: Target, params: Params) -> int:
    """How many trainings this takes."""
    return one_shot_trainings(target, "random")
