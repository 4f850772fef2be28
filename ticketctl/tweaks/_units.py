"""The 3x3 units of a net: a 3x3 convolution with the BatchNorm that belongs to it.

They are found by the order in which a module registers its children, one module at a time:

* Convolution, then BatchNorm (BasicBlock, Bottleneck, VGG, MobileNet): the unit begins at the convolution and ends
  behind the BatchNorm, before the activation.
* In a module whose first child of the two kinds is a BatchNorm (pre-activation blocks): BatchNorm, activation,
  convolution; it begins at the BatchNorm and ends behind the convolution.

Only convolutions that keep the size (at stride 1) are units, and BatchNorm2d itself: subclasses that have an activation
inside end behind it. Units of the net's own children are its stem, unless there are no others. In a net with depthwise
3x3 convolutions (MobileNet) those alone are units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from ticketctl.errors import UsageError


@dataclass(frozen=True)
class Unit:
    """One 3x3 convolution, and where its unit begins and ends in the net."""

    name: str
    """Of the convolution."""
    conv: nn.Conv2d
    first: nn.Module
    """Whose input is the unit's."""
    last: nn.Module
    """Whose output is the unit's, before the activation."""

    @property
    def matched(self) -> bool:
        """Whether what goes in has the shape of what comes out."""
        return self.conv.stride == (1, 1) and self.conv.in_channels == self.conv.out_channels


def units_of(net: nn.Module) -> tuple[Unit, ...]:
    """All units in the order of the net's modules; `net` is not changed.

    Raises:
        UsageError: there is none.
    """
    found = [unit for path, module in net.named_modules() for unit in _inside(path, module)]
    found = [unit for unit in found if "." in unit.name] or found
    if any(_is_depthwise(unit.conv) and unit.conv.in_channels > 1 for unit in found):
        found = [unit for unit in found if _is_depthwise(unit.conv)]
    if not found:
        raise UsageError(
            f"tweak skip: {type(net).__name__} has no 3x3 convolution with a BatchNorm2d, so there is nothing to skip; "
            "spend another net, or without skip"
        )
    return tuple(found)


def _inside(path: str, module: nn.Module) -> Iterator[Unit]:
    """The units among the children of one module."""
    children = [
        (f"{path}.{name}" if path else name, child)
        for name, child in module.named_children()
        if not isinstance(child, nn.Identity)
    ]
    kinds = [child for _, child in children if isinstance(child, nn.Conv2d | nn.BatchNorm2d)]
    if kinds and isinstance(kinds[0], nn.BatchNorm2d):
        chain = [each for each in children if isinstance(each[1], nn.Conv2d | nn.BatchNorm2d)]
        yield from _before(chain)
    else:
        yield from _behind(children)


def _behind(children: list[tuple[str, nn.Module]]) -> Iterator[Unit]:
    for (name, conv), (_, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and _keeps_size(conv) and _is_norm(norm, conv.out_channels):
            yield Unit(name, conv, conv, norm)


def _before(children: list[tuple[str, nn.Module]]) -> Iterator[Unit]:
    for (_, norm), (name, conv) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and _keeps_size(conv) and _is_norm(norm, conv.in_channels):
            yield Unit(name, conv, norm, conv)


def _keeps_size(conv: nn.Conv2d) -> bool:
    """Whether it is 3x3 and padded by as much as it reaches out."""
    return conv.kernel_size == (3, 3) and conv.padding in ("same", conv.dilation)


def _is_norm(module: nn.Module, channels: int) -> bool:
    return type(module) is nn.BatchNorm2d and module.num_features == channels


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels
