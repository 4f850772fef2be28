"""Synaptic-Flow's model.pt: every parameter with its mask beside it, biases and BatchNorm too.

Signature: the state_dict holds `X` and `X_mask`, zeros and ones of its shape, for weights, biases and scales.
Layout: a state_dict. Masks of biases and BatchNorm are all ones unless they were pruned as well.
Source: ganguli-lab/Synaptic-Flow, Layers/layers.py.
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tree, mask_of, pairs

FACTS = {"files": "torch", "exact": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the weights; None without the signature.

    Raises:
        ArtifactError: a mask of another shape than its weight, or with other values than 0 and 1.
    """
    tensors = tree.tensors()
    names = [name for name in pairs(tensors, "_mask") if name in tensors]
    if not names:
        return None
    keep = {
        name: mask_of(tensors[f"{name}_mask"], f"{tree.file}: {name}_mask", tensors[name]) for name in names
    }
    masks = {f"{name}_mask" for name in names}
    return Found(keep, {name: leaf for name, leaf in tensors.items() if name not in masks})
