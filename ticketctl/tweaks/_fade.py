"""Ghosts: what is in the net at the beginning of a training and has left it before the end.

The share that is left falls linearly, 1 - t / (fade T) after t of T steps, and is 0 from then on. Jaiswal et al. (ICML
2022) speak of ghost skips and ghost neurons "at the early stage"; their schedule is not in the released code, so the
straight line is ours. The share is a tensor of the net, `tweak.<name>.left`: it is kept with the weights, so any state
of the net computes what it computed in the training. It is an integer, in units of 2^-30: what averages weights and
statistics leaves integers alone, and a ghost that is gone stays gone.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

ONE = 1 << 30
"""The whole of a branch or of a width."""


def whole(device: torch.device | None = None) -> Tensor:
    """What is left at the beginning: int64, a scalar."""
    return torch.full((), ONE, dtype=torch.int64, device=device)


def share_of(left: Tensor) -> Tensor:
    """In [0, 1], float32; the device is not waited for."""
    return left / ONE


def share_left(step: int, total: int, fade: Fraction) -> float:
    """What is left after `step` of `total` steps, in [0, 1]; `fade` in (0, 1] is the share of them it falls over."""
    return float(max(Fraction(0), 1 - Fraction(step, total) / fade))


def check_fade(name: str, fade: Fraction) -> None:
    """Refuse a share that is none.

    Raises:
        UsageError: `fade` of tweak `name` is outside [0, 1].
    """
    if not 0 <= fade <= 1:
        raise UsageError(
            f"tweaks.{name}.fade: a share of the training from 0 to 1 (0.5: half of it), not {fade}"
        )


def added(net: nn.Module) -> nn.Module:
    """Where tweaks put their weights, `net.tweak`, made on first use. It passes on what it is given: in a net that is
    a plain chain of modules it is the last link.
    """
    if getattr(net, "tweak", None) is None:
        net.tweak = nn.Identity()
    place = net.tweak
    assert isinstance(place, nn.Module)
    return place


class Fading(Hooks):
    """Writes the share that is left into the net, and costs nothing once it is 0.

    A training that begins with a net whose share is already 0 (the sequel of another) leaves it there.
    """

    place: str
    """Name of the module that holds `left`."""
    fade: Fraction
    reads_grads = False

    def start(self, loop: Course) -> None:
        """The share of this moment."""
        self.every = 1
        self._tell(loop)
        if bool(self._left(loop) == 0):
            self._rest(loop)
        else:
            self._write(loop, loop.step)

    def _tell(self, loop: Course) -> None:
        """Say of a share that was there when the training began that it is gone at once."""
        first, last = loop.start.step, math.ceil(self.fade * loop.total)
        there = bool(loop.start.weights[f"{self.place}.left"] != 0)
        if there and first < loop.end and last - first <= 1:
            part = "a step" if last > first else "nothing"
            loop.remark(
                f"{self.place.removeprefix('tweak.')}: what fades is gone after step {last:,} of {loop.total:,}, so "
                f"this training, from step {first:,} on, has {part} of it; a larger fade leaves more"
            )

    def step(self, loop: Course) -> None:
        """The share for the next batch, and for an evaluation before it."""
        self._write(loop, loop.step + 1)

    def _left(self, loop: Course) -> Tensor:
        return loop.model.get_submodule(self.place).get_buffer("left")

    def _write(self, loop: Course, step: int) -> None:
        left = share_left(step, loop.total, self.fade)
        with torch.no_grad():
            self._left(loop).fill_(round(left * ONE))
        if left == 0:
            self._rest(loop)

    def _rest(self, loop: Course) -> None:
        self.every = loop.total + 1  # no step is that one: a GPU goes on with its graph
