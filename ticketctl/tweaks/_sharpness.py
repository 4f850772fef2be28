"""The gradient at the worst point nearby, which SAM and ASAM look for in different metrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

TINY = 1e-12
"""Added to the norm, as in the reference: a gradient of zero perturbs nothing."""


def check(value: float, key: str, advice: str) -> None:
    """Refuse a key that is negative or not a number.

    Raises:
        UsageError: it is.
    """
    if not 0 <= value < float("inf"):
        raise UsageError(f"{key} = {value:g} must be 0 or more; {advice}")


class Sharpness(Hooks):
    """Puts the gradient at the perturbed weights in place of that at the weights."""

    def __init__(self, tweak: str, rho: float) -> None:
        self.tweak, self.rho = tweak, rho
        self.parameters: list[Tensor] = []
        self.saved: list[Tensor] = []
        self.masked: list[tuple[Tensor, Tensor]] = []
        """Weights, and the masks that the engine applies to them, wherever these move."""

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": self.tweak, "rho": self.rho}

    def start(self, loop: Course) -> None:
        """Take hold of weights and masks, whose addresses stay, and room for a copy."""
        self.parameters = list(loop.parameters.values())
        self.saved = [torch.empty_like(value, requires_grad=False) for value in self.parameters]
        self.masked = [(loop.model.get_parameter(name), keep) for name, keep in loop.masks.items()]

    def grads(self, loop: Course) -> bool:
        """As the base says."""
        if self.rho == 0:
            return True
        with torch.no_grad():
            torch._foreach_copy_(self.saved, self.parameters)
            self._climb()
        loop.again()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.saved)
        return True

    def _climb(self) -> None:
        """theta + e; the gradients are used up."""
        moved = [value for value in self.parameters if value.grad is not None]
        gradients = [value.grad for value in moved if value.grad is not None]
        self._hold()
        units = self.units(moved)
        if units:
            torch._foreach_mul_(gradients, units)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if units:
            torch._foreach_mul_(gradients, units)
        torch._foreach_mul_(gradients, self.rho / (norm + TINY))
        torch._foreach_add_(moved, gradients)

    def _hold(self) -> None:
        """The gradients of pruned weights to zero."""
        pairs = [(value.grad, keep) for value, keep in self.masked if value.grad is not None]
        if pairs:
            torch._foreach_mul_([gradient for gradient, _ in pairs], [keep for _, keep in pairs])

    def units(self, parameters: list[Tensor]) -> list[Tensor]:
        """In what unit T each weight is moved: e = rho * T^2 g / ||T g||. Empty: one for all."""
        return []
