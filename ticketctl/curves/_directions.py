"""Random directions in the space of a net's weights, as long as the weights are (Li et al. 2018, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ticketctl.seeds import Seeds
from ticketctl.train.normal import normal

Norm = Literal["filter", "layer"]
TINY = 1e-10
"""What is added to a length before it divides, as in the released code of Li et al."""


def directed(
    weights: Mapping[str, Tensor],
    keeps: Mapping[str, Tensor],
    seeds: Seeds,
    *position: Any,
    norm: Norm,
    poll: Callable[[], None] = lambda: None,
) -> list[Tensor]:
    """A random direction, a tensor for each of `weights`, on its device and in its layout.

    Numbers are standard normal, from the stream `landscape` at `position` and the weight's name: nets with equal names
    and shapes have equal ones. They are pruned first, then scaled, so that no length is spent on pruned weights.
    Biases and what else has one axis (BatchNorm's weights) do not move.

    Args:
        weights: parameters by name.
        keeps: 1 or 0 of each weight of those that are pruned, by name; {}: all move.
        seeds: of the measurement.
        position: tells one direction from another.
        norm: see `scaled`.
        poll: called between tensors.
    """
    found = []
    for name, weight in weights.items():
        poll()
        part = torch.zeros_like(weight)
        if weight.ndim > 1:
            drawn = normal(seeds, "landscape", *position, name, count=weight.numel())
            part.copy_(torch.from_numpy(drawn).view(weight.shape))
            part = scaled(part * keeps[name] if name in keeps else part, weight, norm)
        found.append(part)
    return found


def scaled(drawn: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    """`drawn` with the lengths of `weight`, of the same shape [F, ...], F filters (the rows of a Linear layer).

    d_f |w_f| / (|d_f| + 1e-10): `filter` for each f by itself, `layer` for all of them together. What is 0 in either
    whole filter is 0.
    """
    axes = tuple(range(1 if norm == "filter" else 0, weight.ndim))
    long = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    own = torch.linalg.vector_norm(drawn, dim=axes, keepdim=True)
    found: Tensor = drawn * (long / (own + TINY))
    return found


def cosine(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Of the angle between two directions, in float64; NaN where one has no length."""
    dots = [
        math.fsum(float((a.double() * b.double()).sum()) for a, b in zip(*pair, strict=True))
        for pair in ((one, other), (one, one), (other, other))
    ]
    return dots[0] / math.sqrt(dots[1] * dots[2]) if dots[1] * dots[2] else math.nan
