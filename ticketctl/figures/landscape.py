"""The loss around a net, along random directions as long as its filters: lines, contours and surfaces.

Of nets that `ticketctl interpolate` looked around with the curve `plane` (Li et al. 2018): where it took one direction
a line each in one picture; where it took two, contours with labelled levels, a panel each, and the same once more as
surfaces. Colours and heights mean the same loss in all panels, and in all pictures of a net and data set. Losses above
`ceiling` are drawn at it (paper 001, Figure 8, clamps at 8), infinite ones too; the CSV has both. Each panel is one
net: directions differ from seed to seed, so that a mean over nets would be of no landscape. Widths compare nets of
about equal loss, and in lengths of their own filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.figures.boards import boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.planes import Kind, check_ceiling, lines, planes, top_of
from ticketctl.figures.sheet import Axis, NothingError, Sheet
from ticketctl.figures.shelf import Shelf

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
    one, two = (shelf.read("interpolate", "plane", array="plane/loss", dimensions=d) for d in (1, 2))
    along = boards(shelf, one.by_net.__contains__, wanted=params.sparsities, most=LINES)
    around = boards(shelf, two.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not along and not around:
        raise NothingError(
            f"no loss around a net; run: ticketctl interpolate {shelf.run} --recipe interpolate/landscape"
        )
    for board in along:
        yield lines(KIND, board, one, params.ceiling)
    for board in around:
        mine = [other for other in around if (other.net, other.data) == (board.net, board.data)]
        top = top_of(KIND, mine, two, params.ceiling)
        yield planes(KIND, board, two, params.ceiling, top, "contour")
        yield planes(KIND, board, two, params.ceiling, top, "surface")
