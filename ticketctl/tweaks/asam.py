"""Adaptive SAM: as `sam`, the distance of each weight measured in units of its own size.

e = rho * T^2 g / ||T g|| with T = |theta| + eta, g the masked gradient: the perturbation does not change when a layer
is scaled up and the next one down. Kwon et al. 2021, algorithm 1.

Choices: T is of all parameters and eta = 0, as in davda54/sam (3c3afdb); the authors' code (SamsungLabs/ASAM) takes T
= 1 for biases, with eta 0.01 in its class and 0 in its CIFAR example. rho = 0.5, theirs for CIFAR-10 and ten times
that of SAM; the example of davda54 has 2.0. Pruned weights stay at 0 with any eta, because g is masked. The rest is
as `sam` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._sharpness import Sharpness, check

FACTS = {"changes": "gradient", "cost": "a step 2 times"}
EXCLUDES = {"sam": "each perturbs the weights, in another metric"}
ZERO = {"rho": 0.0}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.asam]`."""

    rho: float = 0.5
    """Length of the perturbation, from 0, in units of the weights' sizes."""
    eta: float = 0.0
    """Added to each weight's size, from 0, so that weights near zero are perturbed too."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: rho or eta is out of its range.
    """
    check(params.rho, "tweaks.asam.rho", "the paper has 0.5 for CIFAR-10")
    check(params.eta, "tweaks.asam.eta", "the paper has 0.01")
    return Adaptive(params)


class Adaptive(Sharpness):
    """Sharpness in units of the weights' sizes."""

    def __init__(self, params: Params) -> None:
        super().__init__("asam", params.rho)
        self.eta = params.eta

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {**super().identity(), "eta": self.eta}

    def units(self, parameters: list[Tensor]) -> list[Tensor]:
        """|theta| + eta."""
        sizes = torch._foreach_abs(parameters)
        if self.eta:
            torch._foreach_add_(sizes, self.eta)
        return list(sizes)
