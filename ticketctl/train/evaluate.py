"""Accuracy and loss in float32, eval mode, fixed order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ticketctl.train.feed import Images

BATCH = 500
"""Images per evaluation batch; it belongs to the bits of the loss."""


def evaluate(
    model: nn.Module,
    images: Images,
    poll: Callable[[], None] = lambda: None,
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in [0, 1]. `poll` is called between batches and may raise to stop.

    `forward` runs the net where that is not simply `model(inputs)`.
    """
    loss, right = answers(model, images, poll, forward)
    return loss, int(right.sum()) / len(images)


def answers(
    model: nn.Module,
    images: Images,
    poll: Callable[[], None] = lambda: None,
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[float, torch.Tensor]:
    """Mean cross-entropy, and which images are right: bool [N] on the device. See `evaluate`."""
    was_training = model.training
    model.eval()
    loss, right = 0.0, torch.zeros(len(images), dtype=torch.bool, device=images.labels.device)
    try:
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                poll()
                inputs, labels = images.batch(start, start + BATCH)
                logits = (forward or model)(inputs).float()
                loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
                right[start : start + len(labels)] = logits.argmax(1) == labels
    finally:
        model.train(was_training)
    return loss / len(images), right
