"""Frozen transfer: accuracy on another data set of a new output layer on the net, all else of it frozen.

The output layer, the last Linear layer, is replaced by a dense one for the target's classes and trained on what goes
into it; the target's images come in the form that the net takes, by the target's own mean and deviation (paper 003,
section 5.1). `transfer` is the accuracy on the target's test images, on which nothing was chosen; the rows `.lbfgs` are
of a head that was trained to the end. `transfer-head.parameters` is how many the new head has, and
`transfer-head.sparsity` the share of pruned weights with the head counted in, dense: below the ticket's own.

Choices, where the paper is silent: the recipe of its linear probe (SGD, 5 epochs at 0.005, weight decay 1e-4; momentum
0.9 and batches of 256 are ours), images unaugmented, a head that starts at 0, and BatchNorm's statistics taken anew
over the target's training images; the net's own come back in the end. Weights and statistics outside the output layer
are hashed before and after: they are the same, or nothing is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ticketctl.metrics import _heads as heads
from ticketctl.metrics._heads import Found, HeadKeys
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.features import Tap, batchnorm, penultimate
from ticketctl.train.specimen import Specimen

COMMAND = "transfer"
FACTS = {
    "data": "train, val if any, test of the target",
    "cost": "1 pass over all images, 1 more over the training images for BatchNorm; the head is cheap",
}
NEEDS = ("net", "train", "test")
BETTER = {"transfer": "higher"}


@dataclass(frozen=True)
class Params(HeadKeys):
    """Keys of `[metrics.transfer]`."""

    weights: bool = False
    """Keep the head: arrays `head.weight` [C, classes] and `head.bias`."""

    def __post_init__(self) -> None:
        heads.check("transfer", self)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images."""
    return heads.passes(sizes, params)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`transfer`, `.train`, `.val`, the same behind `.lbfgs`, in [0, 1]; `transfer-head.parameters`, `.sparsity`.

    Raises:
        Absent: the net has no output layer that is a Linear layer, or what goes into it is not finite.
    """
    net = exam.specimen
    tap = penultimate(net.model)
    if tap is None or not _is_output(net, tap):
        raise Absent(
            f"{type(net.model).__name__} has no Linear layer that gives its logits, so no head to replace"
        )
    before = backbone_digest(net, tap)
    with batchnorm(net, params.bn, params.bn_images) as used:
        found = heads.trained(net, [tap], heads.recipes(params), exam.seeds)[0]
    after = backbone_digest(net, tap)
    if after != before:
        raise RuntimeError(f"the frozen net has changed: its digest was {before}, and is {after}")
    if not found[""].fed:
        raise Absent(f"what goes into {tap.module or 'the net'} has values that are NaN or infinite")
    values, lost = _rows(found, heads.shown(net))
    head = found[""].head
    size = head.weight.numel()
    values["transfer-head.parameters"] = Value(float(size + head.bias.numel()), None, 1)
    values["transfer-head.sparsity"] = _sparsity(net, tap, size)
    protocol = heads.protocol(net, params, used) | {
        "replaced": tap.module, "features": f"{len(head.weight)} that go into it, float32",
        "backbone": {"sha256": before, "before and after": "equal"},
        "chosen on": "nothing", "diverged": lost,
    }  # fmt: skip
    return Measurement(values, protocol, _arrays(found, params))


def backbone_digest(net: Specimen, tap: Tap) -> str:
    """SHA-256 of all tensors but the output layer's, by name."""
    own = f"{tap.module}." if tap.module else ""
    found = hashlib.sha256()
    for name, value in net.model.state_dict().items():
        if name.startswith(own) and "." not in name.removeprefix(own):
            continue
        found.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@torch.no_grad()
def _is_output(net: Specimen, tap: Tap) -> bool:
    """Whether what the layer gives is what the net gives."""
    given: list[Any] = []
    layer = net.model.get_submodule(tap.module)
    handle = layer.register_forward_hook(lambda module, inputs, output: given.append(output))
    try:
        logits = net.model(net.images["train"].batch(0, 2)[0])
    finally:
        handle.remove()
    same = len(given) == 1 and given[0].shape == logits.shape
    return same and torch.allclose(given[0], logits, rtol=0, atol=0, equal_nan=True)


def _sparsity(net: Specimen, tap: Tap, size: int) -> Value:
    """Pruned over prunable weights, the old head left out of both, the new one's `size` in the second."""
    own = f"{tap.module}.weight" if tap.module else "weight"
    keep = {} if net.mask is None else {name: kept for name, kept in net.mask.keep.items() if name != own}
    total = size + sum(kept.numel() for kept in keep.values())
    return Value(sum(int((~kept).sum()) for kept in keep.values()) / total, None, total)


def _rows(found: Mapping[str, Found], sets: list[str]) -> tuple[dict[str, Value], list[str]]:
    """And the names of those that left the numbers."""
    values, lost = dict[str, Value](), list[str]()
    for key, one in found.items():
        if not one.head.finite:
            lost.append(f"transfer{key}")
            continue
        values[f"transfer{key}"] = one.value("test")
        values |= {f"transfer{key}.{name}": one.value(name) for name in sets if name != "test"}
    if "transfer" not in values:
        raise Absent("the head left the numbers: give a lower lr, or standardize = true")
    return values, lost


def _arrays(found: Mapping[str, Found], params: Params) -> dict[str, Any]:
    arrays = {}
    for key, one in found.items():
        before = f"{key[1:]}." if key else ""
        arrays[f"{before}iterations"] = heads.plain([one.head.iterations])
        if one.head.gradient is not None:
            arrays[f"{before}gradient"] = heads.plain([one.head.gradient])
            arrays[f"{before}converged"] = heads.plain([one.head.converged])
    return arrays | (heads.kept({"head": found}) if params.weights else {})
