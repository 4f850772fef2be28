"""What a frozen net makes of images at some of its places: means over positions, for heads that are trained on them.

BatchNorm decides what an untrained net shows: its statistics are still 0 and 1, and what they belong to is not what
comes in. The policy is therefore always named (`BATCHNORM`), and the net's own statistics come back in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.errors import UsageError
from ticketctl.masks.prunable import head
from ticketctl.nets.blocks import Block
from ticketctl.train.predict import batch_on
from ticketctl.train.recalibrate import BATCH, recalibrate, spread
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import Statistics

BATCHNORM = ("recalibrate", "stored", "batch")
"""Of the training images, as the net holds them, or of each batch of 500 itself."""


@dataclass(frozen=True)
class Tap:
    """A place in a net."""

    module: str
    """Path of a module."""
    axis: int = 1
    """Of what it gives [N, …], where the channels are; the mean is over all others."""
    before: bool = False
    """What goes into the module, not what it gives."""

    @classmethod
    def behind(cls, block: Block) -> Tap:
        """Its output."""
        return cls(block.module, block.axis)


def penultimate(model: nn.Module) -> Tap | None:
    """What goes into the output layer, which is the last Linear layer; None of a net without one."""
    name = head(model)
    return None if name is None else Tap(name.removesuffix("weight").rstrip("."), -1, before=True)


@contextmanager
def batchnorm(net: Specimen, policy: str, count: int = 0) -> Iterator[int]:
    """The net under one of `BATCHNORM` meanwhile; gives how many training images its statistics are of (0: none).

    Args:
        net: its buffers, modes and momenta are as before in the end, also after an error.
        policy: `recalibrate`, `stored` or `batch`.
        count: training images to recalibrate on, evenly spaced; 0: all.
    """
    norms = [each for each in net.model.modules() if isinstance(each, _BatchNorm)]
    before = Statistics(net.model)
    before.remember()
    modes = [(norm, norm.training) for norm in norms]
    images = net.images["train"]
    used = min(count or len(images), len(images)) if policy == "recalibrate" and norms else 0
    try:
        if used:
            recalibrate(net.model, images, count=used, poll=net.poll)
        for norm in norms if policy == "batch" else ():
            norm.train()
        yield used
    finally:
        before.restore()
        for norm, mode in modes:
            norm.training = mode


def widths_of(net: Specimen, taps: Sequence[Tap]) -> list[int]:
    """Channels at each place."""
    return [one.shape[1] for one in _seen(net, taps, net.images["train"].batch(0, 2)[0])]


def groups(widths: Sequence[int], images: int, limit: int) -> list[list[int]]:
    """Places 0, 1, … in runs whose features, float32 of `images`, take no more than `limit` bytes together.

    A place that takes more by itself is a run of its own.
    """
    found: list[list[int]] = []
    held = 0
    for place, width in enumerate(widths):
        size = 4 * width * images
        if not found or held + size > limit:
            found.append([])
            held = 0
        found[-1].append(place)
        held += size
    return found


@torch.no_grad()
def features_of(net: Specimen, name: str, taps: Sequence[Tap]) -> list[Tensor]:
    """Features of all images of the set `name` at each place, float32 [N, C], on the device, in one pass.

    A place that a pass comes by more than once gives what it gave last. Each is the same whatever others are asked
    for. Layers that are in train mode (policy `batch`) see 500 images at a time.

    Raises:
        UsageError: a place gives no tensor of one row for each image, or is not come by.
    """
    images = net.images[name]
    found: list[Tensor] = []
    rows = torch.arange(len(images), device=net.device)
    for batch in batches(net, len(images)):
        net.poll()
        parts = _seen(net, taps, images.scaling(images.take(rows[batch])))
        found = found or [part.new_empty((len(images), part.shape[1])) for part in parts]
        for whole, part in zip(found, parts, strict=True):
            whole[batch] = part
    return found


def batches(net: Specimen, count: int) -> list[slice]:
    """Of `count` images: spread over them where BatchNorm takes the statistics of a batch; else neighbours."""
    if any(isinstance(each, _BatchNorm) and each.training for each in net.model.modules()):
        return spread(count, BATCH)
    size = batch_on(net.device)
    return [slice(start, start + size) for start in range(0, count, size)]


@torch.no_grad()
def _seen(net: Specimen, taps: Sequence[Tap], inputs: Tensor) -> list[Tensor]:
    """Float32 [N, C] at each place."""
    seen: dict[int, Tensor] = {}
    handles = []
    try:
        for place, tap in enumerate(taps):
            module = net.model.get_submodule(tap.module)
            take = _taking(seen, place, tap, len(inputs))
            if tap.before:
                handles.append(module.register_forward_pre_hook(lambda m, args, take=take: take(args[0])))
            else:
                handles.append(module.register_forward_hook(lambda m, args, output, take=take: take(output)))
        net.model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    missed = [tap.module for place, tap in enumerate(taps) if place not in seen]
    if missed:
        raise UsageError(f"{type(net.model).__name__} does not run its {missed[0]}; probe other blocks")
    return [seen[place] for place in range(len(taps))]


def _taking(seen: dict[int, Tensor], place: int, tap: Tap, count: int) -> Callable[[Any], None]:
    def take(value: Any) -> None:
        if not isinstance(value, Tensor) or value.dim() < 2 or len(value) != count:
            raise UsageError(
                f"{tap.module} gives no tensor of {count} rows for {count} images; probe other blocks"
            )
        axis = tap.axis % value.dim()
        others = [each for each in range(1, value.dim()) if each != axis]
        seen[place] = (value.mean(others) if others else value.clone()).float()

    return take
