"""sparselearning (SNFS) and what grew from it (ITOP, GraNet): `masks` by parameter name beside the state_dict.

Signature: a dict with `masks`, zeros and ones by parameter name, and a state_dict under `state_dict`, `model` …
Layout: as its Masking object holds them. Its first release stores no masks but weights with zeros in the pruned places:
such a file is read by the dialect zeros.
Source: TimDettmers/sparse_learning, sparselearning/core.py, Masking.masks.
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tree, mask_of

FACTS = {"files": "torch", "exact": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the weights; None without the signature.

    Raises:
        ArtifactError: a mask of another shape than its weight, or with other values than 0 and 1.
    """
    masks = tree.value.get("masks") if isinstance(tree.value, dict) else None
    weights = tree.tensors()
    if not isinstance(masks, dict) or not masks or not weights:
        return None
    named = {name.removeprefix("module."): mask for name, mask in masks.items()}
    if not set(named) <= set(weights):
        return None  # masks of something else
    keep = {
        name: mask_of(mask, f"{tree.file}: mask of {name}", weights[name]) for name, mask in named.items()
    }
    return Found(keep, weights)
