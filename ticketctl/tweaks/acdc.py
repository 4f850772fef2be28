"""Alternate between all weights and the largest of them, in one training (AC/DC).

Compressed phases hold the largest |w| over all prunable weights together, as many as the ticket keeps; decompressed
ones train everything, what was pruned starting at 0 and all momentum with it. Peste et al. 2021. Its CIFAR-100
training of 200 epochs (IST-DASLab/ACDC) compresses after 10, 50, 90, 130 and 170 of them and decompresses after 30,
70, 110 and 150; the keys are these numbers as shares of the training.

Choices: the ticket gives the start and the density, and its mask goes: the warm-up is dense, with the weights outside
the mask at 0, not at their initialisation. A training that begins later, at a rewind point inside a compressed phase,
begins under the ticket's mask. Phases begin at whole epochs, halves rounded up, the last at least one epoch before
the end; of those that begin together the later one counts, so short trainings have fewer, which is told (20 epochs have
all five compressed ones of the defaults); without a dense phase, or begun in the last one, there is nothing to
alternate, which is refused. The momentum of the weights that stay is kept at a compression. No net of the way is a
candidate for the best epoch, for its mask is not the final one. Distances are measured from the ticket's weights under
its mask, with zeros elsewhere: there the training begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.masks.select import round_half_up
from ticketctl.recipe import Rational
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._phases import Kinds, Phases

FACTS = {"changes": "mask", "cost": "none, if masked steps cost what dense ones do"}
EXCLUDES = {
    "dsd": "each has its own alternation of dense and sparse phases",
    "pools": "its mask is not the ladder's, and the levels beside it hold other weights",
    "swa": "it averages nets of one mask",
    "ema": "it averages nets of one mask",
}

LEAST = Fraction(1, 1000)
"""A phase of less than this is none."""


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.acdc]`, all shares of the training."""

    warmup: Rational = Fraction(1, 20)
    """First dense phase."""
    compress: Rational = Fraction(1, 10)
    """Length of a compressed phase."""
    decompress: Rational = Fraction(1, 10)
    """Length of a decompressed phase."""
    final: Rational = Fraction(17, 20)
    """Where the last compressed phase begins, which lasts to the end."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook that moves the mask.

    Raises:
        UsageError: a share is out of its range, or the dense net is spent.
    """
    for key in ("compress", "decompress"):
        share = getattr(params, key)
        if not LEAST <= share <= 1:
            raise UsageError(f"tweaks.acdc.{key} = {share}; a phase takes 1/1000 to all of the training")
    if not 0 <= params.warmup <= params.final < 1:
        raise UsageError(
            f"tweaks.acdc.warmup = {params.warmup} and tweaks.acdc.final = {params.final}; the last compressed phase "
            "begins after the warm-up and before the end, 0 <= warmup <= final < 1"
        )
    _check_length(params, kit.bench.train.epochs)
    _check_begun(params, kit.begun // kit.bench.feed.steps_per_epoch, kit.bench.train.epochs)
    return Acdc(kit, params)


def _check_begun(params: Params, begun: int, epochs: int) -> None:
    if begun >= max(phases_of(params, epochs)):
        raise UsageError(
            f"acdc: the training begins after epoch {begun} of {epochs}, in the last compressed phase, and its mask "
            "would never move; spend with spend.schedule=restart, or without acdc"
        )


def _check_length(params: Params, epochs: int) -> None:
    if len(phases_of(params, epochs)) > 1:
        return
    right = f"train.epochs = {enough(params)} or more has them all"
    if len(phases_of(params, enough(params))) < 2:
        right = "give a larger tweaks.acdc.warmup or tweaks.acdc.final"
    raise UsageError(
        f"acdc: with tweaks.acdc.warmup = {params.warmup} and tweaks.acdc.final = {params.final} a training of "
        f"train.epochs = {epochs} has no dense phase beside its compressed one; {right}"
    )


class Acdc(Phases):
    """Compresses by magnitude, decompresses with fresh momentum."""

    def __init__(self, kit: Kit, params: Params) -> None:
        super().__init__(kit, "acdc", "magnitude", forget=False)
        self.params = params

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {
            "tweak": "acdc",
            "kept": self.ticket.kept,
            **{field.name: str(getattr(self.params, field.name)) for field in fields(Params)},
        }

    def phases(self, epochs: int) -> Kinds:
        """As the base says."""
        return phases_of(self.params, epochs)

    def start(self, loop: Course) -> None:
        """As the base says; tells of phases that have no room."""
        epochs = loop.total // loop.steps_per_epoch
        phases = self.phases(epochs)
        if loop.end > loop.start.step:
            has, wanted = compressed(phases), compressed(phases_of(self.params, enough(self.params)))
            if has < wanted:
                loop.remark(
                    f"acdc: of {wanted} compressed phases {epochs} epochs have room for {has}; "
                    f"{enough(self.params)} or more have room for all"
                )
        super().start(loop)


def phases_of(params: Params, epochs: int) -> Kinds:
    """When phases begin in a training of `epochs`, and whether each is dense.

    >>> [epoch for epoch, dense in phases_of(Params(), 200).items() if not dense]
    [10, 50, 90, 130, 170]
    >>> phases_of(Params(), 2)
    {0: True, 1: False}
    """
    found: Kinds = {}
    for share, dense in _marks(params):
        found[min(round_half_up(share * epochs), epochs - 1)] = dense
    begins = sorted(found)
    return {
        b: found[b]
        for a, b in zip([None, *begins], begins, strict=False)
        if a is None or found[a] != found[b]
    }


def compressed(phases: Kinds) -> int:
    """How many phases are not dense."""
    return sum(not dense for dense in phases.values())


def enough(params: Params) -> int:
    """Epochs in which no two phases begin together, whose least distance is then an epoch or more.

    >>> enough(Params())
    20
    """
    marks = sorted({share for share, _ in _marks(params)} | {Fraction(1)})
    return math.ceil(1 / min(after - before for before, after in pairwise(marks)))


def _marks(params: Params) -> Iterator[tuple[Fraction, bool]]:
    yield Fraction(0), True
    time, dense = params.warmup, False
    while time < params.final:
        yield time, dense
        time += params.decompress if dense else params.compress
        dense = not dense
    yield params.final, False
