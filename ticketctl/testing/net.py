"""The net that the suites train: every kind of tensor there is, in milliseconds."""

from __future__ import annotations

import torch
from torch import nn

NAME = f"{__name__}:make"
"""As `model.name` calls it."""


class Small(nn.Module):
    """Two convolutions with BatchNorm and an output layer with biases: 644 prunable weights on the digits."""

    def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.relu2 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(8 * (size[0] // 4) * (size[1] // 4), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W], sides divisible by 4, to logits [N, classes]."""
        hidden = self.relu1(self.norm1(self.conv1(x)))
        hidden = self.relu2(self.norm2(self.conv2(hidden)))
        logits: torch.Tensor = self.fc(self.flatten(hidden))
        return logits


def make(*, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """The net for images of `channels` x `size`."""
    return Small(channels, size, classes)
