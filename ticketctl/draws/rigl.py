"""RigL: a sparse net trains while its mask moves to where the dense gradient is largest.

The training begins under a random mask with ERK densities. At steps t = every, 2 every, ... before T_end, each layer of
n weights drops the n_drop = floor(f_t n) smallest |w|, f_t = alpha/2 (1 + cos(pi t / T_end)), and grows as many with
the largest |dL/dw| (dense, of the mean loss on that batch) among all positions that were not kept, the just dropped
ones included. New weights are 0 and have no momentum. The ticket is the final mask on the point that levels start from;
the run of that training, in the folder `search/1`, holds the final weights and the masks on the way, also where another
training goes on from it (`search = S`). Evci et al. (2020); paper 004 draws with the preset `itop` (Liu et al. 2021),
paper 000 with `distribution = "uniform"` and `search = 360`.

Choices: the batch of an update counts as a step and only its gradient is used (preset `paper`), as in the paper's
pseudo-code, not as in the released code, which updates at step 0 too and does not count; the drop fraction falls along
a cosine as the paper says, where the code's flags default to a constant; no noise breaks ties, the lower index wins.
Preset `itop`: the optimizer steps first, then ceil(f_t n) weights are dropped, f_t from 0.5 to 0.005 over the whole
training, every 4,000 steps. The initial counts are exact, where ITOP's code tosses a coin for each weight.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._dynamic_draw import DynamicParams as Params
from ticketctl.draws._dynamic_draw import dynamic, dynamic_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Evci et al. 2020; Liu et al. 2021; papers 000 and 004",
    "rule": "drop the smallest |w| of each layer, grow as many with the largest |g|, while it trains",
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
    return dynamic(lab, target, "rigl", params)


def cost(plan: Plan, params: Params) -> Cost:
    """One training; with `search`, two.

    Raises:
        UsageError: no density was given, or keys that cannot be.
    """
    return dynamic_cost(plan, "rigl", params)
