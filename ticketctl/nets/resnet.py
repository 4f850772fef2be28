"""ResNet-18, -34 and -50 (He et al. 2016), with the CIFAR stem of kuangliu's code or the ImageNet stem.

State_dict names are torchvision's, so its weights load into the ImageNet form.
"""

from __future__ import annotations

import torch
from torch import nn

from ticketctl.errors import UsageError, near_miss
from ticketctl.nets._blocks import BasicBlock, Bottleneck, projection

NAMES: dict[str, str] = {
    "resnet18": "18 layers, 64 to 512 wide; 11,173,962 parameters on CIFAR-10",
    "resnet34": "34 layers, 64 to 512 wide; 21,282,122 parameters on CIFAR-10",
    "resnet50": "50 layers, bottlenecks; 23,520,842 parameters on CIFAR-10",
}

_PLANS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}

WIDTHS: dict[str, tuple[int, ...]] = dict.fromkeys(NAMES, (64, 64, 128, 256, 512))
"""Channels of the stem and of each stage; a bottleneck's output is four times as wide."""

STEMS = ("cifar", "imagenet")


class ResNet(nn.Module):
    """Stem, four stages, mean over positions, one Linear layer."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        *,
        channels: int,
        classes: int,
        stem: str,
    ) -> None:
        super().__init__()
        first, *stages = widths
        kernel, stride, padding = (3, 1, 1) if stem == "cifar" else (7, 2, 3)
        self.conv1 = nn.Conv2d(channels, first, kernel, stride=stride, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu1 = nn.ReLU()
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, stride=2, padding=1)
        wide = [width * block.expansion for width in stages]
        self.layer1 = _stage(block, first, stages[0], depths[0], stride=1)
        self.layer2 = _stage(block, wide[0], stages[1], depths[1], stride=2)
        self.layer3 = _stage(block, wide[1], stages[2], depths[2], stride=2)
        self.layer4 = _stage(block, wide[2], stages[3], depths[3], stride=2)
        self.fc = nn.Linear(wide[3], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] to logits [N, classes]."""
        x = self.maxpool(self.relu1(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        # A plain mean: the backward of adaptive pooling is not deterministic on CUDA.
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, depth: int, *, stride: int
) -> nn.Sequential:
    outputs = width * block.expansion
    first = block(inputs, width, stride, projection(inputs, outputs, stride))
    return nn.Sequential(first, *(block(outputs, width, 1, nn.Identity()) for _ in range(depth - 1)))


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = WIDTHS["resnet18"],
) -> nn.Module:
    """The net for images of `channels` channels and any size.

    Args:
        name: one of `NAMES`.
        channels: 1 or more.
        size: height and width; the mean over positions fits any.
        classes: number of logits.
        stem: "cifar" (3x3, stride 1, no pooling) or "imagenet" (7x7, stride 2, max-pooling).
        widths: channels of the stem and of each stage.

    Raises:
        UsageError: no such stem.
    """
    if stem not in STEMS:
        raise UsageError(f"no stem named {stem!r}; {near_miss(stem, STEMS)}")
    block, depths = _PLANS[name]
    return ResNet(block, depths, widths, channels=channels, classes=classes, stem=stem)
