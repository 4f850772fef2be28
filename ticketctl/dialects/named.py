"""Masks by parameter name and nothing else, as scripts of one's own keep them.

Signature: a dict of parameter names, or one under `masks` or `mask`, each with an array of zeros and ones (booleans,
uint8 or floats).
Layout: no weights: name them with `--init`. In an npz or safetensors file the names are those of the arrays.
Source: none: the plainest form there is.
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tensor, Tree, is_binary, mask_of

FACTS = {"files": "torch, npz, safetensors", "exact": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks; None without the signature."""
    value = tree.value
    if isinstance(value, dict) and len(value) == 1 and {"masks", "mask"} & {*value}:
        value = next(iter(value.values()))
    if not isinstance(value, dict) or not value:
        return None
    if not all(
        isinstance(leaf, Tensor) and leaf.dtype != "I32" and is_binary(leaf) for leaf in value.values()
    ):
        return None
    if any(name.endswith(("_mask", ".mask")) for name in value):
        return None  # a checkpoint that keeps masks beside weights
    named = {name.removeprefix("module."): leaf for name, leaf in value.items()}
    return Found({name: mask_of(leaf, f"{tree.file}: {name}") for name, leaf in named.items()})
