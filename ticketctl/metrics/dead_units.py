"""Dead units: channels and hidden units that give out 0 on every test image.

A unit is a channel (or a feature of a Linear layer) behind an activation. `dead-units` is the share of all units whose
output is 0 on all images and at all positions; `dead-units.frozen` the share of those that give out one other value
all the time (to 1e-6 of it): what only passes on a bias. `dead-units.cut` is what the mask alone does: of the output
channels of the masked layers, the share through which no path of kept weights runs from the input to a logit (Tanaka
et al. 2020); 0 of a dense net, and left out where the net has what paths cannot follow.

Choices: behind the activation, and in a residual block so behind the addition, where a shortcut can keep a unit alive
whose own kernel is empty. The released code of paper 004 counts otherwise: channels of convolutions whose output gets
no gradient from one batch. Neither way is better in itself: dead units are waste in a wide net, and what compaction
takes away. More images can only make fewer dead units. A sigmoid is a gate and no activation; a clamp that stands for
an activation is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError
from ticketctl.masks.collapse import collapse
from ticketctl.metrics._activations import watching
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("net", "test")
BETTER: dict[str, str] = {}

SAME = 1e-6
"""Relative width within which a unit's outputs are one value: libraries add in more than one order."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.dead-units]`."""

    images: int = 0
    """Test images, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        if self.images < 0:
            raise UsageError(f"metrics.dead-units.images = {self.images} must be 0 (all) or more")


@dataclass
class _Range:
    """The least and the largest output of the units of a layer, each [units]."""

    least: Tensor
    most: Tensor


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images."""
    return min(params.images or sizes["test"], sizes["test"])


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`dead-units`, `dead-units.frozen` and `dead-units.cut` in [0, 1]; the counts of each layer, in the net's order.

    Raises:
        UsageError: fewer than no images.
        Absent: no activation is seen.
    """
    net = exam.specimen.few("test", params.images, exam.seeds, "probe")
    count = len(net.images["test"])
    ranges = _ranges(net, count)
    if not ranges:
        raise Absent(f"{type(net.model).__name__} has no activation that is seen")
    dead = [(each.least == 0) & (each.most == 0) for each in ranges.values()]
    frozen = [_one_value(each) & ~gone for each, gone in zip(ranges.values(), dead, strict=True)]
    arrays = {
        "units": np.array([len(each) for each in dead]),
        "dead": np.array([int(each.count_nonzero()) for each in dead]),
        "frozen": np.array([int(each.count_nonzero()) for each in frozen]),
    }
    total = int(arrays["units"].sum())
    values = {
        "dead-units": Value(int(arrays["dead"].sum()) / total, None, total),
        "dead-units.frozen": Value(int(arrays["frozen"].sum()) / total, None, total),
    }
    cut, said = _cut(net)
    values |= {} if cut is None else {"dead-units.cut": cut}
    protocol = {"layers": list(ranges), "images": count, "frozen": f"to {SAME:g}", "cut": said}
    return Measurement(values, protocol, arrays)


@torch.no_grad()
def _ranges(net: Specimen, count: int) -> dict[str, _Range]:
    """Of every activation over all `count` test images, by its name."""
    found: dict[str, _Range] = {}
    size = batch_on(net.device)

    def take(name: str, output: Tensor, axis: int) -> None:
        units = output.movedim(axis, 0).flatten(1) if output.dim() > 1 else output[:, None]
        least, most = units.amin(1), units.amax(1)
        if name in found:
            least, most = torch.minimum(found[name].least, least), torch.maximum(found[name].most, most)
        found[name] = _Range(least, most)

    with watching(net.model, take):
        for start in range(0, count, size):
            net.poll()
            net.logits(net.pixels("test", start, min(start + size, count)))
    return found


def _one_value(units: _Range) -> Tensor:
    size = torch.maximum(units.least.abs(), units.most.abs())
    return units.most - units.least <= SAME * size


def _cut(net: Specimen) -> tuple[Value | None, str]:
    """The share of channels that the mask cuts off, and over what it is, or why it is not known."""
    if net.mask is None:
        layers = [each for each in net.model.modules() if isinstance(each, _ConvNd | nn.Linear)]
        return Value(0.0, None, sum(len(each.weight) for each in layers)), "no mask"
    _, channels, height, width = net.pixels("test", 0, 1).shape
    found = collapse(net.model, net.mask, (channels, height, width))
    if found.unknown:
        return None, f"not judged: {found.unknown}"
    total = sum(len(keep) for keep in net.mask.keep.values())
    return Value(sum(found.dead_channels.values()) / total, None, total), "output channels of masked layers"
