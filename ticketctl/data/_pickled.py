"""Arrays of whole numbers in a file of torch.save, which is a pickle; nobody vouches for it.

torch reads it with `weights_only`, which builds plain values and tensors alone. What numpy's arrays are rebuilt
with is replaced by the two plain classes below, so that no code of numpy sees a state that the file made up.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_WHOLE = {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)}


class _Dtype:
    """Stands for numpy.dtype: `dtype("i8", ...)`, whose state has the byte order second."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """Stands for numpy.ndarray, whose state is (version, shape, dtype, whether Fortran's order, bytes)."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """The array, if it is one of whole numbers and its parts fit."""
        _, shape, dtype, fortran, data = self.state
        if dtype.code not in _WHOLE or dtype.order not in ("<", ">", "|", "="):
            raise ValueError("not whole numbers")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("not a shape")
        if not isinstance(data, bytes) or math.prod(shape) * int(dtype.code[1:]) != len(data):
            raise ValueError("data that do not fill the shape")
        flat = np.frombuffer(data, dtype=np.dtype(dtype.order + dtype.code))
        return flat.reshape(shape, order="F" if fortran else "C")


def _rebuilt(*_: Any) -> _Array:
    return _Array()


_STANDS_FOR: list[Any] = [
    (_Dtype, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    (_rebuilt, "numpy.core.multiarray._reconstruct"),
    (_rebuilt, "numpy._core.multiarray._reconstruct"),
]


def unpickled(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of whole numbers in `data`, by name; an array that lies there alone has the name "".

    Raises:
        ValueError: not a file of torch.save, or it holds what is neither plain nor an array of whole numbers.
    """
    try:
        with torch.serialization.safe_globals(_STANDS_FOR):
            # an importer of other people's labels, which come as .pt: nothing but arrays is made of it
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251
        named = found if isinstance(found, Mapping) else {"": found}
        return {str(name): _array(value) for name, value in named.items() if _is_array(value)}
    except Exception:  # torch raises whatever the file makes it stumble over, and then says how to run it
        raise ValueError(
            "damaged, or it holds what is no plain value and no array of whole numbers"
        ) from None


def _is_array(value: Any) -> bool:
    return isinstance(value, _Array | torch.Tensor)


def _array(value: _Array | torch.Tensor) -> NDArray[Any]:
    return value.array() if isinstance(value, _Array) else value.numpy()
