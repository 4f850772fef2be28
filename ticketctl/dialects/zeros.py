"""Dense weights with zeros in the pruned places: lossy, for a kept weight of exactly 0 looks pruned.

Signature: a state_dict in which at least one weight of two or more dimensions has a value of exactly 0.
Layout: every such weight gets a mask, False where it is 0; tensors of fewer dimensions get none. HyperSparse and ART,
sparselearning's first release and ToST's `pruned.pth.tar` store no more than this.
Source: none: what is left where no mask was kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from ticketctl.dialects.tree import Found, Keep, Tensor, Tree

FACTS = {"files": "torch, npz, safetensors", "exact": "no", "export": "yes"}
NOTE = "the mask was inferred from zeros: a kept weight of exactly 0 cannot be told from a pruned one"


def read(tree: Tree) -> Found | None:
    """The masks of all weights that have zeros, and the weights; None if none has any."""
    weights = tree.tensors()
    floats = {name: leaf for name, leaf in weights.items() if leaf.dtype in ("F32", "F16", "BF16", "F64")}
    matrices = {name: leaf.array() for name, leaf in floats.items() if len(leaf.shape) >= 2}
    # the sign of a zero is the highest bit, which a shift drops where bfloat16 comes as its bits
    keep = {
        name: (array << 1 if floats[name].dtype == "BF16" else array) != 0 for name, array in matrices.items()
    }
    if all(mask.all() for mask in keep.values()):
        return None
    return Found(keep, weights, weights_are="trained", exact=False, notes=(NOTE,))


def write(keep: Keep, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict with +0.0 in every pruned place.

    Args:
        keep: the mask, by parameter.
        weights: the whole state_dict.
    """
    found = dict(weights)
    for name, mask in keep.items():
        held = weights[name].array().copy()  # bfloat16 comes as its bits, of which 0 is +0.0 too
        held[~mask] = 0
        found[name] = Tensor(weights[name].dtype, mask.shape, held.tobytes())
    return found
