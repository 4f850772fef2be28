"""Random pruning: keep weights by one random ranking over all layers.

The counts per layer follow from the ranking (multinomial). Masks of smaller density are subsets of larger ones, and
depend on the seed and the tensors' names alone. Papers 001 (A4) and 004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import dense_level, trained, wanted_count, wanted_density
from ticketctl.masks.spread import random_masks
from ticketctl.train.lab import Lab, Level, Target


@dataclass(frozen=True)
class Params:
    """random has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense (it passes through the rewind point and is the baseline), and level 1."""
    count = wanted_count(lab, target, "random")
    dense = dense_level(lab)
    yield dense
    mask = random_masks(lab.shapes, [count], lab.seeds)[0]
    yield trained(lab, mask, dense, 1)


def trainings(target: Target, params: Params) -> int:
    """How many trainings this takes: the dense net and the ticket.

    Raises:
        UsageError: no density was given.
    """
    wanted_density(target, "random")
    return 2
