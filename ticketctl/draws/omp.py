"""One-shot magnitude pruning: train once, keep the largest weights, rewind.

The dense net is trained to its end, its weights are ranked by |w_T| over all layers, and the round(N d) largest are
kept; the ticket starts from the initialisation or from the rewind point. Paper 004 section 3, paper 001 A1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import dense_level, magnitudes, trained, wanted_count, wanted_density
from ticketctl.masks.select import top
from ticketctl.train.lab import Lab, Level, Target


@dataclass(frozen=True)
class Params:
    """omp has no keys of its own."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense, and level 1."""
    count = wanted_count(lab, target, "omp")
    dense = dense_level(lab)
    yield dense
    assert dense.fit is not None
    mask = top(magnitudes(lab, dense.fit), count)
    yield trained(lab, mask, dense, 1)


def trainings(target: Target, params: Params) -> int:
    """How many trainings this takes: the dense net and the ticket.

    Raises:
        UsageError: no density was given.
    """
    wanted_density(target, "omp")
    return 2
