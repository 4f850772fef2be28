"""Stochastic weight averaging: the net that is kept is the mean of those at the ends of the last epochs.

With n nets so far, a <- a + (theta - a) / (n + 1) at the end of every epoch e >= start * E, counted from 1; then one
pass over the training images sets BatchNorm's running statistics for the mean. Izmailov et al. 2018, algorithm 1.

With `lr` the learning rate is that of timgaripov/swa (411b2fc) instead of the recipe's, its warm-up included: with t
= (e - 1) / first averaged epoch it is flat up to t = 0.5, falls linearly to `lr` at t = 0.9, and stays there.

Choices: start = 3/4 of the training (the code: 54 to 56 % of one 1.5 times as long). The recipe's rate is left as it
is by default; nets at a rate near 0 hardly differ, so `lr` is what makes the mean a wide one. BatchNorm is set on the
images in evaluation form, in order, 500 at a time (the code: augmented, in training order); `bn = "average"` takes
the mean of the statistics instead, at no further pass. A training that is to end before the first averaged epoch is
refused; one that is too short for a mean of two nets, or for the rate to come down to `lr`, is told. Epochs on the way,
the best one too, are measured on the plain weights. Nets of one mask have a mean of that mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.recipe import Rational
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.recalibrate import recalibrate
from ticketctl.tweaks._average import Average

FACTS = {"changes": "weights", "cost": "none, and a pass over the training images"}
EXCLUDES = {"ema": "each puts its own average into the net"}
RECORD = ("nets",)
ZERO = {"start": "1", "bn": "average"}

FLAT, LOW = Fraction(1, 2), Fraction(9, 10)
"""Where the learning rate begins to fall and where it has fallen, in t."""


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.swa]`."""

    start: Rational = Fraction(3, 4)
    """Share of the training, over 0 and at most 1: nets are averaged from the epoch that completes it; 1: the last."""
    lr: float | None = None
    """Learning rate of the averaged epochs, over 0, reached from the recipe's; none: the recipe's schedule."""
    bn: Literal["recalibrate", "average"] = "recalibrate"
    """BatchNorm's running statistics: of the averaged net, or the average of those of the nets."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: a key is out of its range.
    """
    if not 0 < params.start <= 1:
        raise UsageError(
            f"tweaks.swa.start = {params.start} is a share of the training, over 0 and at most 1: "
            "after its end there is nothing to average; 3/4 averages the last quarter"
        )
    if params.lr is not None and not 0 < params.lr < float("inf"):
        raise UsageError(f"tweaks.swa.lr = {params.lr:g} must be over 0; half of train.lr is usual")
    del kit
    return Mean(params)


class Mean(Hooks):
    """Collects the nets, and puts their mean in their place."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.average = Average(buffers=params.bn == "average")
        self.nets = self.epochs = 0

    def identity(self) -> dict[str, Any]:
        """As the base says; the recipe's learning rate is in the training's own."""
        return {
            "tweak": "swa",
            "start": str(self.params.start),
            "lr": self.params.lr,
            "bn": self.params.bn,
        }

    def learning_rates(self, rates: Sequence[float], steps_per_epoch: int) -> Sequence[float]:
        """As the base says."""
        if self.params.lr is None:
            return rates
        first = first_epoch(self.params.start, len(rates) // steps_per_epoch)
        return [
            rate_of(step // steps_per_epoch, first, max(rates), self.params.lr) for step in range(len(rates))
        ]

    def start(self, loop: Course) -> None:
        """As the base says; tells of a training too short for a mean.

        Raises:
            UsageError: it is to end before the first epoch that is averaged.
        """
        self.average.bind(loop.model)
        if loop.end == loop.start.step:
            return
        begin, end = loop.start.step // loop.steps_per_epoch, loop.end // loop.steps_per_epoch
        first = first_epoch(self.params.start, loop.total // loop.steps_per_epoch)
        if end < first:
            raise UsageError(self._nothing(f"ends after epoch {end}"))
        for note in too_short(self.params, first, begin, end):
            loop.remark(note)

    def _nothing(self, what: str) -> str:
        return (
            f"the training {what}, and tweaks.swa.start = {self.params.start} "
            "averages none of its nets; give an earlier start"
        )

    def epoch(self, loop: Course) -> bool:
        """As the base says."""
        self.epochs += 1
        if loop.epochs_done >= first_epoch(self.params.start, loop.total // loop.steps_per_epoch):
            self.nets += 1
            self.average.add(1 / self.nets)
        return False

    def finish(self, loop: Course) -> None:
        """The mean is the net. A training of no epoch, such as that of a tweak that only edits a net, leaves it.

        Raises:
            UsageError: the training was ended before the first epoch that is averaged.
        """
        if self.epochs and not self.nets:
            raise UsageError(self._nothing(f"ended after epoch {loop.epochs_done}"))
        if self.nets:
            self.average.put(loop)
            if self.params.bn == "recalibrate":
                recalibrate(loop.model, loop.feed.images, poll=loop.poll, forward=loop.machine.forward)
        self.average.held = {}

    def state(self) -> dict[str, Tensor]:
        """`nets` int64: how many were averaged; `epochs` int64: of how many; and until the end the mean."""
        counts = {"nets": torch.tensor(self.nets), "epochs": torch.tensor(self.epochs)}
        return {**counts, **self.average.state()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.nets, self.epochs = int(tensors["nets"]), int(tensors["epochs"])
        self.average.restore(tensors)


def first_epoch(start: Fraction, epochs: int) -> int:
    """The first epoch, from 1, whose net is averaged, in a training of `epochs`.

    >>> first_epoch(Fraction(3, 4), 200)
    150
    """
    return math.ceil(start * epochs)


def rate_of(epoch: int, first: int, initial: float, final: float) -> float:
    """The learning rate of `epoch`, from 0, where nets are averaged from epoch `first`, from 1, on (timgaripov/swa).

    >>> [rate_of(epoch, 10, 0.5, 0.25) for epoch in (0, 5, 7, 9, 30)]
    [0.5, 0.5, 0.375, 0.25, 0.25]
    """
    time = Fraction(epoch, first)
    fallen = min(max((time - FLAT) / (LOW - FLAT), Fraction(0)), Fraction(1))
    return initial * float(1 - fallen) + final * float(fallen)


def too_short(params: Params, first: int, begin: int, end: int) -> Iterator[str]:
    """What to say of a training from epoch `begin` (done) to `end`, averaged from epoch `first`, from 1, on."""
    nets = end - max(first - 1, begin)
    if nets == 1 and params.start < 1:
        yield (
            f"swa: of {end - begin} epochs the last alone is averaged, a mean of one net; "
            f"an earlier tweaks.swa.start than {params.start}, or more epochs, average more"
        )
    if params.lr is not None and rate_of(end - 1, first, 1.0, 0.0) > 0:
        yield (
            f"swa: the rate does not come down to tweaks.swa.lr = {params.lr:g} in {end} epochs; "
            f"in {needed(params.start)} or more it does"
        )


def needed(start: Fraction) -> int:
    """The least number of epochs of a training whose last one has the rate `lr`.

    >>> needed(Fraction(3, 4)), needed(Fraction(1))
    (4, 10)
    """
    return next(n for n in count(1) if Fraction(n - 1, first_epoch(start, n)) >= LOW)
