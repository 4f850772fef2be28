"""Checkpoints of torch.nn.utils.prune, as Lightning and LTH-Pass write them.

Signature: for each pruned parameter X (`conv1.weight`) the state_dict holds `X_orig`, the dense weights, and `X_mask`,
zeros and ones of their shape; X itself is computed when the net runs and is not stored.
Layout: a state_dict, or one under `state_dict` (Lightning); `module.` before names (DataParallel) is taken off.
Source: PyTorch, torch/nn/utils/prune.py, BasePruningMethod.apply.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ticketctl.dialects.tree import Found, Keep, Tensor, Tree, broken, mask_of, pairs

FACTS = {"files": "torch, safetensors", "exact": "yes", "export": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the dense weights; None without the signature.

    Raises:
        ArtifactError: an `_orig` without its `_mask`, of another shape, or with other values than 0 and 1.
    """
    tensors = tree.tensors()
    names = pairs(tensors, "_orig")
    if not any(f"{name}_mask" in tensors for name in names):
        return None
    lacking = next((name for name in names if f"{name}_mask" not in tensors), None)
    if lacking is not None:
        raise broken(f"{tree.file}: {lacking}_orig has no {lacking}_mask beside it")
    keep = {
        name: mask_of(tensors[f"{name}_mask"], f"{tree.file}: {name}_mask", tensors[f"{name}_orig"])
        for name in names
    }
    masks = {f"{name}_mask" for name in names}
    weights = {name.removesuffix("_orig"): leaf for name, leaf in tensors.items() if name not in masks}
    return Found(keep, weights)


def write(keep: Keep, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of a net after `prune.custom_from_mask`: whole weights, and masks of their dtype.

    Args:
        keep: the mask, by parameter.
        weights: the whole state_dict.
    """
    found = {f"{name}_orig" if name in keep else name: leaf for name, leaf in weights.items()}
    for name, mask in keep.items():
        code = weights[name].dtype
        if code == "BF16":
            found[f"{name}_mask"] = Tensor(code, mask.shape, (mask * np.uint16(0x3F80)).tobytes())
        else:
            found[f"{name}_mask"] = Tensor.of(mask.astype(weights[name].array().dtype))
    return found
