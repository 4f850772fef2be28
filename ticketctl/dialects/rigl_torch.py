"""rigl-torch: a list of masks in the order of the net's layers, without names.

Signature: `backward_masks` in the state_dict of its RigLScheduler, a list with a mask for each layer, or None for a
layer that is dense; or a file that is such a list. The file may hold the net's state_dict as well.
Layout: masks are put to our prunable parameters in their order and checked by shape alone: where two layers of one
shape stand in another order in the net they came from, nothing can tell.
Source: verbose-void/rigl-torch, rigl_torch/RigL.py (state_dict) and rigl_torch/util.py (get_W).
"""

from __future__ import annotations

from typing import Any

from ticketctl.dialects.tree import Found, Tensor, Tree, broken, is_binary, mask_of

FACTS = {"files": "torch", "exact": "yes"}
NOTE = "masks came without names: they were put to the layers in their order, checked by shape alone"


def read(tree: Tree) -> Found | None:
    """The masks by their places, and the weights if they are there; None without the signature.

    Raises:
        ArtifactError: an entry that is no mask.
    """
    masks = _masks(tree.value)
    if masks is None:
        return None
    if not any(isinstance(mask, Tensor) for mask in masks):
        raise broken(f"{tree.file}: backward_masks holds no mask: every layer is dense")
    keep = {
        str(place): mask_of(mask, f"{tree.file}: mask {place}")
        for place, mask in enumerate(masks)
        if mask is not None
    }
    return Found(keep, tree.tensors(), notes=(NOTE,), places=len(masks))


def _masks(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        tensors = [each for each in value if each is not None]
        plain = tensors and all(isinstance(each, Tensor) and is_binary(each) for each in tensors)
        return value if plain else None
    if not isinstance(value, dict):
        return None
    for holder in (value, *(each for each in value.values() if isinstance(each, dict))):
        if isinstance(holder.get("backward_masks"), list):
            return list(holder["backward_masks"])
    return None
