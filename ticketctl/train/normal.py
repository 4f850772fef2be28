"""Normal random numbers from named streams, for whatever perturbs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.seeds import Seeds


def normal(seeds: Seeds, stream: str, *position: Any, count: int) -> NDArray[np.float32]:
    """`count` standard normal numbers of `stream` at `position`, by pairs (Box and Muller 1958).

    One random word each; words 2k and 2k + 1 make numbers 2k and 2k + 1, so that fewer numbers are the same ones.
    """
    raw = seeds.raw(stream, *position, count=count + count % 2)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * np.pi * uniform[1::2]
    found = np.empty(len(raw), np.float32)
    found[0::2], found[1::2] = radius * np.cos(angle), radius * np.sin(angle)
    return found[:count]
