"""Gradual magnitude pruning: the sparsity rises along a cubic while the net trains, once.

At steps t0, t0 + every, ... up to t1 the smallest |w| go until the sparsity is s_t = s_f + (s_i - s_f)
((t1-t)/(t1-t0))^3; halfway from 0 it is 7/8 of s_f. The ticket is the final mask, of exactly round(N d) weights, on the
point that levels start from; its training is the gradual one itself, whose weights after the last step are those that
the mask was found on. Zhu & Gupta (2017).

Choices: t0, t1 and the interval are shares of the whole training, such that 97,656 steps give the 20,000, 75,000 and
1,000 of RigL's pruning baseline (Evci et al. 2020); the last update falls on t1 also where the interval does not divide
t1 - t0, so the target is met exactly (one implementation divides by one more and misses it). All layers are ranked
together, or each to the same share. The masks of the updates are nested; with `regrow` a pruned weight keeps the value
it had, takes part in the ranking, and comes back with that value and no momentum when enough others have shrunk below
it, as in TensorFlow's and JaxPruner's form, where the mask is computed anew from a dense variable (but there momentum
and weight decay go on moving that variable).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ticketctl.draws._ladder import density_of
from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, round_half_up, top, top_by_layer
from ticketctl.recipe import Rational
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Zhu & Gupta 2017; schedule: Evci et al. 2020",
    "rule": "|w| while it trains, the sparsity along a cubic",
    "scope": "global; or layer",
    "data": "all, in the one training",
    "cost": "E",
    "nested": "no; its own updates are, unless regrow",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`updates` (step and kept weights of each), `scope`, `regrow`",
    "limits": "takes a density, not rounds; the last update must lie after the rewind point",
}

LENGTHS = {"begin": None, "end": None}
"""What `--epochs` and `--scale` stretch, if it is said."""


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for gmp."""

    begin: str = "20.48%"
    """First update: a share of all steps of the training, or 10ep, 20000it."""
    end: str = "76.8%"
    """Last update, which reaches the target."""
    every: str = "1.024%"
    """Between two updates; at least one step."""
    initial: Rational = Fraction(0)
    """Sparsity from the first update on."""
    scope: Literal["global", "layer"] = "global"
    """Rank all layers together, or keep the same share of each."""
    regrow: bool = False
    """Pruned weights keep their values and may come back; otherwise masks are nested."""


Budget = int | Mapping[str, int]
"""Kept weights in all, or by layer."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1: the final mask and the training that found it.

    Raises:
        UsageError: no density; updates that are out of order, or that lie before the point that levels start from.
    """
    sizes = {name: shape.numel() for name, shape in lab.shapes.items()}
    total = lab.bench.train.epochs * lab.bench.feed.steps_per_epoch
    times = update_steps(params, lab.bench.train.epochs, lab.bench.feed.steps_per_epoch)
    density = density_of(target, "gmp")
    shares = [1 - sparsity(time, times[0], times[-1], params.initial, 1 - density) for time in times]
    budgets = dict(zip(times, _budgets(sizes, shares, density, params), strict=True))
    if times[-1] <= (first := 0 if lab.restart else lab.rewind):  # known before anything is trained
        raise UsageError(
            f"gmp's last update, step {times[-1]} of {total}, lies before the rewind point {first}"
        )
    start = lab.start_point()
    yield Level(lab.full(), start, None)
    hook = Gradual(budgets, regrow=params.regrow)
    fit = lab.fit(start, lab.full(), hooks=(hook,), title=f"level 1, down to density {float(density):.4g}")
    notes = {
        "updates": [[time, _sum(budget)] for time, budget in budgets.items() if time > start.step],
        "scope": params.scope,
        "regrow": params.regrow,
    }
    yield Level(fit.mask_at_end(), start, fit, notes=notes)


def cost(plan: Plan, params: Params) -> Cost:
    """One training, and before it one of the dense net to the rewind point, if there is one.

    Raises:
        UsageError: no density was given.
    """
    density_of(plan.target, "gmp")
    return plan.from_start


def sparsity(time: int, begin: int, end: int, initial: Fraction, final: Fraction) -> Fraction:
    """The cubic at step `time`, exactly: `initial` up to `begin`, `final` from `end` on.

    >>> sparsity(150, 100, 200, Fraction(0), Fraction(4, 5))
    Fraction(7, 10)
    """
    left = 1 - Fraction(min(max(time, begin), end) - begin, end - begin)
    return final + (initial - final) * left**3


def update_steps(params: Params, epochs: int, steps_per_epoch: int) -> list[int]:
    """Numbers of steps done at which the mask changes, ascending; the last is the end.

    Raises:
        UsageError: the end is not after the beginning, or lies outside the training.
    """
    total = epochs * steps_per_epoch
    begin, end, every = (
        _steps(text, total, steps_per_epoch) for text in (params.begin, params.end, params.every)
    )
    if not begin < end <= total:
        raise UsageError(
            f"gmp prunes from step {begin} (draw.begin = {params.begin}) to {end} (draw.end = {params.end}) "
            f"of {total}; the end comes after the beginning and lies inside the training"
        )
    return [*range(begin, end, max(1, every)), end]


def _steps(text: str, total: int, steps_per_epoch: int) -> int:
    """Percent are of all steps, to the nearest one: the schedule is finer than epochs."""
    length = Duration.parse(text)
    unit = {"%": Fraction(total, 100), "ep": Fraction(steps_per_epoch), "it": Fraction(1)}[length.unit]
    return math.floor(length.amount * unit + Fraction(1, 2))


def _budgets(
    sizes: Mapping[str, int], shares: list[Fraction], density: Fraction, params: Params
) -> list[Budget]:
    """Kept weights at each update, never more than at the one before."""
    if not 0 <= params.initial <= 1 - density:
        raise UsageError(
            f"draw.initial = {float(params.initial):g} must lie from 0 to the final sparsity, {float(1 - density):g}"
        )
    size = sum(sizes.values())
    counts = [max(kept_count(size, density), round_half_up(size * share)) for share in shares]
    if params.scope == "global":
        return list(counts)
    budgets: list[Budget] = []
    caps: Mapping[str, int] = sizes
    for count in counts:
        caps = apportion({name: Fraction(count * sizes[name], size) for name in sizes}, caps, count)
        budgets.append(caps)
    return budgets


def _sum(budget: Budget) -> int:
    return budget if isinstance(budget, int) else sum(budget.values())


class Gradual(Hooks):
    """Moves the mask after the steps that `budgets` names."""

    moves_mask = True

    def __init__(self, budgets: Mapping[int, Budget], *, regrow: bool) -> None:
        self.budgets, self.regrow = budgets, regrow
        self.every = math.gcd(*budgets) or 1
        self.held: dict[str, Tensor] = {}
        """With `regrow`: every prunable weight as it was when it last was alive at an update."""

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        rows = [
            [time, budget if isinstance(budget, int) else dict(budget)]
            for time, budget in self.budgets.items()
        ]
        return {"hook": "gmp", "budgets": rows, "regrow": self.regrow}

    def start(self, loop: Course) -> None:
        """An update that is due before the first step."""
        if loop.step == 0 and 0 in self.budgets:
            self._update(loop, self.budgets[0])

    def step(self, loop: Course) -> None:
        """The update that is due after this step, if there is one."""
        budget = self.budgets.get(loop.step + 1)
        if budget is not None:
            self._update(loop, budget)

    def _update(self, loop: Course, budget: Budget) -> None:
        before, parameters = loop.mask, loop.parameters
        values = {name: parameters[name].detach() for name in before.keep}
        if self.regrow:
            values = self._remembered(values, before)
        sizes = {name: value.abs() for name, value in values.items()}
        mask = _largest(sizes, budget, None if self.regrow else before)
        loop.set_mask(mask)
        if self.regrow:
            for name, keep in mask.keep.items():
                _bring_back(loop, parameters[name], self.held[name], keep & ~before.keep[name])

    def _remembered(self, values: Mapping[str, Tensor], alive: Mask) -> dict[str, Tensor]:
        """What lives as it is, what was pruned as it was then."""
        for name, value in values.items():
            held = self.held.get(name)
            now = value.clone()
            self.held[name] = now if held is None else torch.where(alive.keep[name].to(now.device), now, held)
        return dict(self.held)

    def finish(self, loop: Course) -> None:
        """Nothing comes back any more."""
        self.held = {}

    def state(self) -> dict[str, Tensor]:
        """`held.<name>`, in the dtype of the weights."""
        return {f"held.{name}": value for name, value in self.held.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.held = {
            name.removeprefix("held."): value for name, value in tensors.items() if name.startswith("held.")
        }


def _largest(sizes: Mapping[str, Tensor], budget: Budget, among: Mask | None) -> Mask:
    if isinstance(budget, int):
        return top(sizes, budget, among=among)
    return top_by_layer(sizes, budget, among=among)


@torch.no_grad()
def _bring_back(loop: Course, weight: nn.Parameter, value: Tensor, back: Tensor) -> None:
    """Set the weights `back` to their old values, with an optimizer that has not seen them."""
    back = back.to(weight.device)
    weight.copy_(torch.where(back, value.to(weight.device), weight))
    for moment in loop.optimizer.state.get(weight, {}).values():
        if isinstance(moment, Tensor) and moment.shape == weight.shape:
            moment.masked_fill_(back, 0)
