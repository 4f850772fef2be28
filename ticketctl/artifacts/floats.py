"""NaN in one form: float32 and float64 content that is equal is equal in its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUIET: dict[int, Any] = {4: np.uint32(0x7FC00000), 8: np.uint64(0x7FF8000000000000)}
"""The positive quiet NaN without a payload, by bytes of an element."""


def quieted(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of a float32 or float64 `array` in which every NaN is the one quiet NaN."""
    found = np.array(array)
    _bits(found)[np.isnan(found)] = _QUIET[found.itemsize]
    return found


def is_quiet(array: NDArray[Any]) -> bool:
    """Whether every NaN of a float32 or float64 `array` is the one quiet NaN."""
    return bool((_bits(array)[np.isnan(array)] == _QUIET[array.itemsize]).all())


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(f"<u{array.itemsize}")
