"""TurboPrune: a float mask beside the weights of each layer, one file for each level.

Signature: the state_dict holds `L.mask`, zeros and ones, beside `L.weight` of the same shape.
Layout: `checkpoints/model_level_0.pt` … of an experiment's folder, with `model_rewind.pt` or `model_init.pt`. Where a
Linear layer was built as a convolution of size 1, its weight is [out, in, 1]: the last size is dropped.
Source: nelaturuharsha/TurboPrune, utils/mask_layers.py (ConvMask, Conv1dMask, LinearMask).
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tensor, Tree, mask_of, pairs

FACTS = {"files": "torch", "exact": "yes"}
LEVELS = {"masks": "checkpoints/model_level_*.pt", "weights": ("*/model_rewind.pt", "*/model_init.pt")}


def read(tree: Tree) -> Found | None:
    """The masks and the weights; None without the signature.

    Raises:
        ArtifactError: a mask of another shape than its weight, or with other values than 0 and 1.
    """
    tensors = tree.tensors()
    layers = [name for name in pairs(tensors, ".mask") if f"{name}.weight" in tensors]
    if not layers:
        return None
    masks = {f"{name}.mask" for name in layers}
    weights = {name: _linear(leaf) for name, leaf in tensors.items() if name not in masks}
    keep = {}
    for name in layers:
        mask = _linear(tensors[f"{name}.mask"])
        keep[f"{name}.weight"] = mask_of(mask, f"{tree.file}: {name}.mask", weights[f"{name}.weight"])
    return Found(keep, weights)


def _linear(tensor: Tensor) -> Tensor:
    """The weight of a Linear layer behind a convolution of size 1 over one place."""
    one = len(tensor.shape) == 3 and tensor.shape[-1] == 1
    return Tensor(tensor.dtype, tensor.shape[:-1], tensor.data) if one else tensor
