"""Shared by the draws whose mask needs no trained net: level 0 is left untrained, level 1 is the ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ticketctl.draws._ladder import density_of
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count
from ticketctl.masks.spread import scatter
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.state import State


@dataclass(frozen=True)
class Chosen:
    """A mask, and how it was chosen."""

    mask: Mask
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON for the record of the level."""
    scores: Mapping[str, Tensor] | None = None
    """What was ranked, float32 or float64 by layer; None where nothing was."""


def at_start(
    lab: Lab, target: Target, method: str, choose: Callable[[State, int], Chosen]
) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1, the mask of `choose`, trained from the point levels start from.

    `choose` is given that point and the exact count to keep, 1 to N.

    Raises:
        UsageError: no density was given, or it keeps nothing; `choose` may refuse others.
    """
    count = count_of(lab, target, method)
    start = lab.start_point()
    yield Level(lab.full(), start, None)
    chosen = choose(start, count)
    if chosen.mask.kept < len(lab.shapes):
        lab.note(f"{chosen.mask.kept:,} weights for {len(lab.shapes)} layers leave some layers empty")
    fit = lab.fit(start, chosen.mask, title=f"level 1, density {float(chosen.mask.density):.4g}")
    yield Level(chosen.mask, start, fit, notes=chosen.notes, scores=chosen.scores)


def at_start_cost(plan: Plan, method: str) -> Cost:
    """One training of the ticket, and before it one of the dense net to the rewind point, if there is one.

    Raises:
        UsageError: no density was given.
    """
    density_of(plan.target, method)
    return plan.from_start


def scattered(
    lab: Lab, target: Target, method: str, counts: Mapping[str, int], notes: Mapping[str, Any]
) -> Iterator[Level]:
    """`at_start` with so many weights of each layer, at random positions."""
    return at_start(
        lab,
        target,
        method,
        lambda _start, _count: Chosen(scatter(lab.shapes, counts, method, lab.seeds), notes),
    )


def count_of(lab: Lab, target: Target, method: str) -> int:
    """How many weights to keep, exactly.

    Raises:
        UsageError: no density was given, or it keeps nothing.
    """
    return kept_count(sum(shape.numel() for shape in lab.shapes.values()), density_of(target, method))


def dense_layers(lab: Lab, counts: Mapping[str, int]) -> list[str]:
    """The layers that keep all they have."""
    return [name for name, shape in lab.shapes.items() if counts[name] == shape.numel()]


def given_ticket(lab: Lab, method: str) -> Mask:
    """The mask of the ticket that the draw was given, its layers in the net's order.

    Raises:
        UsageError: none was given.
        ArtifactError: it is over other weights than the net's prunable ones (E_ARCH_MISMATCH).
    """
    mask = lab.inputs.get("ticket")
    if mask is None:
        raise UsageError(f"{method} starts from a ticket: name one with --set draw.ticket=PATH")
    for name in [*lab.shapes, *mask.keep]:
        here, there = lab.shapes.get(name), mask.shapes().get(name)
        if here != there:
            ours, theirs = (str(tuple(shape)) if shape else "not prunable" for shape in (here, there))
            raise ArtifactError(
                "E_ARCH_MISMATCH",
                f"{name!r} is {ours} here and {theirs} in the ticket: give one of this net, data and draw.prunable",
            )
    return Mask({name: mask.keep[name] for name in lab.shapes})
