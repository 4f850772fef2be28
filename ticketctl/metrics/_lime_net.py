"""What a net says to an image with some of its segments black: the costly half of LIME."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ticketctl.metrics._softmax import Floats, probabilities
from ticketctl.train.specimen import Specimen

CACHED, RESIDENT = 3 * 32 * 32 * 24, 3 * 32 * 32 * 2048
"""Numbers of input per batch: on a CPU, whose cache should hold a layer of it (measured: ResNet-20s), and else."""
SEEN, CLOSE = 4, 1e-4
"""Images on which a folded net is held against the net, and how far it may be off, of the largest logit."""


def quick(specimen: Specimen) -> Specimen:
    """The same net with batch normalisations folded, or itself where that would be another net.

    What the two say to a few test images has to be equal but for rounding: `CLOSE`.
    """
    found = replace(specimen, model=folded(specimen.model))
    if found.model is specimen.model:
        return specimen
    pixels = specimen.pixels("test", 0, SEEN)
    with torch.no_grad():
        ours, theirs = found.logits(pixels), specimen.logits(pixels)
    same = ours.shape == theirs.shape and (ours - theirs).abs().max() <= CLOSE * theirs.abs().max()
    return found if same else specimen


def folded(model: nn.Module) -> nn.Module:
    """`model`, in evaluation mode, with every BatchNorm2d that alone follows a Conv2d folded into its weights.

    The model itself stays as it is; what is not replaced is shared with it. A layer that has a hook is left alone. A
    net that torch.fx cannot trace, because its code asks for values, comes back itself; and so does one with a hook on
    a module that tracing takes apart, for such hooks would run once for all, or be lost.
    """
    tracer = fx.Tracer()
    if any(
        _hooked(one) and not (name and tracer.is_leaf_module(one, name))
        for name, one in model.named_modules()
    ):
        return model
    try:
        traced = fx.symbolic_trace(model)
    except Exception:  # tracing runs anybody's code on symbols: it may raise whatever that code does
        return model
    modules = dict(traced.named_modules())
    for conv, norm in list(_pairs(traced.graph, modules)):
        fused = fuse_conv_bn_eval(modules[str(conv.target)], modules[str(norm.target)])
        traced.set_submodule(str(conv.target), fused)
        norm.replace_all_uses_with(conv)
        traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _hooked(module: nn.Module) -> bool:
    """Whether something else runs when it is called."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _pairs(graph: fx.Graph, modules: dict[str, nn.Module]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Convolutions and what normalises them, both called once and the one's output used by the other alone."""
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    for norm in graph.nodes:
        conv = norm.args[0] if norm.op == "call_module" and norm.args else None
        if not isinstance(conv, fx.Node) or conv.op != "call_module" or len(conv.users) > 1:
            continue
        first, second = modules[str(conv.target)], modules[str(norm.target)]
        kinds = (
            type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d and second.running_mean is not None
        )
        if _hooked(first) or _hooked(second) or first.training or second.training:
            continue
        if kinds and called.count(conv.target) == called.count(norm.target) == 1:
            yield conv, norm


@torch.no_grad()
def responses(
    specimen: Specimen, image: Tensor, segments: NDArray[np.int64], rows: NDArray[np.bool_], whole: int
) -> Floats:
    """The probability of one class, that of the largest logit for the row `whole`, for each row: float64 [U].

    Args:
        specimen: the net.
        image: uint8 [C, H, W], on its device.
        segments: of each pixel, [H, W] in 0..n-1.
        rows: [U, n], whether a segment is shown; else it is black, 0.
        whole: the place of the row of all ones.
    """
    shown = torch.from_numpy(rows).to(specimen.device, torch.float32)
    index = torch.from_numpy(segments).to(specimen.device).reshape(-1)
    size = (CACHED if specimen.device.type == "cpu" else RESIDENT) // image.numel()
    parts = []
    for part in shown.split(min(max(size, 4), 2048)):
        specimen.poll()
        mask = part.index_select(1, index).view(len(part), 1, *segments.shape)
        parts.append(specimen.logits(mask * (image.float() / 255)))
    logits = torch.cat(parts).cpu().numpy()
    return probabilities(logits)[:, logits[whole].argmax()]
