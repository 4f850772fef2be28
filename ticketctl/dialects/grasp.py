"""GraSP's `.pth.tar`: the net under `net` and its masks under `mask`, as far as they are no pickled modules.

Signature: a dict with `net`, a state_dict, and `mask`, a dict of zeros and ones by layer (`features.0`) or parameter.
Layout: as the released code saves it, `net` is the module itself and `mask` is keyed by modules: that is code, which is
not run, and is refused. Save it again where that code is, as plain values:
`names = {m: n for n, m in net.named_modules()}; torch.save({"net": net.state_dict(), "mask": {names[m]: k for m, k in
masks.items()}}, FILE)`.
Source: alecwangcq/GraSP, main_prune_non_imagenet.py and models/base.
"""

from __future__ import annotations

from ticketctl.dialects.tree import Found, Tree, mask_of, unwrapped

FACTS = {"files": "torch", "exact": "yes"}


def read(tree: Tree) -> Found | None:
    """The masks and the weights; None without the signature.

    Raises:
        ArtifactError: a mask of another shape than its weight, or with other values than 0 and 1.
    """
    value = tree.value
    if not isinstance(value, dict) or not all(isinstance(value.get(key), dict) for key in ("net", "mask")):
        return None
    weights, keep = unwrapped(value["net"]), {}
    for name, mask in value["mask"].items():
        own = name.removeprefix("module.")
        full = own if own in weights else f"{own}.weight"
        keep[full] = mask_of(mask, f"{tree.file}: mask of {name}", weights.get(full))
    return Found(keep, weights) if keep else None
