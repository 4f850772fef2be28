"""Build a net by name, and fill its weights from the `init` stream.

A net is laid out without values (meta device) and then filled, so that no global random state is read or
moved, and every tensor has a stream of its own: its state_dict name. A net with one layer more has the same
weights in all others, and two nets with a layer of the same name and shape share its weights.
"""

from __future__ import annotations

import torch
from torch import nn

from ticketctl.nets.initialise import SCHEMES, initialise_
from ticketctl.plugins import load

__all__ = ["SCHEMES", "build", "initialise_", "layout"]


def layout(name: str, *, shape: tuple[int, int, int], classes: int, stem: str = "cifar") -> nn.Module:
    """The net on the meta device: names and shapes, no memory.

    Args:
        name: a name of `ticketctl list models`.
        shape: channels, height and width of an image.
        classes: number of logits.
        stem: "cifar" or "imagenet", for the families that have both.

    Raises:
        UsageError: no such net or stem; says the near miss.
    """
    family = load("nets", name)
    channels, height, width = shape
    with torch.device("meta"):
        net: nn.Module = family.build(
            name, channels=channels, size=(height, width), classes=classes, stem=stem
        )
    return net


def build(name: str, *, shape: tuple[int, int, int], classes: int, stem: str = "cifar") -> nn.Module:
    """The net on the CPU in float32; its weights are not set until `initialise_` fills them. See `layout`."""
    net = layout(name, shape=shape, classes=classes, stem=stem).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.zero_()  # what the allocator left is different every time, and may be NaN
    return net
