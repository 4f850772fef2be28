"""N of every M consecutive weights along the axis that is summed over: the pattern that sparse hardware multiplies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def divides(shape: torch.Size, m: int) -> bool:
    """Whether the reduction axis of a weight, its second dimension, falls into groups of `m`.

    That is in_features of a Linear layer and the input channels (of its group) of a convolution: a first convolution
    over 3 channels does not, nor does a depthwise one.
    """
    return len(shape) > 1 and shape[1] % m == 0


def grouped(scores: Tensor, n: int, m: int) -> Tensor:
    """Bool of the shape and layout of `scores`: the `n` largest of each group of `m`, ties to the lower index.

    A group is `m` consecutive entries of the second dimension at one place of all others: a convolution's kernel
    position is fixed (the weight flattened as outputs, height, width, inputs).

    Raises:
        ValueError: the axis does not divide into groups, or n is not in 1..m.
    """
    if not divides(scores.shape, m) or not 1 <= n <= m:
        raise ValueError(f"no {n}:{m} pattern in a weight of shape {tuple(scores.shape)}")
    last = scores.detach().movedim(1, -1)
    groups = last.reshape(-1, m)
    order = groups.sort(dim=1, descending=True, stable=True).indices
    chosen = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order[:, :n], True)
    keep = torch.empty_like(scores.detach(), dtype=torch.bool)
    return keep.copy_(chosen.reshape(last.shape).movedim(-1, 1))


class Refined(torch.autograd.Function):
    """w * m with the n:m mask of |w|; the gradient of w is that of w * m, plus decay * (1 - m) * w (SR-STE)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, n: int, m: int, decay: float) -> Tensor:
        """`decay` draws pruned weights to 0, so that the mask comes to rest."""
        keep = grouped(weight.abs(), n, m)
        ctx.save_for_backward(weight, keep)
        ctx.decay = decay
        # into the weight's own layout, so that this net and one that holds the product compute the same bits
        return torch.mul(weight, keep, out=torch.empty_like(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient of the weight."""
        weight, keep = ctx.saved_tensors
        return grads[0] + ctx.decay * torch.where(keep, 0.0, weight), None, None, None


def refined(weight: Tensor, n: int, m: int, decay: float) -> Tensor:
    """`Refined`, with its types."""
    sparse: Tensor = Refined.apply(weight, n, m, decay)
    return sparse
