"""Accelerated IMP: search the mask with short trainings, train the ticket in full.

Every round of the search, the dense one included, trains for a share E'/E of the recipe's epochs, its schedule
compressed to that length; the mask so found is trained from the initialisation for all E epochs. Zullich et al. (2021),
as paper 003 sections 4.3 and D describe it: 20 or 50 of 200 epochs.

Choices: milestones and warm-up shrink with the training, warm-up to at least one step; there is no pretraining, so a
rewind point other than 0 is refused. With `share = 1` this is `imp`.
"""

from __future__ import annotations

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
    title_of,
)
from ticketctl.errors import UsageError
from ticketctl.recipe import Rational
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target


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
    if lab.rewind:
        raise UsageError("aimp starts from the initialisation: leave --rewind out")
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
    _check(params)
    rounds = check_ladder(params, plan.target)
    short = max(1, round(plan.epochs * params.share))
    return Cost(1 + rounds, rounds * short + plan.epochs)


def _check(params: Params) -> None:
    if not 0 < params.share <= 1:
        raise UsageError(f"draw.share: above 0 and at most 1, not {float(params.share):g}")
