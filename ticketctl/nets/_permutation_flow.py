"""Which channels of a net stand for the same unit, found by watching it run as compaction does.

Compaction's flow (`ticketctl/nets/compact_flow.py`) says which tensors share their channels as a whole. Here a tensor
may also hold the channels of another among its own: a shortcut that pads with constant channels, or cuts some off, ties
channel i of what goes in to channel i + k of what comes out, and the rest of the two are units of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ticketctl.nets.compact_flow import Flow, Stream
from ticketctl.nets.compact_watch import _tensors, _Watch

_PAD = ("input", "pad", "mode", "value")

Unit = Mapping[int, int]
"""Where one unit stands: its channel in each group of the flow that carries it."""


@dataclass
class Ties:
    """What a run has shown."""

    flow: Flow = field(default_factory=Flow)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)
    """Groups a and b, and k: channel i of a is channel i + k of b."""

    def units(self) -> list[list[Unit]]:
        """The units that may change places, those with one another that stand in the same groups.

        None that stands in a group which the flow has fixed, nor any that stands in one group twice.
        """
        alike: dict[tuple[int, ...], list[Unit]] = {}
        for places in self._tied():
            groups = tuple(group for group, _ in places)
            if len(set(groups)) == len(groups) and not any(self.flow.is_fixed(group) for group in groups):
                alike.setdefault(groups, []).append(dict(places))
        return list(alike.values())

    def _tied(self) -> list[list[tuple[int, int]]]:
        """(group, channel) of all channels, those of one unit together, ascending."""
        sets = {
            (group, channel): [(group, channel)]
            for group, size in self.flow.groups().items()
            for channel in range(size)
        }
        for one, other, shift in self.pairs:
            one, other = self.flow.root(one), self.flow.root(other)
            for channel in range(self.flow.sizes[one]):
                here, there = sets[one, channel], sets.get((other, channel + shift))
                if there is not None and here is not there:
                    here.extend(there)
                    sets.update((place, here) for place in there)
        return [sorted(places) for place, places in sets.items() if place == min(places)]


@torch.no_grad()
def ties_of(net: nn.Module, shape: tuple[int, int, int]) -> Ties:
    """Run `net`, which is in evaluation mode, on two black images of `shape` and watch."""
    ties = Ties()
    images = torch.zeros(2, *shape, device=next(net.parameters()).device)
    with _TieWatch(net, ties) as watch:
        watch.put(images, ties.flow.group(shape[0], fixed=True))
        watch.fix(*_tensors(net(images)))
    return ties


class _TieWatch(_Watch):
    def __init__(self, net: nn.Module, ties: Ties) -> None:
        super().__init__(net, ties.flow)
        self.ties = ties

    def _followed(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[Tensor], Stream] | None:
        found = super()._followed(name, func, args, kwargs)
        if found is None and name == "pad":
            return self._padded(dict(zip(_PAD, args, strict=False)) | dict(kwargs))
        return found

    def _padded(self, said: Mapping[str, Any]) -> Callable[[Tensor], Stream] | None:
        """Constant channels before and after those of [N, C, H, W]; a negative number cuts as many off."""
        x, sides = said["input"], said["pad"]
        stream = self.streams[id(x)][1] if id(x) in self.streams else None
        if stream is None or x.ndim != 4 or stream.repeat != 1 or said.get("mode", "constant") != "constant":
            return None
        if len(sides) < 6 or any(sides[6:]):
            return None
        size = self.flow.sizes[stream.group] + sides[4] + sides[5]
        wide = self.flow.group(size)
        self.ties.pairs.append((stream.group, wide, sides[4]))
        value = torch.full((size,), torch.nan, device=x.device)
        return lambda _: Stream(wide, 1, value)
