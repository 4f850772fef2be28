"""Uniform random pruning: the same density in every layer, positions at random.

Every layer of n_l weights keeps n_l d of them, rounded by largest remainders so that round(N d) are kept in all. `form
= "plus"` is the form of Gale et al. (2019): the first convolution is dense, the output layer keeps at least a fifth,
and the others share what is left equally. Paper 000 draws RigL's first mask by the plain form with the first
convolution dense.

Choices: the density of `plus` is met exactly, where published code divides by too large a total and falls short. Each
layer has one random ranking per seed, so masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import sizes_of, uniform, uniform_plus
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Gale et al. 2019; paper 000",
    "rule": "density d in every layer; random positions",
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

    form: Literal["plain", "plus"] = "plain"
    """plus: the first convolution dense, and at least a fifth of the output layer (Gale et al. 2019)."""
    least: int = 0
    """Weights that every layer keeps at the least; 0: a layer may end up empty."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: the density is too small for the layers that are to keep more.
    """
    count = count_of(lab, target, "uniform")
    if params.form == "plus":
        counts = uniform_plus(lab.shapes, count, first=_first_convolution(lab), head=lab.head)
    else:
        counts = uniform(lab.shapes, count)
    counts = at_least(counts, sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "uniform", counts, {"dense_layers": dense_layers(lab, counts)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "uniform")


def _first_convolution(lab: Lab) -> str | None:
    """The first of the whole net, prunable or not."""
    return next((name for name, weight in lab.initial.weights.items() if weight.ndim > 2), None)
