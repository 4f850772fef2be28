"""Weight distribution: where in the net the kept weights lie.

Of each prunable layer l the keep ratio |m_l| / n_l and the share |m_l| / |m| of all kept weights, layers in the order
in which the net runs them (paper 000, section 4.4). Shares add up to 1. `weight-distribution` is the density, kept /
prunable; `weight-distribution.keep.GROUP` and `weight-distribution.share.GROUP` are the same over three groups of
layers: `downsampling`, the 1x1 convolutions of shortcuts; `linear`; and `residual`, all other convolutions, which in a
net without shortcuts are the whole chain.

Choices: a convolution is a shortcut's if its kernel has one position and it strides, or if `downsample` or `shortcut`
is in its name. Of a dense net all weights of convolutions and Linear layers are kept: the shares are then those of its
layers' sizes. A layer that runs twice stands where it runs first; one that never runs stands last. Arrays, a value for
each layer of the protocol's `layers`: `kept`, `size`, `keep`, `share`, and `group`, a place in its `groups`; the keep
ratio of a layer is 0 where it is empty, and so is the share where nothing at all is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.specimen import Specimen

FACTS = {"data": "none", "cost": "1 image"}
COMMAND = "probe"
NEEDS = ("net",)
BETTER: dict[str, str] = {}

GROUPS = ("residual", "downsampling", "linear")
SHORTCUTS = ("downsample", "shortcut")
"""Words in the names of modules."""


@dataclass(frozen=True)
class Params:
    """No keys."""


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images."""
    return 1


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`weight-distribution` in [0, 1], and two rows for each group that the net has.

    Raises:
        Absent: there is no layer to prune.
    """
    net = exam.specimen
    counts = _counts(net)
    ran = execution_order(net)
    layers = [name for name in ran if name in counts] + [name for name in counts if name not in ran]
    kept, size = (np.array([counts[name][part] for name in layers], dtype=np.int64) for part in (0, 1))
    group = np.array([GROUPS.index(group_of(net.model, name)) for name in layers], dtype=np.int64)
    total = int(kept.sum())
    share = kept / max(1, total)
    values = {"weight-distribution": Value(total / int(size.sum()), None, int(size.sum()))}
    for number, name in enumerate(GROUPS):
        own = group == number
        if own.any():
            count = int(size[own].sum())
            values[f"weight-distribution.keep.{name}"] = Value(int(kept[own].sum()) / count, None, count)
            values[f"weight-distribution.share.{name}"] = Value(float(share[own].sum()), None, total)
    arrays = {"kept": kept, "size": size, "keep": kept / size, "share": share, "group": group}
    return Measurement(values, {"layers": layers, "groups": list(GROUPS), "dense": net.mask is None}, arrays)


def group_of(model: nn.Module, name: str) -> str:
    """Which of `GROUPS` the weight `name` of `model` belongs to."""
    path = name.rpartition(".")[0]
    layer = model.get_submodule(path)
    if not isinstance(layer, _ConvNd):
        return "linear"
    point = prod(layer.kernel_size) == 1
    shortcut = prod(layer.stride) > 1 or any(word in path for word in SHORTCUTS)
    return "downsampling" if point and shortcut else "residual"


@torch.no_grad()
def execution_order(net: Specimen) -> list[str]:
    """Names of the modules' weights in the order in which the net first runs these modules."""
    found: dict[str, None] = {}
    handles = []
    try:
        for path, module in net.model.named_modules():
            for name, _ in module.named_parameters(path, recurse=False):
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: found.setdefault(name)))
        net.poll()
        net.logits(net.pixels(next(iter(net.images)), 0, 1))
    finally:
        for handle in handles:
            handle.remove()
    return [*found]


def _counts(net: Specimen) -> Mapping[str, tuple[int, int]]:
    """(kept, size) of each prunable weight."""
    if net.mask is not None:
        return net.mask.layers()
    try:
        names = prunable(net.model, Policy())
    except UsageError as error:
        raise Absent(str(error)) from None
    return Mask.full({name: net.model.get_parameter(name).shape for name in names}).layers()
