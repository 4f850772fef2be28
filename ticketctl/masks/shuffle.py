"""Shuffled masks: which weights were kept no longer matters, only how many, in each layer or in all.

(Frankle et al. 2021, "Pruning Neural Networks at Initialization", section 5: random shuffling within layers.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds


def shuffle_death(death: Mapping[str, NDArray[np.uint8]], seeds: Seeds) -> dict[str, NDArray[np.uint8]]:
    """Permute the rounds of death inside each layer; stream `shuffle` at the tensor's name.

    The result is a nested ladder again, with the same number of kept weights in each layer at each level. A
    layer's permutation depends on its name and size alone.
    """
    return {
        name: rounds.reshape(-1)[seeds.order("shuffle", name, count=rounds.size)].reshape(rounds.shape)
        for name, rounds in death.items()
    }


def shuffled(mask: Mask, scope: Literal["layer", "global"], seeds: Seeds) -> Mask:
    """The mask's entries permuted inside each layer, or over all layers together; stream `draw` at "shuffle".

    Keeps as many weights, with `scope = "layer"` in each layer. A layer's permutation depends on its name and size
    alone; it is another than the shuffled control's.
    """
    if scope == "layer":
        return Mask({name: _permuted(keep, seeds, name) for name, keep in mask.keep.items()})
    flat = _permuted(torch.cat([keep.reshape(-1) for keep in mask.keep.values()]), seeds)
    parts = flat.split([keep.numel() for keep in mask.keep.values()])
    return Mask(
        {
            name: part.reshape(keep.shape).clone()
            for part, (name, keep) in zip(parts, mask.keep.items(), strict=True)
        }
    )


def _permuted(keep: torch.Tensor, seeds: Seeds, *position: str) -> torch.Tensor:
    order = torch.from_numpy(seeds.order("draw", "shuffle", *position, count=keep.numel()))
    return keep.reshape(-1)[order].reshape(keep.shape)
