"""Which channels of a net somebody needs: the rule behind compaction, without the net.

Channels that are added to each other, normed, activated or pooled make one group; layers read one group and write
another. A channel is needed if a needed output of some layer reads it with a weight that is not 0, unless it is the
same number for every image and position there, which the reader's bias can take over. The logits and whatever is not
understood are needed. Reference: performance notes 5.2; the exactness of folding is shown in `nets/compact_flow.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Link:
    """A layer: it reads the channels of one group and writes those of another."""

    reads: int
    writes: int
    weights: Tensor
    """Bool [outputs, inputs]: whether there is a weight other than 0 between the two."""
    known: Tensor
    """Bool [inputs]: whether what comes in is one number, everywhere and always, that a bias can take over."""


def needed(groups: Mapping[int, int], fixed: frozenset[int], links: Sequence[Link]) -> dict[int, Tensor]:
    """Bool [channels] of each group: which of its channels stay.

    The least set that holds every channel of `fixed` and with a channel all that its layer reads for it. A group of
    which nobody needs anything keeps its first channel, so that no layer becomes empty.

    Args:
        groups: the number of channels of each group.
        fixed: groups that stay whole.
        links: every layer; those that read and write the same group are fine.
    """
    stay = {group: torch.full((size,), group in fixed) for group, size in groups.items()}
    growing = True
    while growing:
        growing = False
        for link in links:
            asked = link.weights[stay[link.writes]].any(0) & ~link.known & ~stay[link.reads]
            if bool(asked.any()):
                stay[link.reads], growing = stay[link.reads] | asked, True
    for keep in stay.values():
        if not bool(keep.any()):
            keep[0] = True
    return stay
