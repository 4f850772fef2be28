"""A weighted average of the nets that a training passes through."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ticketctl.train.course import Course


class Average:
    """Of parameters, and of floating-point buffers if they are to be averaged too; integer buffers stay the net's.

    The average lies on the device in each tensor's own layout, so that a training that goes on after a restart takes
    the same vector instructions over the same elements.
    """

    def __init__(self, *, buffers: bool) -> None:
        self.buffers = buffers
        self.live: dict[str, Tensor] = {}
        """The net's tensors."""
        self.held: dict[str, Tensor] = {}
        """The average by name; empty until the first net."""

    @torch.no_grad()
    def bind(self, model: nn.Module) -> None:
        """Take hold of the net's tensors, and bring what was restored to where they are."""
        self.live = {name: value.detach() for name, value in model.named_parameters()}
        if self.buffers:
            self.live |= {name: each for name, each in model.named_buffers() if each.is_floating_point()}
        if self.held:
            self.held = {n: torch.empty_like(value).copy_(self.held[n]) for n, value in self.live.items()}

    @torch.no_grad()
    def add(self, share: float) -> None:
        """average += share * (net - average); the first net is the average. Does not wait for the device."""
        if not self.held:
            self.held = {name: value.clone() for name, value in self.live.items()}
            return
        held = [self.held[name] for name in self.live]
        torch._foreach_lerp_(held, list(self.live.values()), share)

    @torch.no_grad()
    def put(self, loop: Course) -> None:
        """Into the net, under the mask as it is now: that of nets of one mask has it already."""
        for name, value in self.live.items():
            value.copy_(self.held[name])
        for name, keep in loop.masks.items():
            loop.model.get_parameter(name).mul_(keep)

    def state(self) -> dict[str, Tensor]:
        """`average.<name>`, as large as the net."""
        return {f"average.{name}": value for name, value in self.held.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        found = {n.removeprefix("average."): v for n, v in tensors.items() if n.startswith("average.")}
        self.held = found
