"""How many images a net can be asked about at once where gradients by the pixels are taken."""

from __future__ import annotations

from torch import Tensor, nn

from ticketctl.train.hessian import graph_bytes
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen

ON_CPU, ELSEWHERE = 256 << 20, 4 << 30
"""Bytes that the graph may hold; on a CPU more gains nothing, and nobody is heard meanwhile."""


def gradient_batch(net: Specimen, name: str) -> int:
    """Images of the set `name`, 1 to `batch_on(device)`: as many as have room.

    The graph is measured on one image and on two. It is that of a gradient which is differentiated again, and so
    holds about twice of what one gradient takes.
    """
    if len(net.images[name]) < 2:
        return 1

    def build(start: int, stop: int) -> tuple[Tensor, list[Tensor]]:
        pixels = net.pixels(name, start, stop).requires_grad_()
        said = net.logits(pixels)
        return nn.functional.cross_entropy(said, net.labels(name, start, stop), reduction="sum"), [pixels]

    net.poll()
    each = max(graph_bytes(build, 2) - graph_bytes(build, 1), 1)
    room = ON_CPU if net.device.type == "cpu" else ELSEWHERE
    return max(min(room // each, batch_on(net.device)), 1)
