"""The training images, resident on the device as uint8, cut into augmented and normalised batches there.

What an image looks like in an epoch depends on (seed, epoch, its index) and on nothing else: not on the batch it
falls into, not on the device, not on where a training was resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds


@dataclass(frozen=True)
class Scaling:
    """Pixels to inputs: x * scale + offset, per channel, shape [1, C, 1, 1]."""

    scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Scaling:
        """(x / 255 - mean) / std."""
        centre = torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)
        spread = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)
        return cls((1 / (255 * spread)).float().to(device), (-centre / spread).float().to(device))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float32 inputs, channels last."""
        inputs = torch.addcmul(self.offset, pixels.float(), self.scale)
        return inputs.contiguous(memory_format=torch.channels_last)


TABLE_BYTES = 512 << 20
"""Images that are never augmented are kept as normalised floats up to this size: one lookup instead of arithmetic."""


class Images:
    """A split on the device, in order, for evaluation."""

    def __init__(
        self, split: Split, index: NDArray[np.int64] | None, scaling: Scaling, device: torch.device
    ) -> None:
        rows = slice(None) if index is None else index
        self.pixels = torch.from_numpy(np.array(split.images[rows])).to(device)
        self.labels = torch.from_numpy(np.array(split.labels[rows])).to(device)
        self.scaling = scaling

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of images start..stop-1."""
        return self.scaling(self.pixels[start:stop]), self.labels[start:stop]


class Feed:
    """Shuffled, augmented batches of the training images."""

    def __init__(self, images: Images, *, batch: int, padding: int | None, drop_last: bool) -> None:
        """`padding`: zero pixels around an image before its random crop, with random flips; None: no augmentation."""
        self.images, self.batch_size, self.padding = images, batch, padding
        self.steps_per_epoch = len(images) // batch if drop_last else -(-len(images) // batch)
        self.height, self.width = images.pixels.shape[2:]
        if padding is not None:
            self.windows = _windows(images.pixels, padding)
        self.table = _table(images) if padding is None else None
        self.order: Tensor = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def begin_epoch(self, seeds: Seeds, epoch: int) -> None:
        """Set the order and the augmentation of `epoch` (0-based)."""
        device = self.images.labels.device
        self.order = torch.from_numpy(seeds.order("order", epoch, count=len(self))).to(device)
        if self.padding is not None:
            table = crops(seeds.raw("augment", epoch, count=len(self)), self.padding)
            self.flip, self.down, self.right = (torch.from_numpy(part).to(device) for part in table)

    def batch(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs [B, C, H, W] float32, labels [B], indices [B] of step `position` of this epoch."""
        index = self.order[position * self.batch_size : (position + 1) * self.batch_size]
        labels = self.images.labels.index_select(0, index)
        if self.table is not None:
            return self.table.index_select(0, index).permute(0, 3, 1, 2), labels, index
        if self.padding is None:
            pixels = self.images.pixels.index_select(0, index)
        else:
            pixels = self.windows[self.flip[index], index, :, self.down[index], self.right[index]]
        return self.images.scaling(pixels), labels, index


def _table(images: Images) -> Tensor | None:
    """All images [N, H, W, C] as the net takes them, the same bits as batch by batch; None where that is too large.

    Rows of this layout are copied whole, and seen from [B, C, H, W] they are channels last; a lookup in a
    channels-last tensor itself would answer in the other layout.
    """
    if images.pixels.numel() * 4 > TABLE_BYTES:
        return None
    count, channels, height, width = images.pixels.shape
    inputs = torch.empty((count, height, width, channels), device=images.pixels.device)
    for start in range(0, len(images), 1024):
        inputs[start : start + 1024] = images.scaling(images.pixels[start : start + 1024]).permute(0, 2, 3, 1)
    return inputs


def _windows(pixels: Tensor, padding: int) -> Tensor:
    """Every crop of every image and of its mirror, [2, N, C, 2p+1, 2p+1, H, W]: a view, both mirrors stored."""
    height, width = pixels.shape[2:]
    padded = nn.functional.pad(pixels, (padding,) * 4)
    both = torch.stack([padded, padded.flip(3)])
    return both.unfold(3, height, 1).unfold(4, width, 1)


def crops(
    raw: NDArray[np.uint64], padding: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Flip (0 or 1), rows and columns to cut off (0..2*padding), each [N], from one random word per image.

    The flip is the lowest bit; the offsets are the next two 24-bit fields scaled down, whose deviation from uniform
    is under 1e-6.
    """
    span = np.uint64(2 * padding + 1)
    field = np.uint64((1 << 24) - 1)
    flip = raw & np.uint64(1)
    down = ((raw >> np.uint64(8)) & field) * span >> np.uint64(24)
    right = ((raw >> np.uint64(32)) & field) * span >> np.uint64(24)
    return flip.astype(np.int64), down.astype(np.int64), right.astype(np.int64)
