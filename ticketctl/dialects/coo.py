"""State_dicts with sparse COO tensors: what is stored is kept.

Signature: a state_dict in which at least one weight is a sparse COO tensor (`weight.to_sparse()`).
Layout: a stored value is a kept weight, a stored 0 too; values of one place that stand there several times are summed,
as torch does. Dense tensors lie beside them and are left dense.
Source: PyTorch, torch.sparse_coo_tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ticketctl.dialects.tree import MOST_DIMS, WRAPPINGS, Found, Keep, Sparse, Tensor, Tree, broken

FACTS = {"files": "torch", "exact": "yes", "export": "yes"}
_MOST = 1 << 28
"""Values of all sparse tensors of a file, the pruned ones too: a net of a billion bytes."""


def read(tree: Tree) -> Found | None:
    """The masks and the weights, 0 where they are pruned; None without the signature.

    Raises:
        ArtifactError: a place outside the tensor, or a sparse tensor of another form than one value for each place.
    """
    table = _table(tree.value)
    sparse = {name: leaf for name, leaf in table.items() if isinstance(leaf, Sparse)}
    if not sparse:
        return None
    weights = {name: leaf for name, leaf in table.items() if isinstance(leaf, Tensor)}
    if sum(math.prod(leaf.shape) for leaf in sparse.values()) > _MOST:  # a file of 1 kB may claim any shape
        raise broken(f"{tree.file}: its sparse tensors are of more than {_MOST} values when they are dense")
    keep = {}
    for name, leaf in sparse.items():
        flat = _places(leaf, f"{tree.file}: {name}")
        mask, dense = np.zeros(leaf.shape, np.bool_), np.zeros(leaf.shape, leaf.values.dtype)
        mask.reshape(-1)[flat] = True
        np.add.at(dense.reshape(-1), flat, leaf.values)
        keep[name], weights[name] = mask, Tensor.of(dense)
    return Found(keep, weights)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    inner = next((value[name] for name in WRAPPINGS if isinstance(value.get(name), dict)), None)
    table = value if inner is None else inner
    bare = all(name.startswith("module.") for name in table)
    return {name.removeprefix("module.") if bare else name: leaf for name, leaf in table.items()}


def _places(leaf: Sparse, where: str) -> Any:
    if not 0 < len(leaf.shape) <= MOST_DIMS or min(leaf.shape) < 1:
        raise broken(f"{where}: a sparse tensor of shape {list(leaf.shape)} is no weight")
    sizes = np.array(leaf.shape, np.int64)
    if (
        leaf.indices.dtype.kind != "i"
        or leaf.indices.shape != (len(leaf.shape), leaf.values.size)
        or leaf.values.ndim != 1
    ):
        raise broken(f"{where}: a sparse tensor with one value for each of its places is wanted")
    if ((leaf.indices < 0) | (leaf.indices >= sizes[:, None])).any():
        raise broken(f"{where}: a place outside of its shape {list(leaf.shape)}")
    return np.ravel_multi_index(tuple(leaf.indices), leaf.shape)


def write(keep: Keep, weights: Mapping[str, Tensor]) -> dict[str, Tensor | Sparse]:
    """The state_dict with masked weights as their kept values and places, in C order; a kept 0 is stored.

    Args:
        keep: the mask, by parameter.
        weights: the whole state_dict; none that is masked in bfloat16, which numpy has not.
    """
    found: dict[str, Tensor | Sparse] = dict(weights)
    for name, mask in keep.items():
        places = np.array(np.nonzero(mask), np.int64).reshape(mask.ndim, -1)
        found[name] = Sparse(mask.shape, places, weights[name].array()[mask])
    return found
