"""Losses over one or two directions, as landscapes of weights and of images show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.figures.boards import Board, Entry
from ticketctl.figures.sheet import Axis, Cell, Sheet, slug
from ticketctl.figures.shelf import Read

COLUMNS = ("panel", "x", "y", "z", "loss")
"""`z` is the loss as it is drawn, at most the ceiling; an infinite `loss` is left empty."""


@dataclass(frozen=True)
class Kind:
    """What a landscape is of."""

    figure: str
    module: str
    """The curve."""
    title: str
    x: Axis
    y: Axis
    """The second direction."""
    unit: float = 1.0
    """What a step of the grid is multiplied by for the axes."""


def check_ceiling(name: str, ceiling: float) -> None:
    """Of the key `ceiling` of a figure.

    Raises:
        UsageError: it is negative.
    """
    if not 0 <= ceiling < float("inf"):
        raise UsageError(f"figures.{name}.ceiling = {ceiling:g} is a loss, above 0; 0: none")


def planes(
    kind: Kind, board: Board, read: Read, ceiling: float, top: float, style: Literal["contour", "surface"]
) -> Sheet:
    """The losses of a board over two directions, a panel each.

    Args:
        kind: which figure.
        board: whose nets all have arrays [A, A] in `read`.
        read: reports.
        ceiling: losses beyond it are drawn at it; 0: at the largest finite one.
        top: of the colour scale.
        style: level lines over colours, or a surface in space.
    """
    rows, cut = [], 0
    for entry in board.entries:
        grid, loss = _arrays(kind, read, entry)
        drawn = np.minimum(np.where(np.isfinite(loss), loss, np.inf), top)
        cut += int((~(loss <= top)).sum())
        rows += [
            (entry.label, kind.unit * float(a), kind.unit * float(b), float(drawn[i, j]), _finite(loss[i, j]))
            for i, a in enumerate(grid)
            for j, b in enumerate(grid)
        ]
    scale = ("one colour scale for all panels",) if len(board.entries) > 1 else ()
    far = max((kind.unit * float(_arrays(kind, read, one)[0][-1]) for one in board.entries), default=0.0)
    sides = (f"to each side up to {far:.4g} [{kind.x.unit}]",) if style == "surface" else ()
    notes = (*_said(kind, board, read), *sides, *_cut(cut, top, ceiling), *scale)
    z = Axis("loss", "", low=0.0, high=top)
    return _sheet(kind, style, board, read, kind.y, tuple(rows), notes, z=z, columns=COLUMNS)


def lines(kind: Kind, board: Board, read: Read, ceiling: float) -> Sheet:
    """The losses of a board along one direction, a line each.

    Args:
        kind: which figure.
        board: whose nets all have arrays [A] in `read`.
        read: reports.
        ceiling: of the loss axis; 0: none.
    """
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        grid, loss = _arrays(kind, read, entry)
        rows += [
            ("", entry.label, "line", kind.unit * float(a), _finite(one), None, None, 1)
            for a, one in zip(grid, loss, strict=True)
        ]
    most = max((float(row[4]) for row in rows if isinstance(row[4], float)), default=0.0)
    high = ceiling if 0 < ceiling < most else None
    cut = (f"losses above {ceiling:g} are beyond the upper edge",) if high else ()
    notes = (*_said(kind, board, read), *cut)
    return _sheet(kind, "lines", board, read, Axis("loss", high=high), tuple(rows), notes)


def top_of(kind: Kind, boards: Sequence[Board], read: Read, ceiling: float) -> float:
    """The largest finite loss that is drawn of any of these nets, at most the ceiling."""
    every = [_arrays(kind, read, entry)[1] for board in boards for entry in board.entries]
    finite = np.concatenate([loss[np.isfinite(loss)] for loss in every])
    most = float(finite.max()) if len(finite) else 1.0
    return min(most, ceiling) if ceiling else most


def _arrays(kind: Kind, read: Read, entry: Entry) -> tuple[NDArray[Any], NDArray[Any]]:
    """Grid and losses of a net, which has them."""
    report = read.by_net[entry.net]
    return report.arrays[f"{kind.module}/grid"], report.arrays[f"{kind.module}/loss"]


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cut(count: int, top: float, ceiling: float) -> tuple[str, ...]:
    if not count:
        return ()
    why = "the ceiling" if ceiling == top else "the largest finite one"
    losses = "loss is" if count == 1 else "losses are"
    return (f"{count} {losses} above {top:.4g}, {why}, and drawn at it",)


def _said(kind: Kind, board: Board, read: Read) -> tuple[str, ...]:
    """The protocol, and which nets these are."""
    row = read.row(board.entries[0].net, kind.module) or next(iter(read.by_net[board.entries[0].net].metrics))
    said = row.protocol
    told = [f"mean loss of {said['images']} images of {said['set']}"] if "images" in said else []
    told += [f"{words} {said[key]}" for key, words in _WORDS.items() if key in said]
    told = [one.replace("pruned weights before", "directions pruned before") for one in told]
    return (*(["; ".join(told)] if told else []), *board.notes, *read.notes)


_WORDS = {
    "directions": "directions:",
    "pruned": "pruned weights",
    "epoch": "weights after epoch",
    "pixels": "pixels:",
    "batchnorm": "BatchNorm:",
}
"""Of a protocol's keys."""


def _sheet(
    kind: Kind,
    form: str,
    board: Board,
    read: Read,
    y: Axis,
    rows: tuple[tuple[Cell, ...], ...],
    notes: Sequence[str],
    **more: Any,
) -> Sheet:
    title = f"{board.subject}: {kind.title}"
    sources = tuple(read.by_net[one.net].id for one in board.entries)
    part = slug(f"{form} {board.part}")
    return Sheet(kind.figure, form, title, kind.x, y, rows, part, notes=tuple(notes), sources=sources, **more)
