"""Of every four weights along the summed axis the two that are kept, and where they stood, for sparse kernels.

Signature: for each such weight X the file holds `X.values`, `X.meta` and `X.shape`.
Layout: a Linear weight [out, in] is taken as it is, a convolution's [out, in, h, w] as a matrix [out, h * w * in],
the inputs innermost. `X.values` [rows, columns / 2] holds the kept weights, `X.meta` int16 [rows, ceil(columns / 16)]
the places of four groups each, the first in the lowest bits: two bits for the place of the first kept weight, two for
that of the second, both 0 to 3. That is what torch.sparse and CUTLASS make of half precision before they reorder it
for the GPU. `X.shape` is that of the weight. All other tensors lie beside them, dense.
Source: ours, after PyTorch, torch/sparse/_semi_structured_conversions.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.dialects.tree import Found, Keep, Tensor, Tree, broken, pairs, shape_of
from ticketctl.errors import UsageError

TYPED = "2:4"
"""Its name: no file of code could have it."""
FACTS = {"files": "safetensors", "exact": "yes", "export": "yes"}
PARTS = ("values", "meta", "shape")


def read(tree: Tree) -> Found | None:
    """The masks and the weights, 0 where they are pruned; None without the signature.

    Raises:
        ArtifactError: a part that is missing, or parts that do not fit each other.
    """
    tensors = tree.tensors()
    names = pairs(tensors, ".meta")
    if not any(f"{name}.values" in tensors for name in names):
        return None
    keep, weights = {}, {}
    for name in names:
        missing = next((part for part in PARTS if f"{name}.{part}" not in tensors), None)
        if missing is not None:
            raise broken(f"{tree.file}: {name}.meta has no {name}.{missing} beside it")
        values, meta, shape = (tensors[f"{name}.{part}"] for part in PARTS)
        sizes = shape_of(shape, f"{tree.file}: {name}")
        places = _places(values, meta.array(), sizes, f"{tree.file}: {name}")
        held = values.array()
        whole = np.zeros((len(places), held.shape[1] * 2), held.dtype)
        whole[np.arange(len(places))[:, None], places] = held
        mask = np.zeros(whole.shape, np.bool_)
        mask[np.arange(len(places))[:, None], places] = True
        keep[name] = _weight(mask, sizes)
        weights[name] = Tensor(values.dtype, sizes, _weight(whole, sizes).tobytes())
    used = {f"{name}.{part}" for name in names for part in PARTS}
    return Found(keep, {**{name: leaf for name, leaf in tensors.items() if name not in used}, **weights})


def _places(values: Tensor, meta: NDArray[np.int16], sizes: tuple[int, ...], where: str) -> NDArray[np.intp]:
    """The column of each value."""
    total = math.prod(sizes)
    if len(sizes) < 2 or min(sizes) < 1 or sizes[1] % 4:
        raise broken(f"{where}: a weight of shape {list(sizes)} has no groups of four inputs")
    rows, columns = sizes[0], total // sizes[0]
    form = (rows, math.ceil(columns / 16))
    if values.shape != (rows, columns // 2) or meta.shape != form or meta.dtype != np.int16:
        raise broken(f"{where}: values and meta do not hold a weight of shape {list(sizes)}")
    quads = np.stack([meta.view(np.uint16) >> shift & 15 for shift in (0, 4, 8, 12)], -1).reshape(rows, -1)
    quads, beyond = quads[:, : columns // 4], quads[:, columns // 4 :]
    first, second = quads & 3, quads >> 2
    if beyond.any() or not (first < second).all():
        raise broken(f"{where}: its meta names no two places of a group")
    base = np.arange(0, columns, 4)[None, :, None]
    return (np.stack([first, second], -1) + base).reshape(rows, -1).astype(np.intp)


def write(keep: Keep, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """The tensors of the file by name, and how many places of pruned weights it holds as zeros.

    Layers that keep everything stay dense. A group that keeps fewer than two is filled with pruned places.

    Raises:
        UsageError: a layer that is not 2:4, and how many of its groups are; or all are dense.
    """
    pruned = {name: mask for name, mask in keep.items() if not mask.all()}
    if not pruned:
        raise UsageError(
            "2:4: no layer is pruned; a mask of this kind comes from: ticketctl draw --method nm"
        )
    for name, mask in pruned.items():
        _check(name, mask)
    found, filled = {name: leaf for name, leaf in weights.items() if name not in pruned}, 0
    for name, mask in pruned.items():
        matrix = _matrix(mask)
        groups = matrix.reshape(len(matrix), -1, 4)
        order = np.sort(np.argsort(~groups, axis=-1, kind="stable")[..., :2], axis=-1)
        columns = (order + np.arange(0, matrix.shape[1], 4)[None, :, None]).reshape(len(matrix), -1)
        taken = np.take_along_axis(matrix, columns, 1)
        values = np.take_along_axis(_matrix(weights[name].array()), columns, 1) * taken
        filled += int((~taken).sum())
        found[f"{name}.values"] = Tensor(weights[name].dtype, values.shape, values.tobytes())
        found[f"{name}.meta"] = Tensor.of(_meta(order))
        found[f"{name}.shape"] = Tensor.of(np.array(mask.shape, np.int64))
    return found, filled


def _check(name: str, mask: NDArray[np.bool_]) -> None:
    where = "2:4 wants 2 kept of every 4 inputs, as ticketctl draw --method nm makes them"
    if mask.ndim < 2 or mask.shape[1] % 4:
        raise UsageError(f"{name} of shape {list(mask.shape)} has no groups of four inputs; {where}")
    fit = (_matrix(mask).reshape(-1, 4).sum(axis=1) <= 2).mean()
    if fit < 1:
        raise UsageError(f"{name}: {100 * fit:.1f} % of its groups of four inputs keep 2 or fewer; {where}")


def _meta(order: NDArray[np.intp]) -> NDArray[np.int16]:
    """[rows, groups, 2] places to int16 [rows, ceil(groups / 4)]."""
    quads = (order[..., 0] | order[..., 1] << 2).astype(np.uint16)
    quads = np.pad(quads, ((0, 0), (0, -quads.shape[1] % 4))).reshape(len(quads), -1, 4)
    found: NDArray[np.uint16] = np.bitwise_or.reduce(quads << np.array([0, 4, 8, 12], np.uint16), axis=-1)
    return found.view(np.int16)


def _matrix(weight: NDArray[Any]) -> NDArray[Any]:
    """Rows of outputs, the inputs innermost."""
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(len(weight), -1)


def _weight(matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    turned = matrix.reshape(shape[0], *shape[2:], shape[1])
    return np.ascontiguousarray(np.moveaxis(turned, -1, 1))
