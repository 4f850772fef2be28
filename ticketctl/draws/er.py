"""Erdős–Rényi: sparser large layers, by their channels alone; positions at random.

A layer's density is min(1, eps (n_in + n_out) / (n_in n_out)), with n_in and n_out its channels; eps is such that
round(N d) weights are kept. Kernel sizes do not count: `erk` counts them. Mocanu et al. (2018); as the baseline of Evci
et al. (2020).

Choices: exact arithmetic and largest remainders, where published code rounds or draws layer by layer. Each layer has
one random ranking per seed, so masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import er, sizes_of
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Mocanu et al. 2018; Evci et al. 2020",
    "rule": "density in proportion to (n_in + n_out) / (n_in n_out), at most 1; random positions",
    "scope": "layer",
    "data": "none",
    "cost": "E",
    "nested": "by counts",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`dense_layers`",
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
    counts = at_least(er(lab.shapes, count_of(lab, target, "er")), sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "er", counts, {"dense_layers": dense_layers(lab, counts)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "er")
