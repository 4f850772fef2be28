"""Accuracy and loss in float32, eval mode, fixed order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ticketctl.train.feed import Images

BATCH = 500
"""Images per evaluation batch; it belongs to the bits of the loss."""


def evaluate(
    model: nn.Module, images: Images, poll: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in [0, 1]. `poll` is called between batches and may raise to stop."""
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    try:
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                poll()
                inputs, labels = images.batch(start, start + BATCH)
                logits = model(inputs).float()
                loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
                correct += int((logits.argmax(1) == labels).sum())
    finally:
        model.train(was_training)
    return loss / len(images), correct / len(images)
