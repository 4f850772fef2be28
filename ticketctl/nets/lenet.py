"""LeNet-300-100 (LeCun et al. 1998), the first lottery-ticket net: three Linear layers, ReLU between them."""

from __future__ import annotations

import torch
from torch import nn

NAMES: dict[str, str] = {
    "lenet-300-100": "Fully connected, 300 and 100 hidden units; 266,610 parameters on MNIST",
}


class LeNet(nn.Module):
    """inputs-300-100-classes, ReLU, biases."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(inputs, 300)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(300, 100)
        self.relu2 = nn.ReLU()
        self.fc3 = nn.Linear(100, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        hidden = self.relu1(self.fc1(self.flatten(x)))
        logits: torch.Tensor = self.fc3(self.relu2(self.fc2(hidden)))
        return logits


def build(name: str, *, channels: int, size: tuple[int, int], classes: int, stem: str = "cifar") -> nn.Module:
    """The net for images of `channels` x `size`; `stem` is for convolutional nets and means nothing here."""
    del name, stem  # one name, no stem
    return LeNet(channels * size[0] * size[1], classes)
