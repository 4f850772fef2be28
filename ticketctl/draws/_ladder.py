"""Shared by the draws that train, rank and prune."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch

from ticketctl.errors import UsageError
from ticketctl.masks.ladder import ladder_counts, layer_ladder_counts
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top, top_by_layer
from ticketctl.recipe import Rational
from ticketctl.train.lab import Fit, Lab, Level, Target


@dataclass(frozen=True)
class MagnitudeParams:
    """Keys of `[draw]` for the magnitude ladders."""

    rate: Rational = Fraction(1, 5)
    """Share of the weights still alive that each round removes."""
    scope: Literal["global", "layer"] = "global"
    """Rank all layers together, or keep the same share of each."""
    head_rate: Rational | None = None
    """Rate of the output layer under `scope = "layer"` (the original procedure halves it); none: as the others."""


def dense_level(lab: Lab) -> Level:
    """Level 0: the dense training, which also passes through the rewind point."""
    keep = (lab.rewind,) if lab.rewind else ()
    fit = lab.fit(lab.initial, lab.full(), keep=keep, title="level 0, dense")
    return Level(lab.full(), lab.rewound(fit), fit)


def magnitudes(lab: Lab, fit: Fit) -> dict[str, torch.Tensor]:
    """|w| at the end of a training, for the prunable weights."""
    weights = fit.end().weights
    return {name: weights[name].abs() for name in lab.shapes}


def trained(lab: Lab, mask: Mask, start: Level, level: int) -> Level:
    """The level that `mask` makes, trained from where `start` started."""
    title = f"level {level}, density {float(mask.density):.4g}"
    return Level(mask, start.start, lab.fit(start.start, mask, title=title))


def magnitude_ladder(lab: Lab, target: Target, params: MagnitudeParams) -> Iterator[Level]:
    """Train, keep the largest weights of those alive, start over: one level per round, each trained."""
    budgets = _budgets(lab, target, params)
    level = dense_level(lab)
    yield level
    for number, budget in enumerate(budgets[1:], 1):
        assert level.fit is not None
        scores = magnitudes(lab, level.fit)
        if isinstance(budget, Mapping):
            mask = top_by_layer(scores, budget, among=level.mask)
        else:
            mask = top(scores, budget, among=level.mask)
        level = trained(lab, mask, level, number)
        yield level


def _budgets(lab: Lab, target: Target, params: MagnitudeParams) -> Sequence[int | Mapping[str, int]]:
    """Kept weights of each level, in all or by layer."""
    sizes = {name: shape.numel() for name, shape in lab.shapes.items()}
    rate, rounds, density = params.rate, target.rounds, target.density
    if params.scope == "global":
        if params.head_rate is not None:
            raise UsageError('draw.head_rate goes with draw.scope = "layer"')
        return ladder_counts(sum(sizes.values()), rate=rate, rounds=rounds, density=density)
    head = lab.head if params.head_rate is not None else None
    if params.head_rate is not None and lab.head not in sizes:
        raise UsageError("draw.head_rate: the output layer is not prunable here; leave the key out")
    return layer_ladder_counts(
        sizes, rate=rate, rounds=rounds, density=density, head=head, head_rate=params.head_rate
    )


def one_shot(lab: Lab, target: Target, method: str, choose: Callable[[Fit, int], Mask]) -> Iterator[Level]:
    """Level 0, dense (it passes through the rewind point and is the baseline), and level 1, the mask of `choose`.

    `choose` is given the dense training and the exact count to keep.
    """
    size = sum(shape.numel() for shape in lab.shapes.values())
    count = kept_count(size, _density(target, method))
    dense = dense_level(lab)
    yield dense
    assert dense.fit is not None
    yield trained(lab, choose(dense.fit, count), dense, 1)


def one_shot_trainings(target: Target, method: str) -> int:
    """How many trainings a one-shot method takes: the dense net and the ticket.

    Raises:
        UsageError: no density was given.
    """
    _density(target, method)
    return 2


def _density(target: Target, method: str) -> Fraction:
    if target.density is None:
        raise UsageError(f"{method} prunes once: give --density or --sparsity instead of --rounds")
    return target.density


def ladder_trainings(target: Target, params: MagnitudeParams) -> int:
    """How many trainings a ladder takes, for the estimate before it starts: one per level, the dense one included."""
    return len(ladder_counts(10**9, rate=params.rate, rounds=target.rounds, density=target.density))
