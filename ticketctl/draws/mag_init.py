"""Magnitude pruning at initialisation: keep the largest weights of the untrained net.

|w| at the point that levels start from, ranked over all layers; the round(N d) largest stay. With `scope = "layer"`
each layer is ranked alone and keeps the same share. A baseline of pruning at initialisation: Frankle et al. (2021),
Tanaka et al. (2020).

Choices: under `scope = "layer"` the counts are apportioned by largest remainders, so that the total is exact. With a
rewind point the weights ranked are those of the rewind point, which are trained so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ticketctl.draws._saliency import chosen
from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.masks.apportion import apportion
from ticketctl.masks.select import top, top_by_layer
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "Frankle et al. 2021; Tanaka et al. 2020",
    "rule": "|w| where levels start",
    "scope": "global; or layer",
    "data": "none",
    "cost": "E",
    "nested": "yes; scope = layer: by counts",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": "`precision`, `rounds`, `gap`, `zeros`",
    "limits": (
        "takes a density, not rounds; with scope = global, layers of narrow initialisation may end up empty"
    ),
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for mag-init."""

    scope: Literal["global", "layer"] = "global"
    """Rank all layers together, or keep the same share of each."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, untrained, and level 1, trained."""

    def choose(state: State, count: int) -> Chosen:
        scores = {name: state.weights[name].abs() for name in lab.shapes}
        if params.scope == "global":
            return chosen(scores, top(scores, count), precision="f32", rounds=1)
        sizes = {name: shape.numel() for name, shape in lab.shapes.items()}
        share = Fraction(count, sum(sizes.values()))
        counts = apportion({name: size * share for name, size in sizes.items()}, sizes, count)
        return chosen(scores, top_by_layer(scores, counts), by_layer=True, precision="f32", rounds=1)

    return at_start(lab, target, "mag-init", choose)


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "mag-init")
