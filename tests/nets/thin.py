"""Nets of our families with few weights and logits that still vary: what compaction is tried on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds


def thin(name: str, density: float, shape: tuple[int, int, int] = (3, 16, 16), **options: Any) -> nn.Module:
    """`name` with a random share of its weights left, see `thinned_`."""
    net = build(name, shape=shape, classes=CLASSES, **options)
    initialise_(net, "kaiming-normal", Seeds(0))
    return thinned_(net, density, shape)


@torch.no_grad()
def thinned_(net: nn.Module, density: float, shape: tuple[int, int, int]) -> nn.Module:
    """`net` in evaluation mode, its head dense: kept weights grown to make up for the lost, biases of all signs."""
    numbers = torch.Generator().manual_seed(0)

    def like(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=numbers)

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if density < 1 and len(module.weight) != CLASSES:
                module.weight.mul_(_keep(module.weight, density, numbers)).div_(density**0.5)
            if module.bias is not None:
                module.bias.copy_(0.3 * like(module.bias))
        elif isinstance(module, _BatchNorm) and module.weight is not None:
            module.weight.copy_(1 + 0.3 * like(module.weight))
            module.bias.copy_(0.5 * like(module.bias))
            module.momentum = 1.0  # its statistics become those of its inputs
    net.train()(images(64, shape))
    for module in net.modules():
        if isinstance(
            module, _BatchNorm
        ):  # a channel that never varies is not blown up to its rounding errors
            module.running_var.clamp_(min=0.05)
    return net.eval()


def images(count: int, shape: tuple[int, int, int], seed: int = 1) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def _keep(weight: Tensor, density: float, numbers: torch.Generator) -> Tensor:
    """At random, and of every fifth output and input none."""
    rows, columns = (torch.rand(size, generator=numbers) < 0.8 for size in weight.shape[:2])
    some = rows[:, None] & (columns | (len(columns) <= 3))[None]
    keep = torch.rand(weight.shape, generator=numbers) < density
    return keep & some.view(*some.shape, *[1] * (weight.ndim - 2))


CLASSES = 10
QUARTER = {"width": Fraction(1, 4)}
FAMILIES: list[tuple[str, float, dict[str, Any]]] = [
    ("lenet-300-100", 0.05, {}),
    ("resnet20s", 0.1, {}),
    ("resnet20", 0.1, {}),
    ("vgg11", 0.1, QUARTER),
    ("vgg16", 0.2, {**QUARTER, "conv_bias": False}),
    ("mobilenet", 0.5, QUARTER),
    ("wrn-22-2", 0.1, {}),
    ("resnet18", 0.05, QUARTER),
    ("resnet50", 0.1, {"width": Fraction(1, 8)}),
]
"""Names, densities at which logits still vary, options."""
