"""Random masks: which weights stay, once it is known how many (`ticketctl.masks.profiles`).

Positions come from one fixed random ranking: raw words of the stream `draw` at (method, tensor name), the
largest kept first. So a mask of fewer weights is a subset of one of more, on every machine and whatever other
layers there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.mask import Mask
from ticketctl.masks.profiles import Shapes, erk_quotas, sizes_of
from ticketctl.masks.select import top, top_by_layer
from ticketctl.seeds import Seeds


def scatter(shapes: Shapes, counts: Mapping[str, int], method: str, seeds: Seeds) -> Mask:
    """`counts[name]` weights of each layer at random positions: the first of the layer's one ranking.

    So two masks of one method and seed are nested wherever their counts are. The ranking is another than that of
    `random_ladder`, lest a control be its own ticket.
    """
    return top_by_layer(_ranking(shapes, method, seeds, "positions"), counts)


def random_ladder(shapes: Shapes, counts_per_level: Sequence[int], seeds: Seeds) -> list[Mask]:
    """The random-ERK control: one mask per entry, nested, each with ERK's share of that count in each layer.

    Rounding could make a layer grow by a weight from one level to the next; a layer's budget is therefore
    capped at its budget one level above, and the others take the difference.

    Raises:
        UsageError: counts that rise, or lie outside 1..N.
    """
    _check(counts_per_level, sum(sizes_of(shapes).values()))
    ranking, masks = _ranking(shapes, "erk", seeds), [Mask.full(shapes)]
    for total in counts_per_level:
        caps = {name: kept for name, (kept, _) in masks[-1].layers().items()}
        counts = apportion(erk_quotas(shapes, total), caps, total)
        masks.append(top_by_layer(ranking, counts, among=masks[-1]))
    return masks[1:]


def random_masks(shapes: Shapes, counts: Sequence[int], seeds: Seeds) -> list[Mask]:
    """One mask per entry of `counts`, nested: the first of one random ranking over all layers together.

    Raises:
        UsageError: counts that rise, or lie outside 1..N.
    """
    _check(counts, sum(sizes_of(shapes).values()))
    ranking, masks = _ranking(shapes, "random", seeds), [Mask.full(shapes)]
    for count in counts:
        masks.append(top(ranking, count, among=masks[-1]))
    return masks[1:]


def _ranking(shapes: Shapes, method: str, seeds: Seeds, *purpose: str) -> dict[str, torch.Tensor]:
    """53 random bits per weight as float64, which holds them exactly."""
    ranking: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        words = seeds.raw("draw", method, name, *purpose, count=shape.numel()) >> np.uint64(11)
        ranking[name] = torch.from_numpy(words.astype(np.float64)).reshape(shape)
    return ranking


def _check(counts: Sequence[int], size: int) -> None:
    for above, count in zip([size, *counts], counts, strict=False):
        if not 1 <= count <= above:
            raise UsageError(
                f"{count:,} weights cannot follow a level of {above:,}; levels never grow, nor end at 0"
            )
