"""What the net got right at each presentation of each training image, at no extra forward pass.

A forgetting event (Toneva et al. 2019; paper 003) is a presentation that is wrong after one that was right. It is
recorded online: train mode, augmented view, before the update of that batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


class Memory:
    """Correct bits of N training images, by epoch."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.right = torch.zeros(count, dtype=torch.bool, device=device)
        """Whether the newest presentation was right."""
        self.before = torch.zeros_like(self.right)
        """The same, when the current epoch began."""
        self.events = torch.zeros(count, dtype=torch.int32, device=device)
        self.epochs: list[np.ndarray] = []
        """One row of packed bits per finished epoch, little bit order."""

    def reset(self) -> None:
        """Nothing was presented yet."""
        self.right.zero_()
        self.before.zero_()
        self.events.zero_()
        self.epochs = []

    def see(self, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        """One batch was presented."""
        self.right.index_copy_(0, index, logits.argmax(1) == labels)

    def see_unless(self, bad: Tensor, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        """As `see`, but nothing changes while `bad`, a scalar on the device, is 1; does not wait for the device."""
        before = self.right.index_select(0, index)
        self.right.index_copy_(0, index, torch.where(bad > 0, before, logits.argmax(1) == labels))

    def end_epoch(self) -> None:
        """Count what was forgotten and keep the epoch's bits. An image left out of the epoch keeps its last state."""
        self.events += self.before & ~self.right
        self.before.copy_(self.right)
        self.epochs.append(np.packbits(self.right.cpu().numpy(), bitorder="little"))

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        rows = np.stack(self.epochs) if self.epochs else np.empty((0, -(-len(self.right) // 8)), np.uint8)
        return {
            "memory.right": self.right.to(torch.uint8),
            "memory.before": self.before.to(torch.uint8),
            "memory.events": self.events,
            "memory.epochs": torch.from_numpy(rows),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        self.right.copy_(tensors["memory.right"].bool())
        self.before.copy_(tensors["memory.before"].bool())
        self.events.copy_(tensors["memory.events"])
        self.epochs = list(tensors["memory.epochs"].numpy())
