"""What a net says to images: logits, in float32, evaluation mode, a fixed order and fixed batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.train.evaluate import BATCH, Forward, Poll
from ticketctl.train.exam import Answers
from ticketctl.train.feed import Images

SMALL = 50
"""Images of a batch on a CPU: what passes between layers stays in its caches; a ResNet-20s is 1.7 times as fast."""


def batch_on(device: torch.device) -> int:
    """Images of a batch where nothing but forward passes is done; it belongs to the last bits of the answers."""
    return SMALL if device.type == "cpu" else BATCH


def right_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Which answers [N, K] are their label, bool [N]: one with a logit that is NaN or infinite is wrong, whichever is
    the largest; of equal logits the first counts."""
    return (logits.argmax(1) == labels) & logits.isfinite().all(1)


def right_answers(
    model: nn.Module, images: Images, labels: Tensor, poll: Poll = lambda: None
) -> NDArray[np.bool_]:
    """Which images the net gives these labels, bool [N]: as `right_of`, a batch at a time, no logits kept.

    Args:
        model: left in the mode it was in.
        images: whose pixels are normalised as the net was trained.
        labels: int64 [N], on their device; the images' own, or others.
        poll: called between batches; may raise to stop.
    """
    parts = [right_of(said, labels[rows]).cpu().numpy() for rows, said in _said(model, images, poll, model)]
    return np.concatenate(parts)


def answers_of(
    model: nn.Module, images: Images, poll: Poll = lambda: None, forward: Forward | None = None
) -> Answers:
    """The logits to all images, in their order, and their labels.

    Args:
        model: left in the mode it was in.
        images: whose pixels are normalised as the net was trained.
        poll: called between batches; may raise to stop.
        forward: runs the net, where that is not simply `model(inputs)`.
    """
    parts = [said.cpu().numpy() for _, said in _said(model, images, poll, forward or model)]
    labels: NDArray[np.int64] = images.labels.cpu().numpy()
    return Answers(np.concatenate(parts), labels)


@torch.no_grad()
def _said(model: nn.Module, images: Images, poll: Poll, forward: Forward) -> Iterator[tuple[slice, Tensor]]:
    """Float32 logits of one batch after the other, and which images they are of."""
    was_training, size = model.training, batch_on(images.labels.device)
    model.eval()
    try:
        for start in range(0, len(images), size):
            poll()
            yield slice(start, start + size), forward(images.batch(start, start + size)[0]).float()
    finally:
        model.train(was_training)
