"""Shared by `rigl` and `set`: their keys, their presets, and the draw around the training in which the mask moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from ticketctl.draws._dynamic import Moving, Schedule
from ticketctl.draws._start import at_start_cost, count_of
from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.masks.profiles import erk, fixed_first, sizes_of, uniform
from ticketctl.masks.spread import scatter
from ticketctl.recipe import Rational, TrainSpec
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.state import State


@dataclass(frozen=True)
class DynamicParams:
    """Keys of `[draw]` for dynamic sparse training; what is left out is the preset's."""

    preset: Literal["paper", "itop"] = "paper"
    """paper: Evci et al. 2020; itop: Liu et al. 2021, rare and large updates throughout a training."""
    alpha: Rational | None = None
    """Share of a layer's weights that is dropped and grown at first: 0.3 (paper), 0.5 (itop)."""
    alpha_end: Rational | None = None
    """What that share falls to: 0 (paper), 0.005 (itop)."""
    anneal: Literal["cosine", "constant"] | None = None
    """How it falls; both presets: cosine."""
    every: str | None = None
    """Between two updates, as 100it, 1ep or 1%: 100it (paper); 4000it for rigl, 1500it for set (itop)."""
    end: Rational | None = None
    """No update at or after this share of the training: 0.75 (paper), 1 (itop)."""
    distribution: Literal["erk", "uniform"] | None = None
    """Layer densities: ERK (both presets), or uniform with the first convolution dense."""
    update_step: Literal["skip", "apply"] | None = None
    """At an update, the optimizer leaves the batch out (paper), or steps before weights are dropped (itop)."""
    rounding: Literal["down", "up"] | None = None
    """Of the number of weights to drop: down (paper), up (itop)."""
    moments: Literal["zero", "keep"] = "zero"
    """Momentum, and Adam's moments, of new weights: zero, or what their dense gradients have left there."""
    multiplier: Rational = Fraction(1)
    """Stretches the training: epochs, milestones and warm-up."""
    search: int = 0
    """Epochs of a training at a constant rate in which the mask moves; the recipe's own then tunes it. 0: it moves
    in the recipe's own."""
    masks: int = 256
    """Most masks that the run's trajectory holds: the first, the last, and others evenly spaced over the updates."""


_PAPER: dict[str, Any] = {
    "alpha": Fraction(3, 10), "alpha_end": Fraction(0), "anneal": "cosine", "every": "100it", "end": Fraction(3, 4),
    "distribution": "erk", "update_step": "skip", "rounding": "down",
}  # fmt: skip
_ITOP: dict[str, Any] = {
    **_PAPER, "alpha": Fraction(1, 2), "alpha_end": Fraction(1, 200), "every": "4000it", "end": Fraction(1),
    "update_step": "apply", "rounding": "up",
}  # fmt: skip
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "rigl": {"paper": _PAPER, "itop": _ITOP},
    "set": {"paper": _PAPER, "itop": {**_ITOP, "every": "1500it"}},
}


def settled(method: str, params: DynamicParams) -> DynamicParams:
    """`params` with the preset's values where nothing else was said.

    Raises:
        UsageError: a value that cannot be.
    """
    preset = PRESETS[method][params.preset]
    found = replace(params, **{key: value for key, value in preset.items() if getattr(params, key) is None})
    assert found.alpha is not None
    assert found.alpha_end is not None
    assert found.end is not None
    for wrong, what in (
        (
            not 0 <= found.alpha_end <= found.alpha <= 1,
            "draw.alpha and draw.alpha_end: 0 <= alpha_end <= alpha <= 1",
        ),
        (not 0 < found.end <= 1, "draw.end: a share of the training, above 0 and at most 1"),
        (found.multiplier <= 0, "draw.multiplier: above 0"),
        (found.search < 0, "draw.search: 0 epochs or more"),
        (found.search > 0 and found.multiplier != 1, "draw.multiplier and draw.search: one of the two"),
        (found.masks < 2, "draw.masks: 2 or more"),
    ):
        if wrong:
            raise UsageError(f"{what}; not so here")
    return found


def dynamic(lab: Lab, target: Target, method: str, params: DynamicParams) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1: the mask at the end of a training in which it moved.

    Raises:
        UsageError: no density, one that leaves nothing to move, or keys that cannot be.
    """
    keys = settled(method, params)
    count = count_of(lab, target, method)
    first = scatter(lab.shapes, _counts(lab, keys, count, method), method, lab.seeds)
    start = lab.start_point()
    yield Level(lab.full(), start, None)
    train = _course(lab.bench.train, keys)
    begin = State(start.weights, 0) if keys.search else start
    schedule = _schedule(keys, train.epochs, lab.bench.feed.steps_per_epoch, begin.step)
    if not schedule.updates:
        lab.note(
            f"{method}: the mask never moves, no multiple of {schedule.every} steps lies before step {schedule.end}: "
            "give a smaller --set draw.every=20it"
        )
    title = f"level 1, density {float(first.density):.4g}, the mask moves"
    hook = Moving(method, schedule, lab.seeds if method == "set" else None)
    fit = lab.fit(begin, first, train=train, hooks=(hook,), title=title)
    notes = {"epochs": train.epochs, **_notes(lab, fit, keys, schedule, method)}
    mask = fit.mask_at_end()
    if not keys.search:
        yield Level(mask, start, fit, notes=notes)
        return
    tuned = State(fit.end().weights, 0)
    fine = lab.fit(tuned, mask, title="level 1, fine-tuning")
    yield Level(mask, tuned, fine, role="trained", notes=notes, search=fit)


def dynamic_cost(plan: Plan, method: str, params: DynamicParams) -> Cost:
    """One training, as long as the keys make it; with `search`, one more.

    Raises:
        UsageError: no density was given, or keys that cannot be.
    """
    keys = settled(method, params)
    one = at_start_cost(plan, method)
    if keys.search:
        return Cost(one.trainings + 1, plan.rewind + keys.search + plan.epochs)
    return Cost(one.trainings, float(one.epochs - plan.epochs + _stretched(plan.epochs, keys.multiplier)))


def _counts(lab: Lab, keys: DynamicParams, count: int, method: str) -> Mapping[str, int]:
    """Active weights of each layer, throughout the training."""
    sizes = sizes_of(lab.shapes)
    if count == sum(sizes.values()):
        raise UsageError(f"{method} at density 1 has nothing to move: give a smaller --density")
    if keys.distribution == "erk":
        return erk(lab.shapes, count)
    first = next((name for name, weight in lab.initial.weights.items() if weight.ndim > 2), None)
    dense = {first: sizes[first]} if first in sizes else {}
    if count <= sum(dense.values()):
        raise UsageError(
            f'draw.distribution = "uniform" keeps the first convolution dense, {sum(dense.values()):,} weights of the '
            f"{count:,} to keep: use erk, or a larger density"
        )
    return fixed_first(dense, uniform, lab.shapes, count)


def _schedule(keys: DynamicParams, epochs: int, steps_per_epoch: int, begin: int) -> Schedule:
    assert keys.alpha is not None
    assert keys.alpha_end is not None
    assert keys.end is not None
    assert keys.every is not None
    assert keys.anneal is not None
    total, length = epochs * steps_per_epoch, Duration.parse(keys.every)
    unit = {"it": Fraction(1), "ep": Fraction(steps_per_epoch), "%": Fraction(total, 100)}[length.unit]
    every = math.floor(length.amount * unit + Fraction(1, 2))
    if length.amount == 0:
        raise UsageError("draw.every: one step at the least")
    return Schedule(
        alpha=float(keys.alpha),
        alpha_end=float(keys.alpha_end),
        anneal=keys.anneal,
        every=max(1, every),
        end=max(1, math.floor(keys.end * total)),
        up=keys.rounding == "up",
        begin=begin,
        apply=keys.update_step == "apply",
        clear=keys.moments == "zero",
        masks=keys.masks,
    )


def _course(train: TrainSpec, keys: DynamicParams) -> TrainSpec:
    """The training in which the mask moves."""
    if keys.search:
        changes: dict[str, Any] = {
            "epochs": keys.search,
            "schedule": "constant",
            "milestones": (),
            "warmup": "0",
        }
        return train.model_copy(update=changes)
    if keys.multiplier == 1:
        return train
    longer = {
        "epochs": _stretched(train.epochs, keys.multiplier),
        "milestones": tuple(str(Duration.parse(at).scaled(keys.multiplier)) for at in train.milestones),
        "warmup": str(Duration.parse(train.warmup).scaled(keys.multiplier)),
    }
    return train.model_copy(update=longer)


def _stretched(epochs: int, factor: Fraction) -> int:
    return max(1, math.floor(epochs * factor + Fraction(1, 2)))


def _notes(lab: Lab, fit: Fit, keys: DynamicParams, schedule: Schedule, method: str) -> dict[str, Any]:
    """What the record of the level says of the updates."""
    held = fit.hook(0)
    silent = {name: int(held[f"silent.{name}"]) for name in lab.shapes if int(held[f"silent.{name}"])}
    if silent:
        worst = max(silent, key=lambda name: silent[name])
        lab.note(
            f"{method}: at {silent[worst]} updates all candidates of {worst} had a gradient of 0: the first grew"
        )
    return {
        "preset": keys.preset,
        "distribution": keys.distribution,
        "every": schedule.every,
        "end": schedule.end,
        "updates": len(held["fractions"]),
        "drop_fractions": held["fractions"].tolist(),
        "grown": int(held["grown"].sum()),
        "itop_rate": float(held["rates"][-1]),
        "silent": silent,
    }
