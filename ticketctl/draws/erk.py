"""Erdős–Rényi-Kernel: sparser large layers, kernel sizes counted; positions at random.

A layer's density is min(1, eps (sum(shape) / prod(shape))^a) over all dimensions of its weight, with a = `power`, 1 as
published; eps is such that round(N d) weights are kept. Layers named in `custom` have the density given there, and the
others share what is left. Evci et al. (2020), appendix A.

Choices: published code takes the floor of every layer's pruned weights before it solves for eps, and then rounds or
draws layer by layer; here the shares sum to the total and largest remainders round them. Each layer has one random
ranking per seed, so masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import erk, sizes_of
from ticketctl.recipe import Rational
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Evci et al. 2020",
    "rule": "density in proportion to sum(shape) / prod(shape), at most 1; random positions",
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

    power: Rational = Fraction(1)
    """Exponent of sum(shape) / prod(shape): 1 as published, 0 for uniform densities."""
    custom: Mapping[str, Rational] = field(default_factory=dict)
    """Densities of single layers, by weight name, that ERK leaves alone; it spends what they do not."""
    least: int = 0
    """Weights that every layer keeps at the least; 0: a layer may end up empty."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: a power or custom density that cannot be; the density is too small for them, or for `least`.
    """
    counts = erk(lab.shapes, count_of(lab, target, "erk"), power=params.power, custom=params.custom)
    counts = at_least(counts, sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "erk", counts, {"dense_layers": dense_layers(lab, counts)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "erk")
