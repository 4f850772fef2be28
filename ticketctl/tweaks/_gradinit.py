"""GradInit's search: the scales, Adam on them, and the loss of a masked net as a function of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.scoring import Batch, set_mode_

CONSTRAINT, OBJECTIVE = 0, 1
"""Kinds of steps, as in the log."""

_BETAS, _EPS = (0.9, 0.999), 1e-8

Row = tuple[float, float, float, float]
"""n, L0, objective (NaN in a constraint step), kind."""


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.scaled-init]`."""

    iterations: int = 180
    """Steps of the search; 0 leaves the start as it is."""
    eta: float = 0.1
    """Length of the step that is looked ahead."""
    gamma: float = 1.0
    """Largest norm of the gradient at the start."""
    lr: float = 0.01
    """Rate at which the scales move."""
    lower: float = 0.01
    """Least scale of a weight; a bias may go to 0."""
    clip: float = 1.0
    """Largest slope of a single scale that counts."""
    batch: int = 128
    """Images in each of the batches A, B and C."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Whose first step is looked ahead: along the gradient with its L2 norm, or its signs with the L1 norm."""
    normalise: bool = True
    """With sgd, divide the gradient by its norm."""
    overlap: bool = True
    """Look ahead on half of the images that the gradient has seen; otherwise on others."""


class _Run(nn.Module):
    """The net as a training runs it."""

    def __init__(self, net: nn.Module, leader: Hooks | None) -> None:
        super().__init__()
        self.net, self.leader = net, leader

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.leader.forward(self.net, inputs) if self.leader else self.net(inputs)
        return logits


@dataclass(frozen=True)
class Problem:
    """The loss of a net as a function of its tensors. Shares no memory with the net it was made of."""

    run: nn.Module
    start: dict[str, Tensor]
    """theta^0, masked: the tensors that are scaled, by name."""
    masks: Mapping[str, Tensor]
    """0/1 of those that are masked."""

    @classmethod
    def of(cls, loop: Course) -> Problem:
        """Of the net as it stands, under its mask."""
        return cls.of_net(loop.model, loop.masks, loop.machine.leader)

    @classmethod
    def of_net(cls, net: nn.Module, masks: Mapping[str, Tensor], leader: Hooks | None = None) -> Problem:
        """Of `net` under `masks`."""
        twin = set_mode_(copy.deepcopy(net).requires_grad_(False), "train")
        values = dict(twin.named_parameters())
        found = {name: values[name].detach().clone() for name in scaled_names(twin)}
        start = {name: value * masks[name] if name in masks else value for name, value in found.items()}
        return cls(_Run(twin, leader), start, masks)

    def scaled(self, scales: Tensor) -> dict[str, Tensor]:
        """theta = s theta^0, for `scales` [P] in the order of `start`."""
        pairs = zip(self.start.items(), scales, strict=True)
        return {name: value * scale.to(value) for (name, value), scale in pairs}

    def loss(self, theta: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Mean cross-entropy at `theta`."""
        logits = functional_call(self.run, {f"net.{name}": v for name, v in theta.items()}, (batch[0],))
        return nn.functional.cross_entropy(logits, batch[1])

    def gradients(self, theta: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The loss and its masked gradients, both with their graph."""
        loss = self.loss(theta, batch)
        dense = torch.autograd.grad(loss, list(theta.values()), create_graph=True, materialize_grads=True)
        pairs = zip(theta, dense, strict=True)
        return loss, [g * self.masks[name] if name in self.masks else g for name, g in pairs]

    def slopes(self, value: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
        """d value / d s_i = <d value / d theta_i, theta_i^0>, float64 [P] on the CPU."""
        grads = torch.autograd.grad(value, list(theta.values()), materialize_grads=True)
        pairs = zip(grads, self.start.values(), strict=True)
        return torch.stack([(g * value).sum(dtype=torch.float64) for g, value in pairs]).cpu()


def scaled_names(net: nn.Module) -> list[str]:
    """Weights and biases of Conv2d, Linear and BatchNorm layers, in the order of `named_parameters`."""
    kinds = (nn.Conv2d, nn.Linear, _BatchNorm)
    ours = {
        id(parameter)
        for module in net.modules()
        if isinstance(module, kinds)
        for parameter in module.parameters(recurse=False)
    }
    return [name for name, parameter in net.named_parameters() if id(parameter) in ours]


def norm_of(gradients: list[Tensor], optimizer: str) -> Tensor:
    """Over all tensors together: L2, or L1 for adam."""
    if optimizer == "adam":
        return torch.stack([g.abs().sum() for g in gradients]).sum()
    return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()


def look_ahead(
    theta: Mapping[str, Tensor], gradients: list[Tensor], norm: Tensor, params: Params
) -> dict[str, Tensor]:
    """theta' = theta - eta u, new leaves: u is a constant of the search, so d theta'/d s_i = theta_i^0."""
    pairs = zip(theta.items(), gradients, strict=True)
    if params.optimizer == "adam":
        ahead = {name: value - params.eta * g.sign() for (name, value), g in pairs}
    elif params.normalise and norm.item() > 0:
        ahead = {name: value - params.eta * (g / norm) for (name, value), g in pairs}
    else:
        ahead = {name: value - params.eta * g for (name, value), g in pairs}
    return {name: value.detach().requires_grad_(True) for name, value in ahead.items()}


class Search:
    """The scales and what Adam remembers of them, float64 [P] on the CPU."""

    def __init__(self, problem: Problem, params: Params, poll: Callable[[], None] = lambda: None) -> None:
        self.problem, self.params, self.poll = problem, params, poll
        count = len(problem.start)
        self.scales = torch.ones(count, dtype=torch.float64)
        biases = [name.rpartition(".")[2] == "bias" for name in problem.start]
        self.lower = torch.tensor([0.0 if bias else params.lower for bias in biases], dtype=torch.float64)
        self.idle = torch.tensor(
            [not bool(value.any()) for value in problem.start.values()], dtype=torch.bool
        )
        self.first = torch.zeros((2, count), dtype=torch.float64)
        self.second = torch.zeros(count, dtype=torch.float64)
        self.counts = [0, 0]
        self.lost = False
        """Whether a number was not finite: the scales are 1 then."""

    def iterate(self, first: Batch, second: Batch) -> Row:
        """One step of the search on A and B, and A and C."""
        row, slopes = self._slopes(first, second)
        measured = row[:2] if row[3] == CONSTRAINT else row[:3]
        self.lost = not (all(map(math.isfinite, measured)) and bool(slopes.isfinite().all()))
        if self.lost:
            self.scales = torch.ones_like(self.scales)
        else:
            self._move(slopes, int(row[3]))
        return row

    def _slopes(self, first: Batch, second: Batch) -> tuple[Row, Tensor]:
        theta = {n: v.requires_grad_(True) for n, v in self.problem.scaled(self.scales).items()}
        loss, gradients = self.problem.gradients(theta, first)
        norm = norm_of(gradients, self.params.optimizer)
        n, l0 = norm.item(), loss.item()
        self.poll()  # of a large net either half takes seconds
        if n > self.params.gamma:
            return (n, l0, math.nan, CONSTRAINT), self.problem.slopes(norm, theta)
        ahead = look_ahead(theta, gradients, norm, self.params)
        del loss, gradients, norm  # and with them the graph of the second derivatives
        objective = self.problem.loss(ahead, second) / self.params.eta
        return (n, l0, objective.item(), OBJECTIVE), self.problem.slopes(objective, ahead)

    def _move(self, slopes: Tensor, kind: int) -> None:
        slopes = slopes.clamp(-self.params.clip, self.params.clip)
        self.counts[kind] += 1
        self.first[kind].mul_(_BETAS[0]).add_(slopes, alpha=1 - _BETAS[0])
        self.second.mul_(_BETAS[1]).addcmul_(slopes, slopes, value=1 - _BETAS[1])
        mean = self.first[kind] / (1 - _BETAS[0] ** self.counts[kind])
        spread = self.second / (1 - _BETAS[1] ** sum(self.counts))
        moved = torch.maximum(self.scales - self.params.lr * mean / (spread.sqrt() + _EPS), self.lower)
        self.scales = torch.where(self.idle | (self.scales == 0), self.scales, moved)

    def floored(self) -> list[str]:
        """Tensors whose scale lies at its lower bound."""
        pairs = zip(self.problem.start, (self.scales <= self.lower).tolist(), strict=True)
        return [name for name, at in pairs if at]
