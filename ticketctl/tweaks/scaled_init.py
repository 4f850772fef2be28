"""Scale each tensor of the start by one number, so that a first step lowers the loss most (GradInit).

theta_i = s_i theta_i^0 with one s_i for every weight and bias of Conv2d, Linear and BatchNorm layers, those that
tweaks have added too. Each iteration takes L0 = CE(A and B; theta), its gradient g and the norm n of all of g. If n >
gamma, s goes down the gradient of n (a constraint step). Else theta' = theta - eta u with u = g/n (sgd; g itself
without `normalise`) or sign(g) (adam), u held constant, and s goes down the gradient of CE(A and C; theta') / eta (an
objective step). d/ds_i = <d/dtheta_i, theta_i^0>. Adam moves s: a first moment and its bias correction for each kind
of step, one second moment for both. Zhu et al. 2021 (GradInit); paper 001, section 3.2, whose defaults these are.

Released code: ToST scales the dense net and masks it afterwards, or masks the weights and leaves the gradients dense;
norm and look-ahead are then another network's. Here theta^0 and g are masked throughout, n and theta' with them.

Choices: batches look as training sees them, augmented anew in each iteration, all from the stream `draw`. BatchNorm
uses the statistics of the batch and its buffers stay; dropout is off; float32 without autocast. Tensors that are zero
altogether keep s = 1, a scale that reaches 0 (only a bias's may) stays there. A number that is not finite ends the
search: every s is 1 again, and a note says so. In a net with BatchNorm a scale of a convolution changes no logit; it
acts through the relative size of its steps. Distances are measured from the scaled start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.scoring import Batch, Sample, random_sample
from ticketctl.train.state import State
from ticketctl.tweaks._gradinit import CONSTRAINT, Params, Problem, Row, Search

__all__ = ["Params", "ScaledInit", "tweak"]

FACTS = {"changes": "start", "cost": "before training, 180 iterations, each as long as 6 to 10 steps"}
EXCLUDES: dict[str, str] = {}
RANK = -1
"""Whoever looks at the weights when a training starts sees the scaled ones."""
RECORD = ("scale.", "log")
ZERO = {"iterations": 0}

_OFTEN = 0.9

_LONG = 100
"""From this many iterations on the search tells how far it is."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook that scales the start, once.

    Raises:
        UsageError: a key is out of its range.
    """
    if params.iterations < 0:
        raise UsageError(f"tweaks.scaled-init.iterations = {params.iterations}; it is 0 or more")
    if params.batch < 2:
        raise UsageError(f"tweaks.scaled-init.batch = {params.batch}; BatchNorm needs 2 images or more")
    for key in ("eta", "gamma", "lr", "lower", "clip"):
        value = getattr(params, key)
        if not 0 < value < math.inf:
            raise UsageError(f"tweaks.scaled-init.{key} = {value:g}; it lies above 0")
    if params.lower > 1:
        raise UsageError(
            f"tweaks.scaled-init.lower = {params.lower:g}; scales begin at 1, so it is at most 1"
        )
    return ScaledInit(kit, params)


class ScaledInit(Hooks):
    """Scales the weights before the first step."""

    def __init__(self, kit: Kit, params: Params) -> None:
        self.reporter, self.seeds, self.params = kit.bench.reporter, kit.seeds, params
        self.scales: dict[str, Tensor] | None = None
        """One float32 for each tensor, 0-dim, in the order of the net's parameters; None: not searched yet."""
        self.log = torch.zeros((0, 4), dtype=torch.float64)

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": "scaled-init", **asdict(self.params), "draw": self.seeds.of("draw")}

    def start(self, loop: Course) -> None:
        """Search the scales and apply them, unless the training goes on with them."""
        if self.scales is not None:
            return
        problem = Problem.of(loop)
        search = Search(problem, self.params, loop.poll)
        rows = self._searched(loop, search)
        self.log = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
        self._warn(loop, search)
        self.scales = dict(zip(problem.start, search.scales.float(), strict=True))
        with torch.no_grad():
            for name, value in problem.scaled(search.scales).items():
                loop.parameters[name].copy_(value)

    def origin(self, start: State) -> State:
        """The start, scaled: pruned weights too, which the full distance is measured from as ever."""
        scaled = {name: start.weights[name] * scale.cpu() for name, scale in (self.scales or {}).items()}
        return State({**start.weights, **scaled}, start.step)

    def _searched(self, loop: Course, search: Search) -> list[Row]:
        rows: list[Row] = []
        total = self.params.iterations
        for iteration in range(total):
            loop.poll()
            if total >= _LONG and iteration and iteration % (total // 4) == 0:
                self.reporter.note(f"scaled-init: {iteration} of {total} iterations")
            row = search.iterate(*batches(loop.bench, self.seeds, iteration, self.params))
            rows.append(row)
            if search.lost:
                what = f"iteration {iteration + 1} left the finite numbers"
                loop.remark(f"scaled-init: {what}; every scale is 1 again")
                break
        return rows

    def _warn(self, loop: Course, search: Search) -> None:
        constrained = int((self.log[:, 3] == CONSTRAINT).sum())
        if constrained > _OFTEN * len(self.log):
            what = f"{constrained} of {len(self.log)} iterations only held the gradient's norm down"
            loop.remark(f"scaled-init: {what}; try more tweaks.scaled-init.iterations")
        floored = search.floored()
        if floored:
            some = ", ".join(floored[:3]) + (", …" if len(floored) > 3 else "")
            loop.remark(f"scaled-init: {len(floored)} scales lie at their lower bound: {some}")

    def state(self) -> dict[str, Tensor]:
        """`scale.<parameter>`, and `log` float64 [iterations, 4]: see `Row`."""
        scales = self.scales or {}
        return {"log": self.log, **{f"scale.{name}": value for name, value in scales.items()}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says; that the scales are there means that the weights have them."""
        scales = {n.removeprefix("scale."): v for n, v in tensors.items() if n.startswith("scale.")}
        self.scales, self.log = scales, tensors["log"]


def batches(bench: Bench, seeds: Seeds, iteration: int, params: Params) -> tuple[Batch, Batch]:
    """A and B, and A and C (or D and C), each of 2 * batch images.

    A to D are drawn without repetition as long as there are images, augmented as training sees them; the numbers are a
    function of (root of `draw`, iteration).
    """
    own = Seeds(seeds.key("draw", "scaled-init"))
    size = min(params.batch, len(bench.feed.images))
    sample = random_sample(bench, own, count=4 * size, number=iteration, precision="f32", augment=True)
    rows = torch.arange(4 * size, device=sample.labels.device).remainder(len(sample.labels)).reshape(4, size)
    a, b, c, d = rows
    parts = torch.cat([a, b]), torch.cat([a if params.overlap else d, c])
    first, second = (_picked(sample, part) for part in parts)
    return first, second


def _picked(sample: Sample, rows: Tensor) -> Batch:
    return sample.inputs[rows].contiguous(memory_format=torch.channels_last), sample.labels[rows]
