"""Reliability diagrams: accuracy against confidence, of the dense net and of tickets.

A panel each, its ECE above it: in each bin of confidence the share of test images that the net has right, at the mean
confidence of the bin, beside the diagonal on which a calibrated net lies; below, how many images are in each bin (Guo
et al. 2017, Figure 1; paper 004, section 4.2). Bins are those of the audit's `ece`, 15 of equal width unless it was
asked otherwise. Empty bins are left out. Each panel is one net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.figures.boards import Board, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Net, Read, Shelf

FACTS = {"from": "audits", "papers": "004 section 4.2"}
PANELS = 6


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the audited ones."""

    def __post_init__(self) -> None:
        check_sparsities("reliability", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the dense net beside tickets; more sheets, where nets are many.

    Raises:
        NothingError: no audit has an ECE with its bins.
    """
    read = shelf.read("audit", "ece", array="ece/bin.count")
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not found:
        raise NothingError(f"no audit with ece; run: ticketctl audit {shelf.place} --metrics ece")
    for board in found:
        yield _sheet(board, read)


def _sheet(board: Board, read: Read) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        rows += _bins(f"{entry.label}: ECE {_ece(read, entry.net)}", read, entry.net)
    counts = sorted({int(read.by_net[entry.net].arrays["ece/bin.count"].sum()) for entry in board.entries})
    images = "-".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    notes = (f"n = {images} test images; below, how many of them are in each bin", *board.notes)
    return Sheet(
        "reliability", "reliability", f"{board.subject}: accuracy against confidence",
        Axis("confidence", "%", low=0.0, high=100.0), Axis("accuracy", "%", low=0.0, high=100.0), tuple(rows),
        board.part, notes=(*notes, *read.notes), sources=tuple(read.by_net[one.net].id for one in board.entries),
    )  # fmt: skip


def _ece(read: Read, net: Net) -> str:
    row = read.row(net, "ece")
    if row is None or row.value is None:
        return "not known"
    return (
        f"{100 * row.value:.2f} %"
        if row.error is None
        else f"{100 * row.value:.2f} ± {100 * row.error:.2f} %"
    )


def _bins(panel: str, read: Read, net: Net) -> Iterator[tuple[Cell, ...]]:
    arrays = read.by_net[net].arrays
    count, confidence, accuracy = (arrays[f"ece/bin.{name}"] for name in ("count", "confidence", "accuracy"))
    for place, number in enumerate(count):
        if number:
            edges = (100 * place / len(count), 100 * (place + 1) / len(count))
            yield panel, *edges, 100 * float(confidence[place]), 100 * float(accuracy[place]), int(number)
