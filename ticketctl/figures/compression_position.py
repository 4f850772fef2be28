"""Which training images a net under pruning holds on to first: mean Compression Positions, and how they spread.

Of probes with `compression-position` (paper 000, equations 10 and 11): an image of small CP is compressed early. Where
people's labels were at hand (`metrics.compression-position.human`), a heat map of the mean CP by class and hardness for
each net (Table 2): hardness is how many people did not see the true class. Otherwise one of the mean CP by class, a row
for each net. Beside it the distribution of CP over the images: where it is no flat line, images share a count of
epochs, and with it their CP. In gray print as in colours dark is early. Each net is one of its seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ticketctl.errors import UsageError
from ticketctl.figures.boards import Board, Entry, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Read, Shelf

FACTS = {"from": "probes", "papers": "000 Table 2"}
MODULE = "compression-position"
PANELS, CLASSES = 6, 100
COLUMNS = ("panel", "row", "column", "value", "n", "images")
"""Of the heat maps: `n` is empty, for each net is one; `images` are those behind a mean."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    bins: int = 20
    """Of the distribution, of equal width, from 0 to 1."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the probed ones."""

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 100:
            raise UsageError(f"figures.compression-position.bins = {self.bins} must be from 2 to 100")
        check_sparsities("compression-position", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the means, and the distribution; more sheets, where nets are many.

    Raises:
        NothingError: no probe has it.
    """
    read = shelf.read("probe", MODULE, array=f"{MODULE}/cp")
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not found:
        raise NothingError(
            f"no Compression Position; run: ticketctl probe {shelf.run} --metrics {MODULE} "
            "(of nets trained with --set keep.epochs=[...])"
        )
    for board in found:
        hard = [entry for entry in board.entries if f"{MODULE}/table" in read.by_net[entry.net].arrays]
        yield _means(replace(board, entries=tuple(hard)), read) if hard else _classes(board, read)
        yield _spread(board, read, params.bins)


def _means(board: Board, read: Read) -> Sheet:
    """Class by hardness, a panel for each net."""
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        arrays = read.by_net[entry.net].arrays
        table = arrays[f"{MODULE}/table"][:CLASSES]
        rows += [
            (entry.label, str(name), str(hard), _number(value), None, None)
            for name, line in enumerate(table)
            for hard, value in enumerate(line)
        ]
    return _map(board, read, rows, Axis("hardness"), Axis("class"))


def _classes(board: Board, read: Read) -> Sheet:
    """Classes, a row for each net."""
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        means = read.by_net[entry.net].arrays[f"{MODULE}/class"][:CLASSES]
        counts = {row.name: row.n for row in read.by_net[entry.net].metrics}
        rows += [
            ("", entry.label, str(name), _number(value), None, counts.get(f"{MODULE}.class-{name}"))
            for name, value in enumerate(means)
        ]
    return _map(board, read, rows, Axis("class"), Axis(""))


def _map(board: Board, read: Read, rows: list[tuple[Cell, ...]], x: Axis, y: Axis) -> Sheet:
    return Sheet(
        MODULE, "matrix", f"{board.subject}: mean Compression Position", x, y, tuple(rows),
        slug(f"means {board.part}"), COLUMNS, Axis("mean CP"), notes=(*_said(board, read), *board.notes, *read.notes),
        sources=_sources(board, read),
    )  # fmt: skip


def _spread(board: Board, read: Read, bins: int) -> Sheet:
    """The distribution, a panel for each net; of images of each hardness, where that is known."""
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        arrays = read.by_net[entry.net].arrays
        cp, hard = arrays[f"{MODULE}/cp"], arrays.get(f"{MODULE}/hardness")
        parts = {"all images": cp}
        if hard is not None:
            parts = {f"hardness {one}": cp[hard == one] for one in np.unique(hard)}
        for name, values in parts.items():
            counts, edges = np.histogram(values.astype(np.float64), bins=bins, range=(0.0, 1.0))
            rows += [
                (entry.label, name, float(low), float(high), 100 * int(count) / len(values), len(values))
                for low, high, count in zip(edges, edges[1:], counts, strict=False)
            ]
    return Sheet(
        MODULE, "histogram", f"{board.subject}: distribution of Compression Positions",
        Axis("CP: early to late", low=0.0, high=1.0), Axis("share of images", "%"), tuple(rows),
        slug(f"spread {board.part}"), notes=(*_said(board, read), *board.notes, *read.notes),
        sources=_sources(board, read),
    )  # fmt: skip


def _said(board: Board, read: Read) -> Iterator[str]:
    """Over which images and epochs; of nets that differ, each."""
    told: dict[str, list[str]] = {}
    for entry in board.entries:
        told.setdefault(_window(entry, read), []).append(entry.label)
    for words, labels in told.items():
        yield words if len(told) == 1 else f"{', '.join(labels)}: {words}"


def _window(entry: Entry, read: Read) -> str:
    images = len(read.by_net[entry.net].arrays[f"{MODULE}/cp"])
    row = read.row(entry.net, MODULE)
    said = row.protocol if row else {}
    window = said.get("window")
    epochs = (
        f", {said['epochs']} epochs from {window[0]} to {window[1]}" if window and "epochs" in said else ""
    )
    source = f"; by {said['source']}" if "source" in said else ""
    return f"n = {images} training images{epochs}{source}"


def _sources(board: Board, read: Read) -> tuple[str, ...]:
    return tuple(read.by_net[entry.net].id for entry in board.entries)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
