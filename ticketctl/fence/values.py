"""What comes out of the fence: dicts, lists, texts, numbers, None, and tensors at the leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.store.tensors import Tensor


@dataclass(frozen=True)
class Sparse:
    """A COO tensor as it lay in the file, coalesced or not; whether its indices lie in its shape is not judged.

    Args:
        shape: of the whole tensor.
        indices: int64 [dims, n].
        values: [n]; of a hybrid tensor [n, ...].
    """

    shape: tuple[int, ...]
    indices: NDArray[np.int64]
    values: NDArray[Any]


def value_of(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value behind a form of `ticketctl.fence.child.neutral`, with `Tensor` and `Sparse` at its leaves.

    Args:
        form: a dict of the file's has `=` before each of its keys; other dicts stand for tensors.
        tensors: by the numbers that the form gives them.
    """
    if isinstance(form, list):
        return [value_of(each, tensors) for each in form]
    if not isinstance(form, dict):
        return form
    if "tensor" in form:
        return tensors[form["tensor"]]
    if "sparse" in form:
        parts = form["sparse"]
        arrays = [tensors[parts[name]].array() for name in ("indices", "values")]
        return Sparse(tuple(parts["shape"]), arrays[0], arrays[1])
    return {key[1:]: value_of(each, tensors) for key, each in form.items()}
