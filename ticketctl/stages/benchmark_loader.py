"""Batches alone: ours, and those of a DataLoader that makes a picture of every image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.seeds import Seeds
from ticketctl.train.feed import Feed


class Batches:
    """Augmented, scaled batches from memory, as a training takes them: epoch after epoch, whole batches."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.done = feed, 0

    def __call__(self) -> None:
        """The next batch."""
        epoch, position = divmod(self.done, self.feed.steps_per_epoch)
        if position == 0:
            self.feed.begin_epoch(Seeds(0), epoch)
        self.feed.batch(position)
        self.done += 1


class Pictures(torch.utils.data.Dataset[Any]):
    """One PIL image at a time, transformed in Python, as the field's best-known lottery-ticket code does it."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], augment: bool) -> None:
        """`images` [N, C, H, W], `labels` [N]."""
        from PIL import Image
        from torchvision import transforms

        self.picture = Image.fromarray
        # grey images are kept as a tensor and colour ones as an array there
        self.grey = torch.from_numpy(images[:, 0]) if images.shape[1] == 1 else None
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels
        channels, size = images.shape[1], images.shape[2]
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(size, padding=4)] if augment else []
        scale = transforms.Normalize([0.5] * channels, [0.25] * channels)
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), scale])

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, np.int64]:
        """Image and label."""
        pixels = self.images[index] if self.grey is None else self.grey[index].numpy()
        return self.transform(self.picture(pixels)), self.labels[index]


class PictureBatches:
    """Batches of `Pictures` by a DataLoader without workers."""

    def __init__(self, pictures: Pictures, batch: int) -> None:
        numbers = torch.Generator().manual_seed(0)
        self.loader = torch.utils.data.DataLoader(
            pictures, batch_size=batch, shuffle=True, drop_last=True, generator=numbers
        )
        self.batches = iter(self.loader)

    def __call__(self) -> None:
        """The next batch."""
        try:
            next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            next(self.batches)
