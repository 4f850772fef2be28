"""What the field's best-known lottery-ticket code (open_lth) does, written anew as the baseline of our ratios.

A PIL image per sample, Python transforms, a DataLoader without workers, float32, NCHW, the mask multiplied into the
weights before every forward pass, default SGD, a LambdaLR step under a warnings filter after every batch. Its
callbacks, logging and per-epoch checkpoint are left out, in its favour.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pictures(Dataset):
    """One PIL image at a time, transformed in Python."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, augment: bool) -> None:
        # grey images are kept as a tensor and colour ones as an array there
        self.grey = torch.from_numpy(images[:, 0]) if images.shape[1] == 1 else None
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels
        channels, size = images.shape[1], images.shape[2]
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(size, padding=4)] if augment else []
        scale = transforms.Normalize([0.5] * channels, [0.25] * channels)
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), scale])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.int64]:
        pixels = self.images[index] if self.grey is None else self.grey[index].numpy()
        return self.transform(Image.fromarray(pixels)), self.labels[index]


class ReferenceLoop:
    """A masked training by that book."""

    def __init__(
        self, model: nn.Module, masks: Mapping[str, torch.Tensor], images: np.ndarray, labels: np.ndarray,
        batch: int, augment: bool,
    ) -> None:  # fmt: skip
        self.model, self.masks = model.train(), masks
        self.loader = DataLoader(Pictures(images, labels, augment), batch_size=batch, shuffle=True)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)
        self.batches = iter(self.loader)

    def step(self) -> None:
        """One batch."""
        try:
            inputs, labels = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            inputs, labels = next(self.batches)
        self.optimizer.zero_grad()
        self.model.train()
        for name, parameter in self.model.named_parameters():
            if name in self.masks:
                parameter.data *= self.masks[name]
        nn.functional.cross_entropy(self.model(inputs), labels.long()).backward()
        self.optimizer.step()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning)
            self.schedule.step()


class BareLoop:
    """The least a step can cost: same net, one batch in memory, no mask, fused SGD."""

    def __init__(self, model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, bf16: bool) -> None:
        self.model, self.inputs, self.labels, self.bf16 = model.train(), inputs, labels, bf16
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True
        )

    def step(self) -> None:
        """One batch, always the same."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.model(self.inputs)
        nn.functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
