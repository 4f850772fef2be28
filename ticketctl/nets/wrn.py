"""Wide residual nets (Zagoruyko and Komodakis 2016): pre-activation blocks, WRN-28-10 and the WRN-22-2 of RigL.

Depth 6n + 4 counts the stem, three stages of n blocks of two 3x3 convolutions, and the three 1x1 shortcuts. The first
block of a stage feeds its shortcut from the activated input; no BatchNorm stands in the shortcut. No dropout.
"""

from __future__ import annotations

import torch
from torch import nn

from ticketctl.nets._blocks import conv

NAMES: dict[str, str] = {
    "wrn-28-10": "28 layers, pre-activation, 160 to 640 wide; 36,479,194 parameters on CIFAR-10",
    "wrn-22-2": "22 layers, pre-activation, 32 to 128 wide; 1,079,642 parameters on CIFAR-10",
}

WIDTHS: dict[str, tuple[int, ...]] = {"wrn-28-10": (16, 160, 320, 640), "wrn-22-2": (16, 32, 64, 128)}
"""Channels of the stem and of each stage."""

_DEPTHS = {"wrn-28-10": 4, "wrn-22-2": 3}


class PreActivation(nn.Module):
    """BatchNorm, ReLU, 3x3, BatchNorm, ReLU, 3x3 beside a shortcut (He et al. 2016, Identity Mappings)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(width, width, 3)
        self.projects = stride != 1 or inputs != width
        self.downsample = conv(inputs, width, 1, stride) if self.projects else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, width, H / stride, W / stride]."""
        active = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        result: torch.Tensor = out + self.downsample(active if self.projects else x)
        return result


class WideResNet(nn.Module):
    """3x3 stem, three stages, BatchNorm and ReLU, mean over positions, one Linear layer."""

    def __init__(self, depth: int, widths: tuple[int, ...], *, channels: int, classes: int) -> None:
        super().__init__()
        stem, first, second, third = widths
        self.conv1 = conv(channels, stem, 3)
        self.layer1 = _stage(stem, first, depth, stride=1)
        self.layer2 = _stage(first, second, depth, stride=2)
        self.layer3 = _stage(second, third, depth, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.relu1 = nn.ReLU()
        self.fc = nn.Linear(third, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        # A plain mean: the backward of adaptive pooling is not deterministic on CUDA.
        logits: torch.Tensor = self.fc(self.relu1(self.bn1(x)).mean((2, 3)))
        return logits


def _stage(inputs: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    blocks = (PreActivation(width, width, 1) for _ in range(depth - 1))
    return nn.Sequential(PreActivation(inputs, width, stride), *blocks)


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = WIDTHS["wrn-28-10"],
) -> nn.Module:
    """The net for images of `channels` channels and any `size`; there is one stem: `stem` is ignored."""
    del size, stem
    return WideResNet(_DEPTHS[name], widths, channels=channels, classes=classes)
