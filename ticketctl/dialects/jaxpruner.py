"""jaxpruner: a tree of masks beside the parameters, packed into bits or not.

Signature: `masks` and `params`, two trees of the same names; in an npz the names of a path are joined by `/`
(`masks/Dense_0/kernel`). A packed mask is one row of uint8, eight weights a byte, the first in the highest bit.
Layout: flax's kernels are [in, out] and [height, width, in, out]; they are turned into torch's [out, in] and
[out, in, height, width], and `kernel` is called `weight`. Layers without a mask are dense. JAX sorts the names of a
tree, `Dense_10` before `Dense_2`: they say nothing of the net's order but by their numbers.
Source: google-research/jaxpruner, jaxpruner/base_updater.py (apply_mask, use_packed_masks).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.dialects.tree import Found, Tensor, Tree, broken, mask_of

FACTS = {"files": "npz, torch", "exact": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the parameters, in torch's layout; None without the signature.

    Raises:
        ArtifactError: a mask without its parameter, of another size, or with other values than bits.
    """
    leaves = dict(_leaves(tree.value, ""))
    masks, params = (_below(leaves, root) for root in ("masks", "params"))
    masks = {name: leaf for name, leaf in masks.items() if leaf is not None}
    if not masks or not params:
        return None
    odd = next((name for name in masks if not isinstance(params.get(name), Tensor)), None)
    if odd is not None:
        raise broken(f"{tree.file}: masks/{odd} has no params/{odd} beside it")
    keep = {
        _named(name): _turned(_unpacked(mask, params[name], f"{tree.file}: masks/{name}"), name)
        for name, mask in masks.items()
    }
    weights = {_named(name): _weight(leaf, name) for name, leaf in params.items() if isinstance(leaf, Tensor)}
    return Found(keep, weights, ordered=False)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{path}/{key}" if path else key)
    else:
        yield path, value


def _below(leaves: dict[str, Any], root: str) -> dict[str, Any]:
    return {
        name.removeprefix(f"{root}/"): leaf for name, leaf in leaves.items() if name.startswith(f"{root}/")
    }


def _unpacked(mask: Any, like: Tensor, where: str) -> NDArray[np.bool_]:
    size = math.prod(like.shape)
    packed = isinstance(mask, Tensor) and mask.dtype == "U8" and mask.shape == (math.ceil(size / 8),)
    if not packed or mask.shape == like.shape:
        return mask_of(mask, where, like)
    bits = np.unpackbits(mask.array())
    if bits[size:].any():
        raise broken(f"{where}: bits beyond the {size} weights")
    return bits[:size].astype(np.bool_).reshape(like.shape)


def _named(name: str) -> str:
    parts = name.split("/")
    return ".".join([*parts[:-1], {"kernel": "weight", "scale": "weight"}.get(parts[-1], parts[-1])])


def _turned(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The last two sizes, in and out, before the others, the other way round."""
    if not name.endswith("kernel") or array.ndim < 2:
        return array
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)))


def _weight(leaf: Tensor, name: str) -> Tensor:
    turned = _turned(leaf.array(), name)
    return Tensor(leaf.dtype, tuple(turned.shape), turned.tobytes())
