"""Penalties that drive small weights to zero, as value and closed-form gradient: HyperSparse, L1, L2.

All of them act on the prunable weights laid end to end: w [N], of one floating dtype, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.masks.select import order_statistic

Regulariser = Literal["hypersparse", "l1", "l2"]

STEEPNESS = 0.6585
"""atanh(1/sqrt 3), where the third derivative of tanh is 0: there the gradient is 2/3 of its maximum."""


def rank_of(size: int, density: Fraction) -> int:
    """Place of w_kappa among the N magnitudes in ascending order, from 0: floor(kappa N) for kappa = 1 - density.

    Raises:
        UsageError: kappa outside (0, 1): the whole net kept, or none of it.
    """
    rate = 1 - density
    if not 0 < rate < 1:
        raise UsageError(
            f"a prune rate of {float(rate):g} cannot be regularised towards; it lies between 0 and 1"
        )
    return math.floor(rate * size)


def penalty(kind: Regulariser, weights: Tensor, rank: int) -> Tensor:
    """The penalty, a scalar that autograd can differentiate.

    l1 is sum |w|, l2 is sum w^2. hypersparse (paper 000) is 1/A sum_i |w_i| sum_j t_j - sum_i |w_i| with
    t_j = tanh(s |w_j|), A = sum t_j held constant and s = 0.6585/w_kappa held constant. Its value is 0 up to
    rounding at any weights, so there is nothing in it to log.

    Args:
        kind: which one.
        weights: [N].
        rank: place of w_kappa (see `rank_of`); read by hypersparse alone.
    """
    sizes = weights.abs()
    if kind == "l1":
        return sizes.sum()
    if kind == "l2":
        return weights.square().sum()
    soft = torch.tanh(steepness(sizes.detach(), rank) * sizes).sum()
    held = soft.detach()
    return sizes.sum() * _ratio(soft, held) - sizes.sum()


@torch.no_grad()
def gradient(kind: Regulariser, weights: Tensor, rank: int) -> Tensor:
    """The gradient of `penalty` in closed form, [N].

    hypersparse: sign(w) s sech^2(s |w|) S/T with S = sum |w|, T = sum tanh(s |w|). It falls with |w|, from s S/T at
    0 through 2/3 of that at w_kappa to nothing, and does not change when all weights are scaled together. A weight
    that is exactly 0 has none.
    """
    if kind == "l1":
        return weights.sign()
    if kind == "l2":
        return 2 * weights
    sizes = weights.abs()
    slope = steepness(sizes, rank)
    total = sizes.sum()
    soft = sizes.mul_(slope).tanh_()
    scale = slope * _ratio(total, soft.sum())
    return soft.square_().neg_().add_(1).mul_(scale).mul_(weights.sign())


def steepness(sizes: Tensor, rank: int) -> Tensor:
    """s = 0.6585/w_kappa, a scalar; w_kappa is the magnitude at `rank` in ascending order, from 0.

    Where that is 0 (a net sparser than it shall become) the smallest magnitude above 0 stands in; where all are 0,
    s is 0.
    """
    smallest = torch.where(sizes > 0, sizes, torch.inf).amin()
    chosen = order_statistic(sizes, rank)
    return STEEPNESS / torch.where(chosen > 0, chosen, smallest)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """0 where both are: a net without weights."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))


def laid_out(tensors: Sequence[Tensor]) -> Tensor:
    """All values end to end [N], each tensor in the order in which memory holds it: no strided copies."""
    return torch.cat([_row(tensor.detach()) for tensor in tensors])


def shaped_like(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of `flat`, one for each of the tensors that `laid_out` was given, of its shape and layout."""
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [_back(piece, tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def _row(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 1).reshape(-1) if _channels_last(tensor) else tensor.reshape(-1)


def _back(piece: Tensor, like: Tensor) -> Tensor:
    if not _channels_last(like):
        return piece.view(like.shape)
    count, channels, height, width = like.shape
    return piece.view(count, height, width, channels).permute(0, 3, 1, 2)


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and not tensor.is_contiguous()
