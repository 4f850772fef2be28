"""The loss around a net, along random directions as long as its filters: lines, contours and surfaces.

Of nets that `ticketctl interpolate` looked around with the curve `plane` (Li et al. 2018): where it took one direction
a line each in one picture; where it took two, contours with labelled levels, a panel each, and the same once more as
surfaces. Nets that were looked at after earlier epochs too (`interpolate.epoch`) have a picture for each epoch, whose
title says it. Colours and heights mean the same loss in all panels, and in all pictures of a net and data set. Losses
above `ceiling` are drawn at it (paper 001, Figure 8, clamps at 8), infinite ones too; the CSV has both. Each panel is
one net: directions differ from seed to seed, so that a mean over nets would be of no landscape. Widths compare nets of
about equal loss, and in lengths of their own filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ticketctl.figures.alike import EPOCHS, Wanted
from ticketctl.figures.boards import Board, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.planes import Kind, check_ceiling, lines, planes, top_of
from ticketctl.figures.sheet import Axis, NothingError, Sheet
from ticketctl.figures.shelf import Read, Shelf

FACTS = {"from": "interpolations", "papers": "001 Fig 4; 002 Fig 6"}
KIND = Kind(
    "landscape", "plane", "loss around the net",
    Axis("first direction", "filter lengths"), Axis("second direction", "filter lengths"),
)  # fmt: skip
PANELS, LINES = 6, 8


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    ceiling: float = 8.0
    """Losses above it are drawn at it; 0: the largest finite loss."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the measured ones."""

    def __post_init__(self) -> None:
        check_ceiling("landscape", self.ceiling)
        check_sparsities("landscape", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the lines, the contours and the surfaces; more of them, where nets are many.

    Raises:
        NothingError: nobody looked around a net.
    """
    along, around = (_views(shelf, dimensions, params.sparsities) for dimensions in (1, 2))
    if not along and not around:
        raise NothingError(
            f"no loss around a net; run: ticketctl interpolate {shelf.run} --recipe interpolate/landscape"
        )
    for one in along:
        yield lines(one.kind, one.board, one.read, params.ceiling)
    for one in around:
        alike = [other for other in around if one.place == other.place]
        top = max(top_of(KIND, [other.board], other.read, params.ceiling) for other in alike)
        yield planes(one.kind, one.board, one.read, params.ceiling, top, "contour")
        yield planes(one.kind, one.board, one.read, params.ceiling, top, "surface")


@dataclass(frozen=True, eq=False)
class _View:
    """Nets that are shown together, all at one time of their trainings."""

    kind: Kind
    board: Board
    read: Read

    @property
    def place(self) -> tuple[str, str]:
        """Net and data set."""
        return self.board.net, self.board.data


def _views(shelf: Shelf, dimensions: int, wanted: Sequence[float]) -> list[_View]:
    """Of nets at their end, then after each earlier epoch."""
    most = PANELS if dimensions == 2 else LINES
    looked = partial(shelf.read, "interpolate", "plane", array="plane/loss", dimensions=dimensions)
    end, epochs = looked(), _epochs(shelf, dimensions)
    last = replace(KIND, title=f"{KIND.title} after the last epoch") if epochs else KIND
    views = [
        _View(last, one, end) for one in boards(shelf, end.by_net.__contains__, wanted=wanted, most=most)
    ]
    for epoch in epochs:
        read, said = looked(EPOCHS, epoch=epoch), f"after epoch {epoch}"
        kind = replace(KIND, title=f"{KIND.title} {said}")
        for one in boards(shelf, read.by_net.__contains__, wanted=wanted, most=most):
            views.append(_View(kind, replace(one, part=f"{one.part} {said}".strip()), read))
    return views


def _epochs(shelf: Shelf, dimensions: int) -> list[int]:
    """Before their last, after which nets were looked at, ascending."""
    wanted = Wanted("interpolate", "plane", "plane/loss", dimensions)
    reports = (one for net in shelf.nets for one in net.reports("interpolate", EPOCHS) if wanted.by(one))
    return sorted({epoch for one in reports if isinstance(epoch := one.recipe.get("epoch"), int)})
