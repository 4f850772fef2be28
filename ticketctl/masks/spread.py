"""Random masks: how many weights each layer keeps (ERK, or whatever falls out), and which.

Positions come from one fixed random ranking: raw words of the stream `draw` at (method, tensor name), the
largest kept first. So a mask of fewer weights is a subset of one of more, on every machine and whatever other
layers there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import torch

from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top, top_by_layer
from ticketctl.seeds import Seeds

Shapes = Mapping[str, torch.Size]


def erk(shapes: Shapes, density: Fraction) -> dict[str, float]:
    """Density of each layer under Erdős–Rényi-Kernel (Evci et al. 2020, appendix A; rigl/sparse_utils.py).

    A layer's share is eps * sum(shape) / prod(shape), with all dimensions of the shape. eps is solved so that
    the budget is met; while a layer would exceed 1, all layers at the maximum become dense and eps is solved
    again.

    Args:
        shapes: the prunable weights; a depthwise convolution is (C, 1, k, k).
        density: overall, in (0, 1].

    Returns:
        Densities in (0, 1]. Their weighted sum is the overall density but for the `floor` of the original
        code: at most one weight per layer above.

    Raises:
        UsageError: the density is outside (0, 1].
    """
    removed = {name: math.floor((1 - density) * size) for name, size in _sizes(shapes).items()}
    return {name: float(share) for name, share in _erk(shapes, density, sum(removed.values())).items()}


def layer_counts_for(densities: Mapping[str, float], shapes: Shapes, total: int) -> dict[str, int]:
    """Kept weights per layer for these densities: exactly `total` together, none above its layer's size.

    Raises:
        ValueError: the densities belong to another total (they miss it by more than one weight per layer).
    """
    sizes = _sizes(shapes)
    quotas = {name: Fraction(densities[name]) * size for name, size in sizes.items()}
    meant = sum(quotas.values(), Fraction(0))
    if abs(meant - total) > len(quotas) + 1:
        raise ValueError(f"densities that keep {float(meant):,.0f} weights for a total of {total:,}")
    # What the densities miss the total by is the sparse layers' affair: a dense layer stays dense.
    dense = sum(sizes[name] for name in sizes if quotas[name] >= sizes[name])
    if dense < total and dense < meant:
        stretch = (total - dense) / (meant - dense)
        quotas = {name: quotas[name] * (stretch if quotas[name] < sizes[name] else 1) for name in sizes}
    return apportion(quotas, sizes, total)


def random_ladder(shapes: Shapes, counts_per_level: Sequence[int], seeds: Seeds) -> list[Mask]:
    """The random-ERK control: one mask per entry, nested, each with ERK's share of that count in each layer.

    Rounding could make a layer grow by a weight from one level to the next; a layer's budget is therefore
    capped at its budget one level above, and the others take the difference.

    Raises:
        UsageError: counts that rise, or lie outside 1..N.
    """
    sizes = _sizes(shapes)
    _check(counts_per_level, sum(sizes.values()))
    ranking, masks = _ranking(shapes, "erk", seeds), [Mask.full(shapes)]
    for total in counts_per_level:
        # Without rigl's floor the shares sum to the total exactly (as ITOP does).
        shares = _erk(shapes, Fraction(total, masks[0].size), masks[0].size - total)
        caps = {name: kept for name, (kept, _) in masks[-1].layers().items()}
        counts = apportion({name: shares[name] * sizes[name] for name in shapes}, caps, total)
        masks.append(top_by_layer(ranking, counts, among=masks[-1]))
    return masks[1:]


def random_masks(shapes: Shapes, counts: Sequence[int], seeds: Seeds) -> list[Mask]:
    """One mask per entry of `counts`, nested: the first of one random ranking over all layers together.

    Raises:
        UsageError: counts that rise, or lie outside 1..N.
    """
    _check(counts, sum(_sizes(shapes).values()))
    ranking, masks = _ranking(shapes, "random", seeds), [Mask.full(shapes)]
    for count in counts:
        masks.append(top(ranking, count, among=masks[-1]))
    return masks[1:]


def _erk(shapes: Shapes, density: Fraction, removed: int) -> dict[str, Fraction]:
    if not 0 < density <= 1:
        raise UsageError(f"density {float(density):g} cannot be; it lies above 0 and at most at 1")
    sizes = _sizes(shapes)
    raw = {name: Fraction(sum(shape), sizes[name]) for name, shape in shapes.items()}
    dense: set[str] = set()
    while sparse := [name for name in shapes if name not in dense]:
        budget = sum(sizes[name] for name in sparse) - removed
        eps = Fraction(budget, sum(sum(shapes[name]) for name in sparse))
        largest = max(raw[name] for name in sparse)
        if largest * eps <= 1:
            return {name: Fraction(1) if name in dense else eps * raw[name] for name in shapes}
        dense |= {name for name in sparse if raw[name] == largest}
    return {name: Fraction(1) for name in shapes}


def _sizes(shapes: Shapes) -> dict[str, int]:
    return {name: shape.numel() for name, shape in shapes.items()}


def _ranking(shapes: Shapes, method: str, seeds: Seeds) -> dict[str, torch.Tensor]:
    """53 random bits per weight as float64, which holds them exactly."""
    ranking: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        words = seeds.raw("draw", method, name, count=shape.numel()) >> np.uint64(11)
        ranking[name] = torch.from_numpy(words.astype(np.float64)).reshape(shape)
    return ranking


def _check(counts: Sequence[int], size: int) -> None:
    for above, count in zip([size, *counts], counts, strict=False):
        if not 1 <= count <= above:
            raise UsageError(
                f"{count:,} weights cannot follow a level of {above:,}; levels never grow, nor end at 0"
            )
