"""Balanced random pruning: the same number of weights in every layer; positions at random.

Each of the L layers keeps X = d N / L weights, or all it has if it has fewer. Gadhikar et al. (2023), "Why Random
Pruning Is All We Need to Start Sparse".

Choices: what small layers cannot hold goes to the others in equal parts until round(N d) are kept (`rule = "fill"`);
published code does not hand it on, and so keeps less than was asked for (`rule = "raw"`; a note says how much less).
Each layer has one random ranking per seed, so masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.masks.profiles import balanced, balanced_raw
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Gadhikar et al. 2023",
    "rule": "as many weights in every layer; random positions",
    "scope": "layer",
    "data": "none",
    "cost": "E",
    "nested": "by counts",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`dense_layers`",
    "limits": 'takes a density, not rounds; `rule = "raw"` keeps fewer weights than asked for',
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    rule: Literal["fill", "raw"] = "fill"
    """fill: the other layers take what small layers cannot hold; raw: it is lost, as in published code."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1. With `rule = "raw"` a smaller density may be reached; it is said."""
    count = count_of(lab, target, "balanced")
    counts = (balanced if params.rule == "fill" else balanced_raw)(lab.shapes, count)
    kept = sum(counts.values())
    if kept < count:
        lab.note(f'balanced, rule = "raw": {kept:,} weights are kept of the {count:,} asked for')
    return scattered(lab, target, "balanced", counts, {"dense_layers": dense_layers(lab, counts)})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "balanced")
