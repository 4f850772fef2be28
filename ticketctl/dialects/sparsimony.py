"""sparsimony: masks of its FakeSparsity parametrisations.

Signature: for each masked parameter `L.weight` the state_dict holds `L.parametrizations.weight.0.mask`, booleans, and
`L.parametrizations.weight.original`, the dense weights.
Layout: what torch.nn.utils.parametrize stores; buffers of dense gradients beside the masks are left out.
Source: mklasby/sparsimony, sparsimony/parametrization/fake_sparsity.py.
"""

from __future__ import annotations

import re

from ticketctl.dialects.tree import Found, Tensor, Tree, broken, mask_of

FACTS = {"files": "torch, safetensors", "exact": "yes"}
_MASK = re.compile(r"(?P<layer>.+)\.parametrizations\.(?P<name>\w+)\.0\.mask")


def read(tree: Tree) -> Found | None:
    """The masks and the dense weights; None without the signature.

    Raises:
        ArtifactError: a mask without its weights, of another shape, or with other values than 0 and 1.
    """
    tensors = tree.tensors()
    found = [match for name in tensors if (match := _MASK.fullmatch(name))]
    if not found:
        return None
    keep = {}
    weights: dict[str, Tensor] = {
        name: leaf for name, leaf in tensors.items() if ".parametrizations." not in name
    }
    for match in found:
        original = f"{match['layer']}.parametrizations.{match['name']}.original"
        if original not in tensors:
            raise broken(f"{tree.file}: {match[0]} has no {original} beside it")
        full = f"{match['layer']}.{match['name']}"
        keep[full] = mask_of(tensors[match[0]], f"{tree.file}: {match[0]}", tensors[original])
        weights[full] = tensors[original]
    return Found(keep, weights)
