"""Overlap of masks: intersection over union of what tickets keep, or of the levels of one ticket.

IoU(a, b) = |a and b| / |a or b| over all prunable weights; 1 is the same mask. Two independent random masks of
density d have d / (2 - d) on average, which a note tells. Tickets of one net over one data set whose masks have the
same layers of the same shapes are compared at one sparsity each; where there is a single ticket, its levels are.
Masks of different nets have no weights in common and are never compared.

Choices: IoU and no Hamming distance, which at high sparsity is small for any two masks. A ticket that has no level of
comparable density, 15 % apart at most, is left out and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ticketctl.figures.ladders import (
    alike,
    check_sparsity,
    chosen,
    density,
    named,
    not_among,
    numbered,
    pruned,
    short,
)
from ticketctl.figures.rows import percent, split
from ticketctl.figures.sheet import Axis, NothingError, Sheet
from ticketctl.figures.shelf import Drawn, Keep, Shelf

FACTS = {"from": "tickets", "papers": ""}
MOST = 30
"""Masks of a sheet."""


@dataclass(frozen=True)
class Params:
    """Which masks are compared."""

    sparsity: float | None = None
    """Of several tickets the levels nearest to it, in percent; nothing: the largest that most come near."""

    def __post_init__(self) -> None:
        check_sparsity("mask-iou", self.sparsity)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many tickets.

    Raises:
        NothingError: there are no two masks to compare.
    """
    groups = [one for one in alike(shelf) if len(one[2]) > 1 or len(pruned(one[2][0])) > 1]
    found = [(part, title, tickets, _subjects(tickets, params.sparsity)) for part, title, tickets in groups]
    if not any(len(subjects) > 1 for *_, subjects in found):
        raise NothingError(
            "no two masks of one net at a comparable sparsity; run: ticketctl draw --method imp --rounds 4"
        )
    for part, title, tickets, subjects in found:
        if len(subjects) > 1:
            several = split([*subjects], MOST)
            for at, names in enumerate(several):
                mine = {name: subjects[name] for name in names}
                sheet = _sheet(numbered(part, at, len(several)), title, tickets, mine)
                left = not_among(tickets, [ticket for ticket, _ in subjects.values()])
                yield replace(sheet, notes=(*sheet.notes, *left))


def _subjects(tickets: Sequence[Drawn], sparsity: float | None) -> dict[str, tuple[Drawn, int]]:
    """What is compared, by its name: tickets at one level each, or all levels of one."""
    if len(tickets) == 1:
        (ticket,) = tickets
        return {percent(density(ticket, level)): (ticket, level) for level in pruned(ticket)}
    levels = chosen(tickets, sparsity)
    return {name: (ticket, levels[ticket]) for ticket, name in named([*levels]).items()}


def _sheet(part: str, title: str, tickets: Sequence[Drawn], masks: Mapping[str, tuple[Drawn, int]]) -> Sheet:
    names, found = [*masks], overlaps([ticket.keep(level) for ticket, level in masks.values()])
    cells = [(at, to) for at in range(len(names)) for to in range(at + 1)]
    rows = tuple(("", names[at], names[to], float(found[at, to]), None) for at, to in cells)
    known = [density(ticket, level) for ticket, level in masks.values()]
    alone = len(tickets) == 1
    what = f"the levels of {short(tickets[0])}" if alone else f"tickets at {_range(known)}"
    side = Axis("sparsity" if alone else "")
    return Sheet(
        "mask-iou", "matrix", f"{title}: overlap of the masks of {what}", side, side, rows, part,
        z=Axis("intersection over union", low=0.0, high=1.0), notes=_notes(known, alone),
        sources=tuple(dict.fromkeys(one.id for one, _ in masks.values())),
    )  # fmt: skip


def _range(densities: Sequence[float]) -> str:
    ends = dict.fromkeys(percent(one) for one in (max(densities), min(densities)))
    return " to ".join(ends) + " sparsity"


def _notes(densities: Sequence[float], alone: bool) -> tuple[str, ...]:
    if alone:
        return (
            "over all prunable weights; of nested masks: those of the sparser / those of the denser; one half is shown",
            f"n = {len(densities)} levels",
        )
    chance = dict.fromkeys(f"{one / (2 - one):.2g}" for one in (max(densities), min(densities)))
    return (
        f"over all prunable weights; independent random masks would have {' to '.join(chance)}; one half is shown",
        f"n = {len(densities)} tickets",
    )


def overlaps(masks: Sequence[Keep]) -> NDArray[np.float64]:
    """Intersection over union of every two masks: [M, M] in [0, 1].

    Args:
        masks: of the same layers; each keeps something.
    """
    bits = [_packed(mask) for mask in masks]
    counts = [int(np.bitwise_count(one).sum()) for one in bits]
    found = np.ones((len(bits), len(bits)))
    for at, one in enumerate(bits):
        for to in range(at):
            both = int(np.bitwise_count(one & bits[to]).sum())
            found[at, to] = found[to, at] = both / (counts[at] + counts[to] - both)
    return found


def _packed(mask: Keep) -> NDArray[np.uint64]:
    """All weights as bits, 64 in a number."""
    bits = np.packbits(np.concatenate([mask[name].ravel() for name in sorted(mask)]))
    return np.pad(bits, (0, -len(bits) % 8)).view(np.uint64)
