"""Bits and weights in numpy's own archive, for readers that have numpy and nothing else.

Signature: for each masked parameter X the arrays `bits/X`, its mask in C order packed into uint8, eight weights a byte,
the first in the lowest bit, and `shape/X`, int64.
Layout: `weights/Y` holds each tensor of the state_dict as it is, pruned places too. Read it without pickles:
`np.unpackbits(f["bits/X"], count=shape.prod(), bitorder="little").reshape(shape)`.
Source: ours; docs/how-to/export-masks.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ticketctl.dialects.tree import Found, Keep, Tensor, Tree, broken, shape_of

FACTS = {"files": "npz", "exact": "yes", "export": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the weights; None without the signature.

    Raises:
        ArtifactError: bits without their shape or of another size, or beyond the last weight.
    """
    tensors = tree.tensors()
    named = {name.removeprefix("bits/"): bits for name, bits in tensors.items() if name.startswith("bits/")}
    if not named:
        return None
    missing = next((name for name in named if f"shape/{name}" not in tensors), None)
    if missing is not None:
        raise broken(f"{tree.file}: bits/{missing} has no shape/{missing} beside it")
    keep = {
        name: _mask(bits.array(), tensors[f"shape/{name}"], f"{tree.file}: bits/{name}")
        for name, bits in named.items()
    }
    weights = {
        name.removeprefix("weights/"): leaf for name, leaf in tensors.items() if name.startswith("weights/")
    }
    return Found(keep, weights)


def _mask(bits: NDArray[np.uint8], shape: Tensor, where: str) -> NDArray[np.bool_]:
    sizes = shape_of(shape, where)
    total = math.prod(sizes)
    if bits.dtype != np.uint8:
        raise broken(f"{where}: no mask of a weight: bits of {bits.dtype}")
    if bits.shape != (math.ceil(total / 8),):
        raise broken(f"{where}: {list(bits.shape)} bytes of bits do not hold {list(sizes)}")
    whole = np.unpackbits(bits, bitorder="little")
    if whole[total:].any():
        raise broken(f"{where}: bits beyond the {total} weights")
    return whole[:total].astype(np.bool_).reshape(sizes)


def write(keep: Keep, weights: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """The arrays of the archive, by name.

    Args:
        keep: the mask, by parameter.
        weights: the whole state_dict; none in bfloat16, which numpy has not.
    """
    found: dict[str, NDArray[np.generic]] = {}
    for name, mask in keep.items():
        found[f"bits/{name}"] = np.packbits(mask.reshape(-1), bitorder="little")
        found[f"shape/{name}"] = np.array(mask.shape, np.int64)
    return {**found, **{f"weights/{name}": leaf.array() for name, leaf in weights.items()}}
