"""LeNet-300-100 (LeCun et al. 1998), the first lottery-ticket net: three Linear layers, ReLU between them."""

from __future__ import annotations

import torch
from torch import nn

NAMES: dict[str, str] = {
    "lenet-300-100": "Fully connected, 300 and 100 hidden units; 266,610 parameters on MNIST",
}

WIDTHS: dict[str, tuple[int, ...]] = {"lenet-300-100": (300, 100)}
"""Hidden units of each layer."""


class LeNet(nn.Module):
    """inputs-300-100-classes, ReLU, biases; `widths` are other numbers of hidden units."""

    def __init__(self, inputs: int, classes: int, widths: tuple[int, ...] = (300, 100)) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(inputs, widths[0])
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(widths[0], widths[1])
        self.relu2 = nn.ReLU()
        self.fc3 = nn.Linear(widths[1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        hidden = self.relu1(self.fc1(self.flatten(x)))
        logits: torch.Tensor = self.fc3(self.relu2(self.fc2(hidden)))
        return logits


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = (300, 100),
) -> nn.Module:
    """The net for images of `channels` x `size`; `stem` is for convolutional nets and means nothing here."""
    del name, stem  # one name, no stem
    return LeNet(channels * size[0] * size[1], classes, widths)
