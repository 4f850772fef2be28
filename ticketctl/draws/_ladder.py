"""Shared by the draws that train, rank and prune, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import torch

from ticketctl.errors import UsageError
from ticketctl.masks.ladder import ladder_counts, layer_ladder_counts
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top, top_by_layer
from ticketctl.recipe import Rational, TrainSpec
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.schedule import learning_rates
from ticketctl.train.state import State

Budget = int | Mapping[str, int]
"""Kept weights of a level: in all, or by layer."""


@dataclass(frozen=True)
class LadderParams:
    """Keys of `[draw]` for every ladder."""

    rate: Rational = Fraction(1, 5)
    """Share of the weights still alive that each round removes."""
    scope: Literal["global", "layer"] = "global"
    """Rank all layers together, or keep the same share of each."""
    conv_rate: Rational | None = None
    """Rate of convolutions under `scope = "layer"` (Frankle & Carbin's Conv-2/4/6: 0.1, 0.1, 0.15); none: as rate."""
    head_rate: Rational | None = None
    """Rate of the output layer under `scope = "layer"` (the original procedure halves it); none: as the others."""


@dataclass(frozen=True)
class MagnitudeParams(LadderParams):
    """Keys of `[draw]` for the magnitude ladders."""

    retrain: Literal["rewind", "lr-rewind", "finetune"] = "rewind"
    """How a level is trained: from the rewind point; from the last level's weights, with the schedule set back to the
    rewind point (Renda et al. 2020); or from those weights at a constant rate."""
    finetune_lr: float | None = None
    """Rate of `finetune`; none: the last of the schedule."""


@dataclass(frozen=True)
class Ranked:
    """Scores of the weights, and the record of how they came about."""

    scores: Mapping[str, torch.Tensor]
    notes: Mapping[str, Any] = field(default_factory=dict)
    store: bool = False
    """Whether to keep the scores beside the mask; those that any kept run holds anyway are not."""


Rank = Callable[[Level, int], Ranked]
"""Scores for the level of that number, from the level before."""


def dense_level(lab: Lab, train: TrainSpec | None = None) -> Level:
    """Level 0: the dense training, which also passes through the rewind point."""
    keep = (lab.rewind,) if lab.rewind else ()
    fit = lab.fit(lab.initial, lab.full(), train=train, keep=keep, title="level 0, dense")
    return Level(lab.full(), lab.rewound(fit), fit)


def magnitudes(lab: Lab, fit: Fit) -> dict[str, torch.Tensor]:
    """|w| at the end of a training, for the prunable weights."""
    weights = fit.end().weights
    return {name: weights[name].abs() for name in lab.shapes}


def by_magnitude(lab: Lab) -> Rank:
    """|w| at the end of the level before."""
    return lambda above, _: Ranked(magnitudes(lab, trained_fit(above)))


def ladder(lab: Lab, target: Target, params: LadderParams, rank: Rank) -> Iterator[Level]:
    """Train, keep the best-ranked weights of those alive, start over: one level per round, each trained."""
    counts = budgets(lab, target, params)
    level = dense_level(lab)
    yield level
    for number, budget in enumerate(counts[1:], 1):
        lab.poll()
        ranked = rank(level, number)
        mask = chosen_from(ranked.scores, budget, level.mask)
        level = _retrained(lab, mask, level, number, params)
        scores = ranked.scores if ranked.store else None
        yield Level(mask, level.start, level.fit, level.role, ranked.notes, scores)


def chosen_from(scores: Mapping[str, torch.Tensor], budget: Budget, among: Mask) -> Mask:
    """The best-ranked weights of those alive."""
    if isinstance(budget, Mapping):
        return top_by_layer(scores, budget, among=among)
    return top(scores, budget, among=among)


def title_of(level: int, mask: Mask) -> str:
    """What the user sees while it trains."""
    return f"level {level}, density {float(mask.density):.4g}"


def trained_fit(level: Level) -> Fit:
    """The training of a level that has one."""
    assert level.fit is not None
    return level.fit


def _retrained(lab: Lab, mask: Mask, above: Level, number: int, params: LadderParams) -> Level:
    """The level that `mask` makes, trained as `params` say."""
    title = title_of(number, mask)
    retrain = params.retrain if isinstance(params, MagnitudeParams) else "rewind"
    if retrain == "rewind":
        return Level(mask, above.start, lab.fit(above.start, mask, title=title))
    start = State(pruned(trained_fit(above).end(), mask), 0 if lab.restart else lab.rewind)
    train = _constant(lab, params) if retrain == "finetune" else None
    return Level(mask, start, lab.fit(start, mask, train=train, title=title), role="trained")


def pruned(state: State, mask: Mask) -> dict[str, torch.Tensor]:
    """The weights with zeros where the mask has none."""
    return {
        name: torch.where(mask.keep[name], value, torch.zeros_like(value)) if name in mask.keep else value
        for name, value in state.weights.items()
    }


def _constant(lab: Lab, params: LadderParams) -> TrainSpec:
    """The recipe's training at one small rate."""
    assert isinstance(params, MagnitudeParams)
    own = lab.bench.train
    rate = params.finetune_lr or learning_rates(own, lab.bench.feed.steps_per_epoch)[-1]
    return own.model_copy(update={"lr": rate, "schedule": "constant", "milestones": (), "warmup": "0"})


def check_ladder(params: LadderParams, target: Target) -> int:
    """How many rounds a ladder has, as far as that shows before the net is built.

    Raises:
        UsageError: keys that do not go together, a target that cannot be.
    """
    if params.scope == "global" and (params.head_rate is not None or params.conv_rate is not None):
        raise UsageError('draw.head_rate and draw.conv_rate go with draw.scope = "layer"')
    if isinstance(params, MagnitudeParams) and params.finetune_lr is not None:
        if params.retrain != "finetune":
            raise UsageError('draw.finetune_lr goes with draw.retrain = "finetune"')
        if not params.finetune_lr > 0:
            raise UsageError(f"draw.finetune_lr: a rate above 0, not {params.finetune_lr:g}")
    return len(ladder_counts(10**9, rate=params.rate, rounds=target.rounds, density=target.density)) - 1


def ladder_cost(plan: Plan, params: LadderParams) -> Cost:
    """One training per level, the dense one included; levels skip what comes before the rewind point.

    Where layers have rates of their own, the number of rounds to a density may differ by a few.

    Raises:
        UsageError: as `check_ladder`.
    """
    rounds = check_ladder(params, plan.target)
    return Cost(1 + rounds, plan.epochs + rounds * (plan.epochs - plan.skipped))


def budgets(lab: Lab, target: Target, params: LadderParams) -> Sequence[Budget]:
    """Kept weights of each level, in all or by layer.

    Raises:
        UsageError: a target that cannot be.
    """
    check_ladder(params, target)
    sizes = {name: shape.numel() for name, shape in lab.shapes.items()}
    if params.scope == "global":
        total = sum(sizes.values())
        return ladder_counts(total, rate=params.rate, rounds=target.rounds, density=target.density)
    rates = {name: params.conv_rate for name, shape in lab.shapes.items() if len(shape) == 4}
    if params.head_rate is not None and lab.head not in sizes:
        raise UsageError("draw.head_rate: the output layer is not prunable here; leave the key out")
    rates |= {lab.head: params.head_rate} if lab.head in sizes and params.head_rate is not None else {}
    own = {name: rate for name, rate in rates.items() if rate is not None}
    return layer_ladder_counts(
        sizes, rate=params.rate, rounds=target.rounds, density=target.density, rates=own
    )


def one_shot(lab: Lab, target: Target, method: str, choose: Callable[[Fit, int], Mask]) -> Iterator[Level]:
    """Level 0, dense (it passes through the rewind point and is the baseline), and level 1, the mask of `choose`.

    `choose` is given the dense training and the exact count to keep.
    """
    size = sum(shape.numel() for shape in lab.shapes.values())
    count = kept_count(size, density_of(target, method))
    dense = dense_level(lab)
    yield dense
    mask = choose(trained_fit(dense), count)
    yield Level(mask, dense.start, lab.fit(dense.start, mask, title=title_of(1, mask)))


def one_shot_cost(plan: Plan, method: str) -> Cost:
    """What a one-shot method takes: the dense net and the ticket.

    Raises:
        UsageError: no density was given.
    """
    density_of(plan.target, method)
    return Cost(2, plan.epochs + plan.epochs - plan.skipped)


def refuse_rewind(rewind: float, why: str) -> None:
    """For methods that have no rewind point: `rewind` is in steps or epochs.

    Raises:
        UsageError: it is not 0.
    """
    if rewind:
        raise UsageError(why)


def density_of(target: Target, method: str) -> Fraction:
    """The density asked for.

    Raises:
        UsageError: rounds were given instead.
    """
    if target.density is None:
        raise UsageError(f"{method} prunes once: give --density or --sparsity instead of --rounds")
    return target.density
