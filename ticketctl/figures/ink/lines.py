"""Lines over an axis, with bands, in one panel or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS, SMOOTH = 16, 500
"""At most so many points of a line have marks, which tell lines apart where there are no colours; points of a function
that was computed everywhere, which has none."""
PAPER = "open marks: the paper's"
OPEN: dict[str, Any] = {"linestyle": "", "markerfacecolor": "none", "markersize": 6, "alpha": 0.65}
THIN: dict[str, Any] = {"linewidth": 0.7}
HALF = THIN | {"fillstyle": "left", "markerfacecoloralt": "white"}
"""Of what nobody judged: neither filled nor hollow, and the line thin."""
Row = dict[str, Cell]


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `lines`; lines across and upright ones have looks of their own."""
    names = sheet.values("series")
    across = {str(row["series"]) for row in sheet.where(role="reference")}
    places = {
        name: [one for one in names if (one in across) == (name in across)].index(name) for name in names
    }
    legend: style.Legend = {}
    rank: dict[str, int] = {}
    for panel, axes in style.panels(figure, sheet.values("panel") or [""]).items():
        rows = list(sheet.where(panel=panel))
        for name in names:
            for order, (roles, draw) in enumerate(_DRAWN.items()):
                mine = [row for row in rows if row["series"] == name and row["role"] in roles]
                drawn = draw(axes, mine, places[name]) if mine else None
                if drawn is not None and order < rank.get(name, len(_DRAWN)):
                    legend[name], rank[name] = drawn, order
        _worded(axes, rows)
        style.ruled(axes, sheet.x, sheet.y, numbers(rows, "x"))
        _whole(axes, sheet, rows)
    found = {name: legend[name] for name in names if name in legend}
    return found | ({PAPER: _key()} if "paper" in sheet.values("role") and PAPER not in found else {})


def _line(axes: Axes, rows: Sequence[Row], place: int) -> Any:
    look = style.stroke(place) | {"markevery": -(-len(rows) // MARKS)}
    if len(rows) > SMOOTH:
        look["marker"] = ""
    x, y, low, high = _columns(rows)
    if any(one is not None for one in low):
        lower, upper = (
            [value if end is None else end for value, end in zip(y, ends, strict=True)]
            for ends in (low, high)
        )
        axes.fill_between(x, lower, upper, color=look["color"], alpha=0.15, linewidth=0)
    roles = [str(row["role"]) for row in _ordered(rows)]
    if {*roles} == {"unjudged"}:
        return axes.plot(x, y, **look | HALF)[0]
    _otherwise(axes, x, y, roles, look)
    won = [value if role == "line" else math.nan for value, role in zip(y, roles, strict=True)]
    return axes.plot(x, won, **look)[0]


def _otherwise(
    axes: Axes, x: Sequence[Any], y: Sequence[Any], roles: Sequence[str], look: dict[str, Any]
) -> None:
    """Hollow marks where it is lost, and dashes to and from there; half filled ones where nobody judged."""
    for at, pair in enumerate(pairwise(roles)):
        if pair != ("line", "line"):
            dashes = {"linestyle": (0, (2, 2)), "linewidth": 1} if "lost" in pair else THIN
            axes.plot(x[at : at + 2], y[at : at + 2], color=look["color"], **dashes)
    for role, marks in {"lost": {"markerfacecolor": "white"}, "unjudged": HALF}.items():
        mine = [at for at, one in enumerate(roles) if one == role]
        if mine:
            axes.plot([x[at] for at in mine], [y[at] for at in mine], **look | marks | {"linestyle": ""})


def _chord(axes: Axes, rows: Sequence[Row], place: int) -> Any:
    x, y, _, _ = _columns(rows)
    return axes.plot(x, y, color=style.colour(place), linestyle=(0, (1, 1.5)), linewidth=0.9)[0]


def _reference(axes: Axes, rows: Sequence[Row], place: int) -> Any:
    _, y, low, high = _columns(rows)
    look = style.level(place)
    if low[0] is not None and high[0] is not None:
        axes.axhspan(low[0], high[0], color=look["color"], alpha=0.1, linewidth=0)
    return axes.axhline(y[0], **look, linewidth=1.1)


def _paper(axes: Axes, rows: Sequence[Row], place: int) -> Any:
    x, y, low, high = _columns(rows)
    look = style.stroke(place) | OPEN
    spread = [one for one in zip(x, low, high, strict=True) if None not in one]
    if spread:
        axes.vlines(*zip(*spread, strict=True), color=look["color"], linewidth=1, alpha=0.35)
    return axes.plot(x, y, **look)[0]


def _key() -> Any:
    """What stands for the paper's values in the legend, whatever their series."""
    from matplotlib.lines import Line2D

    return Line2D([], [], marker="o", color=style.GRAY, **OPEN)


def _mark(axes: Axes, rows: Sequence[Row], place: int) -> Any:
    turn = (2 * (place % 4), (2, 6))  # marks at one place are dashed in turn, so that each is seen
    drawn = [
        axes.axvline(one, color=style.colour(place), linestyle=turn, linewidth=1.3)
        for one in numbers(rows, "x")
    ]
    return drawn[0]


def _worded(axes: Axes, rows: Sequence[Row]) -> None:
    """The words of a further column `label`, above and right of their points."""
    for row in rows:
        if row.get("label") is not None:
            axes.annotate(
                style.plain(str(row["label"])), (row["x"], row["y"]), (5, 4), textcoords="offset points",
                fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip


POINTS = ("line", "lost", "unjudged")
_DRAWN = {
    ("reference",): _reference, POINTS: _line, ("chord",): _chord, ("paper",): _paper, ("mark",): _mark,
}  # fmt: skip


def _columns(rows: Sequence[Row]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    ordered = _ordered(rows)
    x, y, low, high = ([row[name] for row in ordered] for name in ("x", "y", "low", "high"))
    return x, y, low, high


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["x"] is not None, row["x"] or 0.0))


def _whole(axes: Axes, sheet: Sheet, rows: Sequence[Row]) -> None:
    """Whole ticks where all points of lines are at whole numbers: there is no epoch 2.5."""
    places = numbers([row for row in rows if row["role"] in POINTS], "x")
    if sheet.x.scale == "linear" and places and all(one.is_integer() for one in places):
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def numbers(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers of a column."""
    return [float(one) for row in rows if isinstance(one := row[name], int | float)]
