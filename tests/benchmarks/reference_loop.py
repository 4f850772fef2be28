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
from torch import nn
from torch.utils.data import DataLoader

from ticketctl.stages.benchmark_loader import Pictures


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
