"""Labels in a file of the user's: .npy, .safetensors, or .pt, as CIFAR-N (Wei et al. 2022) comes.

CIFAR-N's labels may not be passed on, so users bring the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._sources import read_whole
from ticketctl.errors import ArtifactError, UnavailableError, UsageError, near_miss
from ticketctl.fence.reader import unpickled
from ticketctl.store.npz import npy_array
from ticketctl.store.tensors import Tensor, parse_tensors

CLEAN = "clean_label"
"""The name under which CIFAR-N's files hold the true labels."""

LIMIT = 1 << 30
"""Bytes of a file, and of an array in it."""
Arrays = Mapping[str, NDArray[Any]]
Reader = Callable[[bytes, Path], Arrays]


def read_labels(
    path: Path, *, key: str | None = None, column: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """The labels in a file, and the true ones beside them, where a file has both.

    Args:
        path: `.npy` of one array; `.safetensors`; `.pt` or `.pth`, a dictionary of arrays as torch.save writes it.
        key: which array of the file; may be left out where there is one.
        column: which column of a table [N, k].

    Returns:
        int64 [N], and int64 [N] or None. Whether they fit a data set is not judged here.

    Raises:
        UnavailableError: no such file, or not what its name says.
        UsageError: no such key or column, or no labels: other than whole numbers [N] or [N, k].
    """
    arrays = arrays_in(path, "data.noise.path", READERS)
    name = _chosen(arrays, key, path)
    labels = _column(arrays[name], column, path)
    clean = arrays.get(CLEAN) if name != CLEAN else None
    return labels, None if clean is None else _column(clean, None, path)


def arrays_in(path: Path, key: str, readers: Mapping[str, Reader]) -> Arrays:
    """The arrays of a file by name; one that is alone in its file may be called "".

    Args:
        path: the file.
        key: where in a recipe it was named.
        readers: by the endings of files' names.

    Raises:
        UnavailableError: no such file, or not what its name says.
        UsageError: another ending.
    """
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{key}: {path}: labels come as {', '.join(readers)}")
    try:
        return reader(read_whole(path, LIMIT), path)
    except (ValueError, MemoryError) as error:
        raise UnavailableError(f"{path}: not a {path.suffix} file of arrays: {error}") from None


def _npy(data: bytes, path: Path) -> Arrays:
    return {"": npy_array(data)}


def _safetensors(data: bytes, path: Path) -> Arrays:
    try:
        tensors, _ = parse_tensors(data, where=str(path))
    except ArtifactError as error:
        raise UnavailableError(f"{error}; write it with safetensors.numpy.save_file") from None
    return _arrays(tensors)


def _pt(data: bytes, path: Path) -> Arrays:
    """A pickle, of which nothing is built but plain values and arrays of numbers, behind the fence."""
    try:
        found = unpickled(data, str(path))
    except ArtifactError as error:
        raise UnavailableError(str(error)) from None
    return _arrays(found if isinstance(found, dict) else {"": found})


def _arrays(tensors: Mapping[str, Any]) -> Arrays:
    """Without bfloat16, which comes as its raw bits: whole numbers, and no labels."""
    known = {name: leaf for name, leaf in tensors.items() if isinstance(leaf, Tensor)}
    return {name: tensor.array() for name, tensor in known.items() if tensor.dtype != "BF16"}


READERS: dict[str, Reader] = {
    ".npy": _npy, ".safetensors": _safetensors, ".pt": _pt, ".pth": _pt,
}  # fmt: skip
"""Of arrays, by the endings of files' names."""


def _chosen(arrays: Arrays, key: str | None, path: Path) -> str:
    if key is not None and key in arrays:
        return key
    if key is not None or len(arrays) != 1:
        said = (
            f"no array {key!r} in it"
            if key is not None
            else "say which array, with --set data.noise.key=NAME"
        )
        hint = near_miss(key or "", [*arrays])
        raise UsageError(f"data.noise.path: {path}: {said}; {hint}")
    return next(iter(arrays))


def _column(array: NDArray[Any], column: int | None, path: Path) -> NDArray[np.int64]:
    shape = " x ".join(map(str, array.shape)) or "one"
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise UsageError(
            f"data.noise.path: {path}: {shape} values of {array.dtype}; labels are whole numbers, N or N x k"
        )
    if array.ndim == 1 and column is not None:
        raise UsageError(f"data.noise.column: {path} has one label per image and no columns")
    if array.ndim == 2 and (column is None or column >= array.shape[1]):
        raise UsageError(f"data.noise.column: {path} is {shape}: say a column from 0 to {array.shape[1] - 1}")
    chosen = array if array.ndim == 1 else array[:, column]
    if len(chosen) and int(chosen.max()) > np.iinfo(np.int64).max:
        raise UsageError(f"data.noise.path: {path}: a label of {chosen.max()}")
    return np.ascontiguousarray(chosen, dtype=np.int64)
