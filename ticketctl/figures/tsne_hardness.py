"""Where the images that a net is compressed to first, midway and last lie among each other: t-SNE of features.

Of probes with `compression-position` and an `embedding` (paper 000, Figure 5): the training images with the first 5 %
of Compression Positions, those around 40-45 % and the last 5 %, in the plane that t-SNE spread them over, each with
marks of its own; behind them for each class the ellipse of two standard deviations around its images, its number in
the middle. The title says what features they are of: the paper takes CLIP's, and without CLIP the net's own are taken,
in which classes lie apart because the net put them there. Directions and distances of t-SNE have no unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.figures.boards import Board, Entry, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Read, Shelf

FACTS = {"from": "probes", "papers": "000 Fig 5"}
MODULE = "compression-position"
PANELS = 4
WINDOWS = ("compressed first: 0-5 %", "40-45 %", "compressed last: 95-100 %")
"""Of Compression Position, as the embedding has them."""
DRAWN = 600
"""Points of a sheet at most, about: of more every second, third, ... of each window is drawn."""
CLASSES = 20
"""Up to so many have ellipses."""
OWN = "features of this net"
"""In a protocol."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the probed ones."""

    def __post_init__(self) -> None:
        check_sparsities("tsne-hardness", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set a panel for each net; more sheets, where nets are many.

    Raises:
        NothingError: no probe has an embedding.
    """
    read = shelf.read("probe", MODULE, array=f"{MODULE}/embedding.points")
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not found:
        raise NothingError(
            f"no embedding; run: ticketctl probe {shelf.run} --metrics {MODULE} "
            f"--set metrics.{MODULE}.embedding=features (of nets trained with --set keep.epochs=[...])"
        )
    for board in found:
        yield _sheet(board, read)


def _sheet(board: Board, read: Read) -> Sheet:
    inside = sum(int((_window(entry, read) >= 0).sum()) for entry in board.entries)
    step = -(-inside // DRAWN) or 1
    rows = [row for entry in board.entries for row in (*_ellipses(entry, read), *_points(entry, read, step))]
    row = read.row(board.entries[0].net, MODULE)
    of = str(row.protocol.get("embedding", "")) if row else ""
    head, _, how = of.partition(", ")
    spread = f"; {how}" if how else ""
    known = [len(read.by_net[one.net].arrays[f"{MODULE}/embedding.points"]) for one in board.entries]
    thin = f", one in {step} of which is drawn" if step > 1 else ""
    around = "ellipses: two standard deviations of a class around its mean"
    if not any(one[2] == "ellipse" for one in rows):
        around = f"no ellipses of more than {CLASSES} classes"
    notes = (
        f"n = {inside} training images in a window{thin}, of {sum(known)} that were spread{spread}", around,
        *board.notes, *read.notes,
    )  # fmt: skip
    return Sheet(
        "tsne-hardness", "scatter",
        f"{board.subject}: images by Compression Position, among {_features(head)}",
        Axis("t-SNE 1"), Axis("t-SNE 2"), tuple(rows), board.part, notes=notes,
        sources=tuple(read.by_net[one.net].id for one in board.entries),
    )  # fmt: skip


def _features(said: str) -> str:
    return "the net's own features" if said == OWN else f"features of {said}" if said else "features"


def _window(entry: Entry, read: Read) -> NDArray[Any]:
    return read.by_net[entry.net].arrays[f"{MODULE}/embedding.window"]


def _points(entry: Entry, read: Read, step: int) -> Iterator[tuple[Cell, ...]]:
    points, window = read.by_net[entry.net].arrays[f"{MODULE}/embedding.points"], _window(entry, read)
    for place, name in enumerate(WINDOWS):
        for x, y in points[window == place][::step]:
            yield entry.label, name, "point", float(x), float(y), None, None, None


def _ellipses(entry: Entry, read: Read) -> Iterator[tuple[Cell, ...]]:
    """Whole axes, and degrees; classes of too few images have none."""
    found = read.by_net[entry.net].arrays[f"{MODULE}/embedding.ellipses"]
    for name, one in enumerate(found) if len(found) <= CLASSES else ():
        if np.isfinite(one).all():
            x, y, long, short, angle = (float(number) for number in one)
            yield entry.label, str(name), "ellipse", x, y, 2 * long, 2 * short, math.degrees(angle)
