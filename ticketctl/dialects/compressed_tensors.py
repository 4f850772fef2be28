"""compressed-tensors' sparse-bitmask, as sparse checkpoints of LLM Compressor had it.

Signature: for each sparse weight X the file holds `X.shape`, `X.compressed` (the kept values), `X.bitmask` (packed
along the last axis, the first weight in the lowest bit) and `X.row_offsets` (kept weights before each row).
Layout: dense tensors lie beside them under their own names.
Source: compressed-tensors 0.12, compressors/sparse_compressors/sparse_bitmask.py; later versions dropped it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ticketctl.dialects.tree import Found, Tensor, Tree, broken, pairs, shape_of

FACTS = {"files": "safetensors", "exact": "yes"}
PARTS = ("shape", "compressed", "bitmask", "row_offsets")


def read(tree: Tree) -> Found | None:
    """The masks and the weights, 0 where they are pruned; None without the signature.

    Raises:
        ArtifactError: a part that is missing, or parts that do not fit each other.
    """
    tensors = tree.tensors()
    names = pairs(tensors, ".bitmask")
    if not names:
        return None
    keep, weights = {}, {}
    for name in names:
        missing = next((part for part in PARTS if f"{name}.{part}" not in tensors), None)
        if missing is not None:
            raise broken(f"{tree.file}: {name}.bitmask has no {name}.{missing} beside it")
        parts = {part: tensors[f"{name}.{part}"] for part in PARTS}
        keep[name] = _mask(parts, f"{tree.file}: {name}")
        weights[name] = _filled(keep[name], parts["compressed"])
    used = {f"{name}.{part}" for name in names for part in PARTS}
    return Found(keep, {**{name: leaf for name, leaf in tensors.items() if name not in used}, **weights})


def _mask(parts: dict[str, Tensor], where: str) -> NDArray[np.bool_]:
    shape = shape_of(parts["shape"], where)
    bits, values, offsets = (parts[part].array() for part in ("bitmask", "compressed", "row_offsets"))
    if not shape or min(shape) < 1 or bits.dtype != np.uint8:
        raise broken(f"{where}: no bitmask of a weight: shape {list(shape)}, bits of {bits.dtype}")
    if bits.size != math.prod(shape[:-1]) * math.ceil(shape[-1] / 8):
        raise broken(f"{where}: {bits.size} bytes of bits cannot hold {list(shape)}")
    rows = np.unpackbits(bits.reshape(-1, math.ceil(shape[-1] / 8)), axis=-1, bitorder="little")
    kept = rows.sum(axis=1, dtype=np.int64)
    if rows[:, shape[-1] :].any() or int(kept.sum()) != values.size:
        raise broken(f"{where}: its bits keep {int(kept.sum())} weights, and {values.size} values are there")
    if not np.array_equal(offsets.reshape(-1), (np.cumsum(kept) - kept)[: offsets.size]):
        raise broken(f"{where}: row_offsets are not those of its bits")
    return rows[:, : shape[-1]].astype(np.bool_).reshape(shape)


def _filled(keep: NDArray[np.bool_], values: Tensor) -> Tensor:
    held = values.array().reshape(-1)
    whole = np.zeros(keep.shape, held.dtype)
    whole[keep] = held
    return Tensor(values.dtype, tuple(keep.shape), whole.tobytes())
