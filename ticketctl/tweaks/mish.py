"""Mish, x tanh(softplus(x)), in place of every ReLU and ReLU6.

Misra 2019 (BMVC 2020); nn.Mish. Paper 001 (Jaiswal et al. 2022, ToST), section 3.1, the second of its two smooth
activations. The net is changed when the ticket is spent, after its mask was found; weights, BatchNorm's buffers,
initialisation and all names stay. The activation behind the residual addition is replaced as well. Nets that call relu
as a function are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from ticketctl.seeds import Seeds
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._activation import Shape, shape_of, swap

FACTS = {
    "changes": "net",
    "paper": "Jaiswal et al. 2022 (001), section 3.1; Misra 2019",
    "cost": "a step 1.6 times (ResNet-18 a quarter wide, one CPU thread)",
    "weights": "none",
}

EXCLUDES: dict[str, str] = {"swish": "a net has one activation"}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.mish]`: there are none."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """Mish everywhere."""
    del params
    return _Mishes(shape_of(kit.bench.feed.images))


class _Mishes(Hooks):
    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def identity(self) -> dict[str, Any]:
        return {"tweak": "mish"}

    def model(self, net: nn.Module, seeds: Seeds) -> None:
        """Raises UsageError for a net without ReLU modules, or with relu as a function."""
        swap(net, lambda old: nn.Mish(), tweak="mish", shape=self.shape)
