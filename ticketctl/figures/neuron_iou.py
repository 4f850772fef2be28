"""How well formulas over concepts say where the units of a net fire: the distribution of their IoU.

Of audits with `compositional` (Mu and Andreas 2020; paper 004, Figure 7): for the dense net and for tickets at a few
sparsities the share of the units of one layer whose best formula has an IoU in each bin. Units that are dead, with an
IoU of 0, are counted in the first bin, and in the notes. Each line is one net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.figures.boards import Board, Entry, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Read, Shelf

FACTS = {"from": "audits", "papers": "004 Fig 7"}
LINES = 5


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    bins: int = 20
    """Of equal width, from 0 to the largest IoU, rounded up to 0.05."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the audited ones."""

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 100:
            raise UsageError(f"figures.neuron-iou.bins = {self.bins} must be from 2 to 100")
        check_sparsities("neuron-iou", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the dense net beside tickets; more sheets, where nets are many.

    Raises:
        NothingError: no audit looked for formulas.
    """
    read = shelf.read("audit", "compositional", array="compositional/iou")
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=LINES)
    if not found:
        raise NothingError(
            f"no formulas of units; run: ticketctl audit {shelf.place} --metrics compositional "
            "--set metrics.compositional.folder=DIR"
        )
    for board in found:
        yield _sheet(board, read, params.bins)


def _sheet(board: Board, read: Read, bins: int) -> Sheet:
    every = {entry: read.by_net[entry.net].arrays["compositional/iou"] for entry in board.entries}
    top = max(0.1, np.ceil(20 * max(float(one.max(initial=0.0)) for one in every.values())) / 20)
    rows: list[tuple[Cell, ...]] = []
    for entry, iou in every.items():
        counts, edges = np.histogram(iou.astype(np.float64), bins=bins, range=(0.0, top))
        rows += [
            ("", entry.label, float(low), float(high), 100 * int(count) / max(1, len(iou)), len(iou))
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ]
    row = read.row(board.entries[0].net, "compositional")
    said = row.protocol if row else {}
    units = "-".join(dict.fromkeys(str(one) for one in sorted({len(iou) for iou in every.values()})))
    dead = [int(found.sum()) for entry in board.entries if (found := _dead(read, entry)) is not None]
    said_dead = f"; dead, one net after the other: {', '.join(map(str, dead))}" if dead else ""
    layer = (
        (f"layer {said['layer']}; {said['images']} images, {said['concepts']} concepts",)
        if "layer" in said
        else ()
    )
    return Sheet(
        "neuron-iou", "histogram", f"{board.subject}: units by the IoU of their formulas",
        Axis("IoU", low=0.0, high=float(top)), Axis("share of units", "%"), tuple(rows), board.part,
        notes=(f"n = {units} units of each{said_dead}", *layer, *board.notes, *read.notes),
        sources=tuple(read.by_net[one.net].id for one in board.entries),
    )  # fmt: skip


def _dead(read: Read, entry: Entry) -> NDArray[Any] | None:
    return read.array(entry.net, "compositional/dead")
