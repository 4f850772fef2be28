"""SET, sparse evolutionary training: a sparse net trains while its mask moves, and what grows is chosen at random.

As `rigl`, but the positions that grow are drawn uniformly among all that were not kept. Every `every` steps each layer
of n weights drops the n_drop = floor(f_t n) smallest |w| and grows as many; new weights are 0. Mocanu et al. (2018);
the preset `paper` has the values under which Evci et al. (2020) compare it with RigL, `itop` those of SET-ITOP (Liu et
al. 2021): half of the weights every 1,500 steps, falling to 0.005.

Choices: the smallest |w| are dropped, where the original drops as many of the smallest positive as of the largest
negative weights; ITOP's code sorts the negative ones the wrong way round, which is not imitated. `anneal = "constant"`,
`every = "1ep"` and `end = 1` are the original's schedule. The random numbers are those of the stream `draw` at (set,
layer, step), so a resumed training grows the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._dynamic_draw import DynamicParams as Params
from ticketctl.draws._dynamic_draw import dynamic, dynamic_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Mocanu et al. 2018; Evci et al. 2020; Liu et al. 2021",
    "rule": "drop the smallest |w| of each layer, grow as many at random, while it trains",
    "scope": "layer; counts by ERK, or uniform",
    "data": "all, in the one training",
    "cost": "E; multiplier = m: mE; search = S: k + S + E",
    "nested": "no",
    "start": "initialisation or rewind point; search: trained weights",
    "inverted": "no",
    "notes": (
        "`epochs` of the training in which the mask moved, `preset`, `distribution`, `every` and `end` (in "
        "steps), `updates` (how many), `drop_fractions` (of each), `grown` (new weights in all), "
        "`itop_rate` (share of the weights ever active), `silent` (by layer, updates at which no gradient "
        "told candidates apart)"
    ),
    "limits": (
        "takes a density below 1, not rounds; trainings too short for `every` never move the mask, which is"
        " said"
    ),
}

LENGTHS = {"search": None}
"""What `--epochs` and `--scale` stretch, if it is said."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1, the mask at the end.

    Raises:
        UsageError: no density, one that leaves nothing to move, or keys that cannot be.
    """
    return dynamic(lab, target, "set", params)


def cost(plan: Plan, params: Params) -> Cost:
    """One training; with `search`, two.

    Raises:
        UsageError: no density was given, or keys that cannot be.
    """
    return dynamic_cost(plan, "set", params)
