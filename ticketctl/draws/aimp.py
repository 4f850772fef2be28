"""Accelerated IMP: search the mask with short trainings, train the ticket in full.

As `imp` from the initialisation, but levels 0 to n - 1 train for E' = share E epochs each, their schedule compressed to
that length; their |w| at the end choose the masks. Level n, the ticket, is trained for all E epochs. Zullich et al.
(2021), as paper 003 sections 4.3 and D describe it: 20 or 50 of 200 epochs.

Choices: milestones and warm-up shrink with the training, warm-up to at least one step; there is no pretraining, so a
rewind point other than 0 is refused. With `share = 1` this is `imp`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ticketctl.draws._ladder import (
    LadderParams,
    budgets,
    by_magnitude,
    check_ladder,
    chosen_from,
    dense_level,
    refuse_rewind,
    title_of,
)
from ticketctl.errors import UsageError
from ticketctl.recipe import Rational
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Zullich et al. 2021; paper 003",
    "rule": "|w| at the end of the level before, trained for a share of E",
    "scope": "global; or layer",
    "data": "all, to train the dense net and every level, briefly but for the last",
    "cost": "nE/10 + E; share = s: nsE + E",
    "nested": "yes",
    "start": "initialisation",
    "inverted": "yes; by |w| of the trained dense net",
    "notes": "nothing",
    "limits": "no rewind point; `share` above 0, at most 1; at most 254 rounds",
}


NO_REWIND = "aimp starts from the initialisation: leave --rewind out"


@dataclass(frozen=True)
class Params(LadderParams):
    """Keys of `[draw]` for aimp."""

    share: Rational = Fraction(1, 10)
    """Length of a search training as a share of the recipe's: 1/10 and 1/4 are the paper's 20 and 50 of 200 epochs."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n-1, each trained briefly, and level n, trained in full.

    Raises:
        UsageError: a rewind point; a share outside (0, 1].
    """
    refuse_rewind(lab.rewind, NO_REWIND)
    _check(params)
    counts, rank = budgets(lab, target, params), by_magnitude(lab)
    short = lab.bench.train.scaled(params.share)
    level = dense_level(lab, short if len(counts) > 1 else None)
    yield level
    for number, budget in enumerate(counts[1:], 1):
        lab.poll()
        mask = chosen_from(rank(level, number).scores, budget, level.mask)
        train = None if number == len(counts) - 1 else short
        fit = lab.fit(level.start, mask, train=train, title=title_of(number, mask))
        level = Level(mask, level.start, fit)
        yield level


def cost(plan: Plan, params: Params) -> Cost:
    """All rounds of the search, and one training in full.

    Raises:
        UsageError: a target or share that cannot be.
    """
    refuse_rewind(plan.rewind, NO_REWIND)
    _check(params)
    rounds = check_ladder(params, plan.target)
    short = max(1, math.floor(plan.epochs * params.share + Fraction(1, 2)))  # as TrainSpec.scaled rounds
    return Cost(1 + rounds, rounds * short + plan.epochs)


def _check(params: Params) -> None:
    if not 0 < params.share <= 1:
        raise UsageError(f"draw.share: above 0 and at most 1, not {float(params.share):g}")
