"""The three-stage CIFAR ResNets (He et al. 2016, section 4.2) in the variants lottery-ticket papers use.

They share a name and differ in the shortcut: `resnet20s` (seed 004) pads with zeros (option A, no weights),
`resnet20` and `resnet32` (open_lth, Synaptic-Flow) and `resnet32-2x` (GraSP, SmartRatio, HyperSparse: twice
the width) put a 1x1 convolution and BatchNorm there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ticketctl.nets._blocks import BasicBlock, conv, projection

NAMES: dict[str, str] = {
    "resnet20s": "20 layers, 16 to 64 wide, zero-padded shortcuts; 269,722 parameters on CIFAR-10",
    "resnet20": "20 layers, 16 to 64 wide, 1x1 shortcuts; 272,474 parameters on CIFAR-10",
    "resnet32": "32 layers, 16 to 64 wide, 1x1 shortcuts; 466,906 parameters on CIFAR-10",
    "resnet32-2x": "32 layers, 32 to 128 wide, 1x1 shortcuts; 1,860,522 parameters on CIFAR-10",
}


WIDTHS: dict[str, tuple[int, ...]] = {
    "resnet20s": (16, 16, 32, 64),
    "resnet20": (16, 16, 32, 64),
    "resnet32": (16, 16, 32, 64),
    "resnet32-2x": (32, 32, 64, 128),
}
"""Channels of the stem and of each stage."""


@dataclass(frozen=True)
class _Plan:
    depth: int
    pads: bool


_PLANS = {
    "resnet20s": _Plan(depth=3, pads=True),
    "resnet20": _Plan(depth=3, pads=False),
    "resnet32": _Plan(depth=5, pads=False),
    "resnet32-2x": _Plan(depth=5, pads=False),
}


class PadShortcut(nn.Module):
    """Option A: every second position, and zero channels, half before and half after."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride  # a narrower output (a small dense net may have one) cuts channels off instead
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class CifarResNet(nn.Module):
    """3x3 stem, three stages of basic blocks, mean over positions, one Linear layer."""

    def __init__(self, plan: _Plan, widths: tuple[int, ...], *, channels: int, classes: int) -> None:
        super().__init__()
        stem, first, second, third = widths
        self.conv1 = conv(channels, stem, 3)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu1 = nn.ReLU()
        self.layer1 = _stage(plan, stem, first, stride=1)
        self.layer2 = _stage(plan, first, second, stride=2)
        self.layer3 = _stage(plan, second, third, stride=2)
        self.fc = nn.Linear(third, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        # A plain mean: the backward of adaptive pooling is not deterministic on CUDA.
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def _stage(plan: _Plan, inputs: int, width: int, *, stride: int) -> nn.Sequential:
    if plan.pads and (stride, inputs) != (1, width):
        shortcut: nn.Module = PadShortcut(inputs, width, stride)
    else:
        shortcut = projection(inputs, width, stride)
    blocks = [BasicBlock(inputs, width, stride, shortcut)]
    blocks += [BasicBlock(width, width, 1, nn.Identity()) for _ in range(plan.depth - 1)]
    return nn.Sequential(*blocks)


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = WIDTHS["resnet20s"],
) -> nn.Module:
    """The net for images of `channels` channels and any `size`; there is one stem: `stem` is ignored."""
    del size, stem
    return CifarResNet(_PLANS[name], widths, channels=channels, classes=classes)
