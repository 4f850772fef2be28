"""Groups of channels that a net carries together, and what a channel is that is always one number.

Convolutions and Linear layers read one group of channels and write another; what works on each channel by itself keeps
the group, sums and products join two. A channel is one number, for all images and at all positions, where a row has no
weights or a BatchNorm's scale is 0, and where that follows from such by the operations themselves. A layer without
padding adds the same amount to its output for it, which its bias can hold. Zero padding would make the edges differ,
so there only the number 0 may go. `ticketctl/nets/compact_watch.py` fills this in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """The channels of one tensor: dimension 1, each `repeat` numbers side by side (a flattened image has H W)."""

    group: int
    repeat: int
    value: Tensor
    """[channels]: the number that the channel always is, or NaN."""


@dataclass(frozen=True)
class Use:
    """One run of a convolution or Linear layer (of a norm or a depthwise convolution, `reads` is `writes`)."""

    reads: int
    writes: int
    repeat: int
    value: Tensor
    """[input channels]: the number that a bias can take over, or NaN."""
    single: bool
    """Whether output channel c reads input channel c alone, or is it scaled."""


@dataclass
class Flow:
    """What the run has shown."""

    parents: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    uses: dict[str, Use] = field(default_factory=dict)
    """By the path of the module."""

    def group(self, size: int, *, fixed: bool = False) -> int:
        """A new group of `size` channels."""
        self.parents.append(len(self.parents))
        self.sizes.append(size)
        if fixed:
            self.fixed.add(self.parents[-1])
        return self.parents[-1]

    def root(self, group: int) -> int:
        """The group that this one has become part of."""
        while self.parents[group] != group:
            group = self.parents[group]
        return group

    def join(self, one: int, other: int) -> int:
        """The two are one from now on."""
        one, other = self.root(one), self.root(other)
        self.parents[other] = one
        if other in self.fixed:
            self.fixed.add(one)
        return one

    def fix(self, *groups: int) -> None:
        """These stay whole."""
        self.fixed.update(self.root(group) for group in groups)

    def is_fixed(self, group: int) -> bool:
        """Whether it stays whole."""
        return self.root(group) in self.fixed

    def groups(self) -> dict[int, int]:
        """Channels of each group that is no part of another."""
        return {group: self.sizes[group] for group in range(len(self.sizes)) if self.root(group) == group}


def through(weight: Tensor, bias: Tensor | None, value: Tensor) -> Tensor:
    """[outputs]: what a layer always answers, NaN where that depends on what comes in.

    Args:
        weight: [outputs, inputs, numbers per input].
        bias: [outputs] or None.
        value: [inputs], the numbers that a bias can take over, or NaN.
    """
    varies = (weight[:, value.isnan()] != 0).flatten(1).any(1)
    total = taken_over(weight, value, ~value.isnan())
    total = total if bias is None else total + bias
    return torch.where(varies, math.nan, total)


def taken_over(weight: Tensor, value: Tensor, inputs: Tensor) -> Tensor:
    """[outputs]: what these inputs (bool [inputs]) of a layer add to its answer, each always being its `value`."""
    amounts = weight[:, inputs].double().sum(2) @ value[inputs].double()
    return amounts.to(weight.dtype)


def through_each(weight: Tensor, bias: Tensor | None, value: Tensor) -> Tensor:
    """The same for a depthwise convolution, whose `weight` is [channels, 1, positions]."""
    total = weight.flatten(1).sum(1)
    answer = torch.where((weight == 0).flatten(1).all(1), 0.0, total * value)
    return answer if bias is None else answer + bias


def only_zero(value: Tensor) -> Tensor:
    """`value` where it is 0, else not known: what may go before a layer that pads with zeros."""
    return torch.where(value == 0, value, math.nan)


def finite(stream: Stream) -> Stream:
    """No bias takes over an infinity."""
    return replace(stream, value=torch.where(stream.value.isfinite(), stream.value, math.nan))
