"""1x1 convolutions with a stride, of few channels: the positions are taken first, and then a plain 1x1 convolution.

The same numbers by other steps. oneDNN's own way for them, in float32 with channels last on a CPU, writes past its
memory in the backward pass where there are fewer input channels than its block of 8 (AVX2) or 16 (AVX-512): the process
crashes or hangs, or the gradient is wrong (uxlfoundation/oneDNN issue 6035, seen with torch 2.15). Nets a fraction as
wide as published have such shortcuts, and a small dense net may.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F

BLOCK = 16
"""From this many input channels of a group on, torch's own way is sound on every processor."""


class Strided(nn.Conv2d):
    """Such a convolution; all of its attributes and its state_dict are those of the one it was."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        down, along = self.stride
        return F.conv2d(x[:, :, ::down, ::along], self.weight, self.bias, groups=self.groups)


Net = TypeVar("Net", bound=nn.Module)


def sound_(net: Net) -> Net:
    """`net` itself, its plain convolutions of that kind made `Strided`."""
    for module in net.modules():
        if type(module) is nn.Conv2d and _is_unsound(module):
            module.__class__ = Strided
    return net


def _is_unsound(conv: nn.Conv2d) -> bool:
    points = conv.kernel_size == (1, 1) and conv.padding in ("valid", "same", (0, 0))
    return points and conv.stride != (1, 1) and conv.in_channels // conv.groups < BLOCK
