"""Pictures to corrupt: smooth ones with edges, one of noise, one grey, one black."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def pictures(count: int = 24, size: int = 32, seed: int = 0) -> np.ndarray:
    """Uint8 [count, 3, size, size]; the first three are noise, even grey and black."""
    draws = np.random.default_rng(seed)
    fields = gaussian_filter(draws.normal(size=(count, 3, size, size)), (0, 0, size / 20, size / 20))
    fields -= fields.min(axis=(1, 2, 3), keepdims=True)
    fields *= 255 / fields.max(axis=(1, 2, 3), keepdims=True)
    found = fields.round().astype(np.uint8)
    found[:, :, : size // 4, : size // 3] = 240
    found[0] = draws.integers(0, 256, found.shape[1:])
    found[1], found[2] = 93, 0
    return found
