"""VGG-11, -16 and -19 with BatchNorm for small images (Simonyan and Zisserman 2015; the form of GraSP and HyperSparse).

3x3 convolutions in five stages, the image halved between them, then the mean over positions and one Linear layer: the
last pooling, of 2 on 32x32 and of 4 on 64x64 images, is that mean. Names inside `features` are torchvision's. The
published counts have biases in the convolutions; `model.conv_bias = false` is GraSP's form without them.
"""

from __future__ import annotations

import torch
from torch import nn

from ticketctl.errors import UsageError

NAMES: dict[str, str] = {
    "vgg11": "8 convolutions with BatchNorm, one Linear layer; 9,231,114 parameters on CIFAR-10",
    "vgg16": "13 convolutions with BatchNorm, one Linear layer; 14,728,266 parameters on CIFAR-10",
    "vgg19": "16 convolutions with BatchNorm, one Linear layer; 20,040,522 parameters on CIFAR-10",
}

WIDTHS: dict[str, tuple[int, ...]] = dict.fromkeys(NAMES, (64, 128, 256, 512, 512))
"""Channels of each stage."""

_DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

_LEAST = 16
"""Four times halved, an image of 16 pixels has one left."""


class Vgg(nn.Module):
    """Stages of convolution, BatchNorm and ReLU with max-pooling between them, a mean, one Linear layer."""

    def __init__(
        self, depths: tuple[int, ...], widths: tuple[int, ...], *, channels: int, classes: int, bias: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(depth):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=bias),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                channels = width
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W], H and W at least 16, to logits [N, classes]."""
        logits: torch.Tensor = self.fc(self.features(x).mean((2, 3)))
        return logits


def build(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    stem: str = "cifar",
    widths: tuple[int, ...] = WIDTHS["vgg16"],
    conv_bias: bool = True,
) -> nn.Module:
    """The net for images of `channels` x `size`; there is one stem: `stem` is ignored.

    Raises:
        UsageError: images below 16 pixels.
    """
    del stem
    if min(size) < _LEAST:
        least = f"{_LEAST}x{_LEAST}"
        raise UsageError(
            f"{name} halves images four times: {size[0]}x{size[1]} is too small, {least} the least"
        )
    return Vgg(_DEPTHS[name], widths, channels=channels, classes=classes, bias=conv_bias)
