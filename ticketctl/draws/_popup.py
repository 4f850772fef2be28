"""Scores that pick a subnet of frozen weights, and pass gradients straight through the choice."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ticketctl.masks.select import order_statistic
from ticketctl.seeds import Seeds


class Popup(torch.autograd.Function):
    """w * m, where m keeps the largest |score|; the gradient passes the choice as if it were the identity in |score|.

    d L / d score = (d L / d (w * m)) * w * sign(score), for kept and pruned weights alike. The weight gets none.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor, count: int) -> Tensor:
        """`scores` and `weight` of one shape; `count`, how many to keep."""
        ctx.save_for_backward(scores, weight)
        # into the weight's own layout, so that this net and one that holds the product compute the same bits
        return torch.mul(weight, largest(scores.abs(), count), out=torch.empty_like(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the scores."""
        scores, weight = ctx.saved_tensors
        return grads[0] * weight * scores.sign(), None, None


def popup(scores: Tensor, weight: Tensor, count: int) -> Tensor:
    """`Popup`, with its types."""
    subnet: Tensor = Popup.apply(scores, weight, count)
    return subnet


def largest(scores: Tensor, count: int) -> Tensor:
    """Bool of the shape and layout of `scores`: its `count` largest, of equal ones those of lower C-order index.

    The choice of `masks.select.top`, made where the scores lie and without waiting for the device.
    """
    keep = torch.zeros_like(scores.detach(), dtype=torch.bool)
    if count == 0:
        return keep
    flat = scores.detach().reshape(-1)
    threshold = order_statistic(flat, flat.numel() - count)
    above, ties = flat > threshold, flat == threshold
    chosen = above | (ties & (ties.cumsum(0) <= count - above.sum()))
    return keep.copy_(chosen.reshape(scores.shape))


def first_scores(seeds: Seeds, name: str, shape: torch.Size) -> Tensor:
    """Scores before training: uniform within 1/sqrt(fan_in) of 0, which is kaiming_uniform(a=sqrt(5)); float32."""
    words = seeds.raw("draw", "supermask", name, count=shape.numel()) >> np.uint64(11)
    unit = (words.astype(np.float64) + 0.5) / 2.0**53  # inside (0, 1), and never a score of exactly 0
    bound = 1 / math.sqrt(shape[1:].numel())
    return torch.from_numpy(bound * (2 * unit - 1)).float().reshape(shape)


def frozen(weight: Tensor, kind: Literal["init", "signed-constant"], share: float) -> Tensor:
    """The weight that is never trained.

    Args:
        weight: the initial weight, fan_in = elements of one output's row.
        kind: as it is, or sign(w) * sqrt(2 / fan_in), the deviation of Kaiming's normal initialisation for ReLU.
        share: fan_in counts only this share of the inputs, in (0, 1]: both kinds grow by sqrt(1 / share).
    """
    grown = 1 / math.sqrt(share)
    if kind == "init":
        return weight * grown
    return weight.sign() * (grown * math.sqrt(2 / weight[0].numel()))
