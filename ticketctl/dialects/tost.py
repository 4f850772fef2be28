"""ToST: the masks of a pruned net alone, as `0-mask.pt`, `1-mask.pt` …

Signature: a dict whose every name ends with `_mask` (`conv1.weight_mask`), each with zeros and ones.
Layout: the masks that torch.nn.utils.prune keeps, cut out of a state_dict; no weights. Its `train_ticket` starts from a
file of its own: name it with `--init`. `pruned.pth.tar`, which has zeros alone, is read by the dialect zeros.
Source: VITA-Group/ToST, pruning_techniques/pruning_utils.py, extract_mask and prune_model_custom.
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tree, mask_of, pairs

FACTS = {"files": "torch", "exact": "yes"}
LEVELS = {"masks": "*-mask.pt"}


def read(tree: Tree) -> Found | None:
    """The masks; None without the signature.

    Raises:
        ArtifactError: a mask with other values than 0 and 1.
    """
    tensors = tree.tensors()
    names = pairs(tensors, "_mask")
    if not names or len(names) < len(tensors):
        return None
    return Found({name: mask_of(tensors[f"{name}_mask"], f"{tree.file}: {name}_mask") for name in names})
