"""What a foreign file holds, as plain data: the common ground of all dialects.

A dialect never opens a file. The stage reads it (a pickle only in a fenced child process, `weights_only=True`) and
hands over a `Tree`; the dialect looks for its signature and takes the mask out, with the names of the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import ArtifactError
from ticketctl.fence.values import Sparse
from ticketctl.store.tensors import Tensor

__all__ = [
    "Found",
    "Keep",
    "Sparse",
    "Tensor",
    "Tree",
    "broken",
    "is_binary",
    "mask_of",
    "pairs",
    "shape_of",
    "unwrapped",
]

MOST, MOST_DIMS = 1 << 33, 8
"""Values and dimensions that a weight may have."""
Keep = Mapping[str, NDArray[np.bool_]]
"""Parameter name to array of its shape: True where the weight is kept."""


@dataclass(frozen=True)
class Tree:
    """The content of one file: dicts, lists, strings, numbers, None, and `Tensor` or `Sparse` at the leaves.

    Args:
        file: its name, for messages.
        value: the content; keys of dicts are strings (others are written as their decimal or `repr`).
        metadata: of a safetensors file: strings by key.
        ordered: False where names do not come in the order in which they were written: safetensors sorts them.
    """

    file: str
    value: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = True

    def tensors(self) -> dict[str, Tensor]:
        """The named tensors, if the file is a flat state_dict, or holds one under `state_dict`, `model`, `net` …

        A `module.` (DataParallel) or `_orig_mod.` (torch.compile) before every name is taken off. Empty if none.
        """
        return unwrapped(self.value)


@dataclass(frozen=True)
class Found:
    """What a dialect took out of a tree.

    Args:
        keep: the mask, by the source's parameter names (those of its state_dict, as `conv1.weight`).
        weights: the dense weights that came with it, by the source's names; empty if none did.
        weights_are: what they are: `init`, `rewind`, `trained`, or `unknown`.
        exact: False if the mask was inferred (zeros of weights), so that a kept weight of 0 is lost.
        notes: what a user must know, one line each.
        places: above 0 if the masks came without names: how many prunable parameters the source has, in the order of
            its net. The keys of `keep` are places then, `0`, `1` …, and those that are not there are dense.
        ordered: False where the dialect sorts names itself; of a tree that is not ordered whoever asks says so.
    """

    keep: Keep
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    weights_are: str = "unknown"
    exact: bool = True
    notes: Sequence[str] = ()
    places: int = 0
    ordered: bool = True


PREFIXES = ("module.", "_orig_mod.")
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "params", "weights", "model_state")
_ONE = {"BF16": 0x3F80}
"""The bits of 1.0, where an array comes as its bits."""


def unwrapped(value: Any) -> dict[str, Tensor]:
    """The flat dict of tensors in `value`, without wrappings and prefixes; non-tensors of it are left out.

    >>> from ticketctl.store.tensors import Tensor
    >>> list(unwrapped({"epoch": 3, "state_dict": {"module.a.weight": Tensor("F32", (), bytes(4))}}))
    ['a.weight']
    """
    if not isinstance(value, dict):
        return {}
    inner = next((value[name] for name in WRAPPINGS if isinstance(value.get(name), dict)), None)
    if inner is not None:
        return unwrapped(inner)
    found = {name: leaf for name, leaf in value.items() if isinstance(leaf, Tensor)}
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            return unwrapped({name.removeprefix(prefix): leaf for name, leaf in found.items()})
    return found


def pairs(tensors: Iterable[str], suffix: str) -> list[str]:
    """What stands before `suffix` in the names that end with it, in their order."""
    return [name.removesuffix(suffix) for name in tensors if name.endswith(suffix) and name != suffix]


def is_binary(tensor: Tensor) -> bool:
    """Whether all its values are 0 or 1, in whatever dtype."""
    array = tensor.array()
    return bool(((array == 0) | (array == _ONE.get(tensor.dtype, 1))).all())


def mask_of(tensor: Any, where: str, like: Tensor | None = None) -> NDArray[np.bool_]:
    """The mask that lies in a file as zeros and ones.

    Args:
        tensor: what lies there.
        where: file and name, for messages.
        like: the weight that it belongs to.

    Raises:
        ArtifactError: E_FORMAT, it is no tensor, has other values, or another shape than its weight.
    """
    if not isinstance(tensor, Tensor):
        raise broken(f"{where}: a mask is a tensor of zeros and ones")
    if like is not None and like.shape != tensor.shape:
        raise broken(f"{where}: the mask is {list(tensor.shape)}, and its weight {list(like.shape)}")
    if not is_binary(tensor):
        raise broken(f"{where}: values other than 0 and 1; this is no mask")
    found: NDArray[np.bool_] = tensor.array() != 0
    return found


def shape_of(tensor: Tensor, where: str) -> tuple[int, ...]:
    """The shape of a weight that lies in a file as a tensor of whole numbers.

    Raises:
        ArtifactError: E_FORMAT, it holds other numbers, or no shape that a weight can have.
    """
    array = tensor.array().reshape(-1)
    if array.dtype.kind not in "iu" or tensor.dtype == "BF16" or array.size > MOST_DIMS:
        raise broken(f"{where}: a shape is {MOST_DIMS} whole numbers at most")
    sizes = tuple(int(size) for size in array)
    if any(size < 0 for size in sizes) or math.prod(size or 1 for size in sizes) > MOST:
        raise broken(f"{where}: {list(sizes)} is no shape of a weight")
    return sizes


def broken(message: str) -> ArtifactError:
    """A file that has a dialect's signature and breaks it."""
    return ArtifactError("E_FORMAT", message)
