"""Activation sparsity: the share of activation outputs that are next to nothing, by layer and by stage.

Over the test images, how many outputs a of the activations have |a| <= `threshold` (paper 001, Table A1: 1e-2; the
released code's activation_analysis.py), and how many are exactly 0 (`.zero`). The first row is over all activations,
each output counting once; `activation-sparsity.stage-2` is the last activation of the last block of stage 2, behind
the residual addition, which is what the paper's figures are of. Of ReLU both count what is switched off; of Swish, the
share below the threshold is that of small values, and next to none is 0. N(0, 1) through ReLU gives 50 % zeros and
50.4 % at 1e-2.

Choices: in pre-activation nets (WRN) nothing is activated behind the addition, and the stage's activation is the last
one inside its block. Which activations are seen: `ticketctl/metrics/_activations.py`. The error is that over images.
BatchNorm decides which outputs of an untrained net are near 0: it has statistics of 0 and 1, so they are taken anew
over the training images (`recalibrate`), and the net's own come back in the end. `stored` leaves them, as is usual for
a trained net and as `probe/activations` asks; `batch` takes those of 500 images at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.metrics._activations import watching
from ticketctl.metrics._norms import NormKeys, check_norms, policy, taken_anew
from ticketctl.nets.blocks import blocks_of
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.features import batches, batchnorm
from ticketctl.train.specimen import Specimen

COMMAND = "probe"
FACTS = {
    "data": "train, test",
    "cost": "1 pass over the test images, 1 over the training images for BatchNorm",
}
NEEDS = ("net", "train", "test")
BETTER: dict[str, str] = {}


@dataclass(frozen=True)
class Params(NormKeys):
    """Keys of `[metrics.activation-sparsity]`."""

    threshold: float = 0.01
    """Up to which an output is next to nothing."""
    images: int = 0
    """Test images, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        check_norms("activation-sparsity", self)
        if self.images < 0:
            raise UsageError(f"metrics.activation-sparsity.images = {self.images} must be 0 (all) or more")
        if not 0 <= self.threshold < math.inf:
            raise UsageError(
                f"metrics.activation-sparsity.threshold = {self.threshold} must be 0 or more; the paper has 0.01"
            )


@dataclass
class Tally:
    """Of one activation."""

    outputs: int
    """For one image."""
    small: list[Tensor]
    """int64 [n] by batch: how many of an image's outputs are up to the threshold."""
    zero: list[Tensor]
    """How many are 0."""


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images; counting takes about half of one more."""
    return 1.5 * min(params.images or sizes["test"], sizes["test"]) + taken_anew(sizes, params)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`activation-sparsity`, `.zero`, `.stage-N` and `.stage-N.zero` in [0, 1].

    Arrays by layer, in the order of the protocol's `layers`: `outputs` of one image, `small` and `zero` as shares.

    Raises:
        UsageError: a key out of its range.
        Absent: no activation is seen.
    """
    net = exam.specimen.few("test", params.images, exam.seeds, "probe")
    count = len(net.images["test"])
    with batchnorm(net, params.bn, params.bn_images) as used:
        found = _tallied(net, params.threshold)
    if not found:
        raise Absent(f"{type(net.model).__name__} has no activation that is seen")
    stages = _stages(net, list(found))
    values = _rows("activation-sparsity", list(found.values()))
    for stage, name in stages.items():
        values |= _rows(f"activation-sparsity.stage-{stage}", [found[name]])
    layers = [_rows("layer", [one]) for one in found.values()]
    arrays = {
        "outputs": np.array([one.outputs for one in found.values()]),
        "small": np.array([one["layer"].value for one in layers]),
        "zero": np.array([one["layer.zero"].value for one in layers]),
    }
    protocol = {
        "layers": list(found), "stages": {str(stage): name for stage, name in stages.items()},
        "images": count, "batchnorm": policy(params, used),
    }  # fmt: skip
    return Measurement(values, protocol, arrays)


def near_zero(outputs: Tensor, threshold: float, images: int) -> Tensor:
    """How many of each image's outputs have |a| <= threshold: int64 [images]; outputs [images * k, …], in order."""
    near = outputs.abs() <= threshold if threshold else outputs == 0
    if len(near) == images and near.dim() > 1:
        return near.sum(tuple(range(1, near.dim())))
    return near.reshape(images, -1).sum(1)


@torch.no_grad()
def _tallied(net: Specimen, threshold: float) -> dict[str, Tally]:
    """Of every activation over all test images, by its name."""
    found: dict[str, Tally] = {}
    images, seen = net.images["test"], 0
    rows = torch.arange(len(images), device=net.device)

    def take(name: str, output: Tensor, axis: int) -> None:
        one = found.setdefault(name, Tally(output.numel() // seen, [], []))
        one.small.append(near_zero(output, threshold, seen))
        one.zero.append(near_zero(output, 0.0, seen))

    with watching(net.model, take):
        for batch in batches(net, len(images)):
            net.poll()
            part = rows[batch]
            seen = len(part)
            net.model(images.scaling(images.take(part)))
    return found


def _stages(net: Specimen, names: Sequence[str]) -> dict[int, str]:
    """The last activation in the last block of each stage; stages whose block has none are left out."""
    last = {block.stage: block.module for block in blocks_of(net.model)}
    within = {stage: [name for name in names if _is_in(name, module)] for stage, module in last.items()}
    return {stage: inside[-1] for stage, inside in within.items() if inside}


def _is_in(name: str, module: str) -> bool:
    return name.partition("#")[0] == module or name.startswith(f"{module}.")


def _rows(name: str, tallies: Sequence[Tally]) -> dict[str, Value]:
    """The shares over some activations together."""
    total = sum(one.outputs for one in tallies)

    def share(parts: Sequence[list[Tensor]]) -> Value:
        counts: Any = sum(torch.cat(part) for part in parts)
        return Value.mean(counts.double().cpu().numpy() / total)

    return {name: share([one.small for one in tallies]), f"{name}.zero": share([one.zero for one in tallies])}
