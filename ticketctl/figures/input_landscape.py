"""The loss around test images: along the sign of the gradient, and along random signs.

Of nets that `ticketctl interpolate` looked at with the curve `input-plane`: the mean loss of the same images, moved
together, as contours with labelled levels, a panel each, and as surfaces (paper 001, Figure 8). To the right an image
goes where its loss rises most, an attack's first step. Losses above `ceiling` are drawn at it, at 8 as in the paper;
the CSV has both. Colours and heights mean the same loss in all panels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.figures.boards import boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.planes import Kind, check_ceiling, planes, top_of
from ticketctl.figures.sheet import Axis, NothingError, Sheet
from ticketctl.figures.shelf import Shelf

FACTS = {"from": "interpolations", "papers": "001 Fig 8"}
KIND = Kind(
    "input-landscape", "input-plane", "loss around test images",
    Axis("along the gradient's sign", "1/255"), Axis("along random signs", "1/255"), unit=255.0,
)  # fmt: skip
PANELS = 6


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    ceiling: float = 8.0
    """Losses above it are drawn at it; 0: the largest finite loss."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the measured ones."""

    def __post_init__(self) -> None:
        check_ceiling("input-landscape", self.ceiling)
        check_sparsities("input-landscape", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the contours and the surfaces; more of them, where nets are many.

    Raises:
        NothingError: nobody looked around images.
    """
    read = shelf.read("interpolate", "input-plane", array="input-plane/loss", dimensions=2)
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not found:
        raise NothingError(
            "no loss around images; run: "
            f"ticketctl interpolate {shelf.run} --recipe interpolate/input-landscape"
        )
    for board in found:
        mine = [other for other in found if (other.net, other.data) == (board.net, board.data)]
        top = top_of(KIND, mine, read, params.ceiling)
        yield planes(KIND, board, read, params.ceiling, top, "contour")
        yield planes(KIND, board, read, params.ceiling, top, "surface")
