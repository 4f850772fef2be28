"""MobileNet v1 (Howard et al. 2017) for small images, in the form of kuangliu's pytorch-cifar.

A 3x3 stem without stride, then thirteen pairs of a depthwise 3x3 and a 1x1 convolution, each with BatchNorm and ReLU;
the image is halved four times. The pooling at the end is the mean over positions, so any size goes in.
"""

from __future__ import annotations

import torch
from torch import nn

NAMES: dict[str, str] = {
    "mobilenet": "MobileNet v1, 13 depthwise and 1x1 pairs; 3,217,226 parameters on CIFAR-10",
}

WIDTHS: dict[str, tuple[int, ...]] = {"mobilenet": (32, 64, 128, 256, 512, 1024)}
"""Channels of the stem, and of the 1x1 convolutions of each width."""

_STRIDES = ((1,), (2, 1), (2, 1), (2, 1, 1, 1, 1, 1), (2, 1))
"""Of the depthwise convolutions that stand before 1x1 convolutions of each width."""


class MobileNet(nn.Module):
    """Stem, depthwise and 1x1 pairs, mean over positions, one Linear layer."""

    def __init__(self, widths: tuple[int, ...], *, channels: int, classes: int) -> None:
        super().__init__()
        inputs, *wider = widths
        self.conv1 = nn.Conv2d(channels, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        pairs = []
        for width, strides in zip(wider, _STRIDES, strict=True):
            for stride in strides:
                pairs.append(_pair(inputs, width, stride))
                inputs = width
        self.layers = nn.Sequential(*pairs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        x = self.layers(self.relu1(self.bn1(self.conv1(x))))
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def _pair(inputs: int, width: int, stride: int) -> nn.Sequential:
    # A plain chain and no module with a forward of its own: there is nothing residual in it.
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = WIDTHS["mobilenet"],
) -> nn.Module:
    """The net for images of `channels` channels and any `size`; there is one stem: `stem` is ignored."""
    del name, size, stem
    return MobileNet(widths, channels=channels, classes=classes)
