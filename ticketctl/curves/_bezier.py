"""A quadratic Bezier curve of weights, and how its middle is trained (Garipov et al. 2018, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen
from ticketctl.train.terrain import End

Join = Literal["union", "intersection"]


def coefficients(t: float) -> tuple[float, float, float]:
    """Of the first end, the middle and the second end at t in [0, 1]: (1-t)^2, 2t(1-t), t^2. They add up to 1."""
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


@dataclass(frozen=True)
class Curve:
    """Weights a, c and b, a tensor for each parameter, on the net's device."""

    first: Sequence[Tensor]
    middle: Sequence[Tensor]
    second: Sequence[Tensor]

    @torch.no_grad()
    def at(self, t: float) -> list[Tensor]:
        """The weights at t: exactly the ends' at 0 and 1."""
        if t in (0.0, 1.0):
            return list(self.second if t else self.first)
        a, c, b = coefficients(t)
        return [a * x + c * m + b * y for x, m, y in zip(self.first, self.middle, self.second, strict=True)]

    def lengths(self, points: int = 1001) -> tuple[float, float]:
        """Of the curve and of the straight line between its ends, in float64.

        The speed is |2 (1-t) (c - a) + 2 t (b - c)|; it is added up by trapezia.
        """
        out = [
            (m.double() - x.double(), y.double() - m.double())
            for x, m, y in zip(self.first, self.middle, self.second, strict=True)
        ]
        dots = [sum(float((pair[i] * pair[j]).sum()) for pair in out) for i, j in ((0, 0), (0, 1), (1, 1))]
        t = np.linspace(0, 1, points)
        squares = (1 - t) ** 2 * dots[0] + 2 * t * (1 - t) * dots[1] + t**2 * dots[2]
        curve = np.trapezoid(2 * np.sqrt(squares.clip(0)), t)
        return float(curve), max(dots[0] + 2 * dots[1] + dots[2], 0.0) ** 0.5


def joined(first: End, second: End, names: Sequence[str], join: Join) -> dict[str, Tensor]:
    """What the middle may use of each weight, bool by name; a weight that is not named is free.

    A net, or a weight, without a mask keeps all of it.
    """
    masks = [end.mask.keep if end.mask is not None else {} for end in (first, second)]
    found = {}
    for name in names:
        keeps = [keep[name] for keep in masks if name in keep]
        if join == "union" and len(keeps) == 2:
            found[name] = keeps[0] | keeps[1]
        elif join == "intersection" and keeps:
            found[name] = keeps[0] & keeps[-1]
    return found


def midpoint(
    first: Sequence[Tensor], second: Sequence[Tensor], names: Sequence[str], keeps: Mapping[str, Tensor]
) -> list[Tensor]:
    """Where the middle starts: (a + b) / 2 of each parameter, 0 where it may not be."""
    halves = [(x + y) / 2 for x, y in zip(first, second, strict=True)]
    return [
        half * keeps[name].to(half) if name in keeps else half
        for name, half in zip(names, halves, strict=True)
    ]


def rate(done: float) -> float:
    """The learning rate's factor when this share of the epochs is done.

    As in the released code of Garipov et al.: 1 for a half, down to 0.01 in a straight line till nine tenths.
    """
    return 1.0 if done <= 0.5 else 1.0 - 0.99 * min((done - 0.5) / 0.4, 1.0)


@dataclass(frozen=True)
class Plan:
    """How the middle is trained."""

    epochs: int
    lr: float
    momentum: float
    batch: int
    weight_decay: float


@dataclass(frozen=True)
class Stage:
    """Where a training stands after some whole epochs."""

    curve: Curve
    speed: Sequence[Tensor]
    """Of the middle, as the momentum has it: a tensor for each parameter."""
    loss: float = float("nan")
    """Mean of the losses of the last epoch's steps."""


class Trainer:
    """Minimises the mean loss over the curve, of uniform t, by SGD on its middle: one t and one batch for each step.

    Images are the unaugmented training images in a seeded order, a new one for each epoch; what is left over beyond
    whole batches is left out. BatchNorm normalises by the batch, everything else is in evaluation mode. The decay is
    of the weights at t, 1/2 wd |theta(t)|^2, biases and BatchNorm's too. The net's own weights and buffers are not
    touched. An epoch depends on the stage before it and on its number alone.
    """

    def __init__(self, net: Specimen, keeps: Mapping[str, Tensor], plan: Plan, seeds: Seeds) -> None:
        self.net, self.plan, self.seeds = net, plan, seeds
        self.names = [name for name, _ in net.model.named_parameters()]
        self.keeps = {name: keep.to(net.device) for name, keep in keeps.items()}
        self.buffers = {name: value.clone() for name, value in net.model.named_buffers()}
        self.images = net.images["train"]
        self.batch = min(plan.batch, len(self.images))
        self.steps = len(self.images) // self.batch

    def epoch(self, number: int, stage: Stage) -> Stage:
        """One epoch more, the `number`-th (0-based)."""
        order = torch.from_numpy(
            self.seeds.order("landscape", "bezier", "order", number, count=len(self.images))
        )
        places = uniform(self.seeds, "bezier", "t", number, count=self.steps)
        lr = self.plan.lr * rate(number / self.plan.epochs)
        curve = replace(stage.curve, middle=[part.clone() for part in stage.curve.middle])
        speed, losses = [part.clone() for part in stage.speed], []
        with _by_batch(self.net.model):
            for step, t in enumerate(places.tolist()):
                self.net.poll()
                index = order[step * self.batch : (step + 1) * self.batch].to(self.net.device)
                losses.append(self._step(curve, speed, t, index, lr))
        return Stage(curve, speed, float(torch.stack(losses).double().mean()))

    def _step(self, curve: Curve, speed: list[Tensor], t: float, index: Tensor, lr: float) -> Tensor:
        """One step of the middle and of its speed, in place; the loss at t before it."""
        weights = [part.requires_grad_() for part in curve.at(t)]
        held = dict(zip(self.names, weights, strict=True))
        inputs = self.images.scaling(self.images.take(index))
        logits = torch.func.functional_call(self.net.model, {**held, **self.buffers}, (inputs,))
        loss = nn.functional.cross_entropy(logits, self.images.labels[index])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        self._descend(curve, speed, [g.detach() for g in gradients], [w.detach() for w in weights], t, lr)
        return loss.detach()

    @torch.no_grad()
    def _descend(
        self,
        curve: Curve,
        speed: list[Tensor],
        gradients: Sequence[Tensor],
        weights: Sequence[Tensor],
        t: float,
        lr: float,
    ) -> None:
        share = coefficients(t)[1]
        for name, part, moving, slope, weight in zip(
            self.names, curve.middle, speed, gradients, weights, strict=True
        ):
            down = share * (slope + self.plan.weight_decay * weight)
            moving.mul_(self.plan.momentum).add_(down * self.keeps[name] if name in self.keeps else down)
            part.sub_(moving, alpha=lr)


def uniform(seeds: Seeds, *position: object, count: int) -> NDArray[np.float64]:
    """`count` numbers of the stream `landscape`, uniform in (0, 1)."""
    words = seeds.raw("landscape", *position, count=count)
    found: NDArray[np.float64] = ((words >> np.uint64(12)).astype(np.float64) + 0.5) / (1 << 52)
    return found


@contextmanager
def _by_batch(model: nn.Module) -> Iterator[None]:
    """BatchNorm layers in train mode; every module is then as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for module, _ in modes:
        if isinstance(module, _BatchNorm):
            module.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
