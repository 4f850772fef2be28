"""open_lth and sparse-double-descent: `mask.pth`, and run folders of levels.

Signature: `mask.pth` is a dict of parameter names, each with an int32 tensor of zeros and ones. Or the state_dict of
their PrunedModel: the net's under `model.`, and for each parameter `a.b` a buffer `mask_a___b`.
Layout: a run folder has `level_0` … `level_n`, each with `main/mask.pth`; weights lie as `main/model_epE_itI.pth`, of
which the earliest of level 0 is taken. A rewind point later than that is named with `--init`.
Source: facebookresearch/open_lth, pruning/mask.py and pruning/pruned_model.py; he-zh/sparse-double-descent.
"""

from __future__ import annotations

import numpy as np

from ticketctl.dialects.tree import Found, Keep, Tensor, Tree, is_binary, mask_of

FACTS = {"files": "torch", "exact": "yes", "export": "yes"}
LEVELS = {"masks": "level_*/main/mask.pth", "weights": ("level_0/main/model_ep*_it*.pth",)}


def read(tree: Tree) -> Found | None:
    """The masks, of a PrunedModel with its weights; None without the signature.

    Raises:
        ArtifactError: a mask buffer whose parameter is not there, of another shape, or with other values than 0 and 1.
    """
    tensors = tree.tensors()
    buffers = [name for name in tensors if name.startswith("mask_") and "___" in name]
    if buffers:
        return _pruned_model(tensors, buffers, tree.file)
    plain = isinstance(tree.value, dict) and len(tensors) == len(tree.value)
    if not plain or not tensors or not all(tensor.dtype == "I32" for tensor in tensors.values()):
        return None
    if not all(is_binary(tensor) for tensor in tensors.values()):
        return None  # an int32 checkpoint of something else
    return Found({name: mask_of(tensor, f"{tree.file}: {name}") for name, tensor in tensors.items()})


def _pruned_model(tensors: dict[str, Tensor], buffers: list[str], file: str) -> Found:
    weights = {name.removeprefix("model."): leaf for name, leaf in tensors.items() if name not in buffers}
    keep = {}
    for buffer in buffers:
        name = buffer.removeprefix("mask_").replace("___", ".")
        keep[name] = mask_of(tensors[buffer], f"{file}: {buffer}", weights.get(name))
    return Found(keep, weights)


def write(keep: Keep) -> dict[str, Tensor]:
    """What `mask.pth` holds: int32 ones and zeros, by parameter."""
    return {name: Tensor.of(mask.astype(np.int32)) for name, mask in keep.items()}
