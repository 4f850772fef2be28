"""Points by series, and ellipses with a name beside each, in one panel or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.ink.lines import numbers
from ticketctl.figures.sheet import Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BESIDE = 0.035
"""Of a panel's sides: how far from an ellipse its name stands."""
Row = dict[str, Cell]
CROWDED = 300
"""Points of a panel from which on they are small. Each is a line of the file: some 600 of a sheet are 100 kB."""


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `scatter`; an ellipse's width and height are whole axes, its angle degrees."""
    points = [str(row["series"]) for row in sheet.where(role="point")]
    names = list(dict.fromkeys(points))
    legend: style.Legend = {}
    for panel, axes in style.panels(figure, sheet.values("panel") or [""]).items():
        axes.grid(False)
        rows = list(sheet.where(panel=panel))
        small = sum(row["role"] == "point" for row in rows) > CROWDED
        for place, name in enumerate(names):
            mine = [row for row in rows if row["series"] == name and row["role"] == "point"]
            if mine:
                legend.setdefault(name, _points(axes, mine, place, small))
        around = [row for row in rows if row["role"] == "ellipse"]
        for row in around:
            _ellipse(axes, row)
        style.ruled(axes, sheet.x, sheet.y)
        _named(axes, around, [row for row in rows if row["role"] == "point"])
    return {name: legend[name] for name in names if name in legend}


def _points(axes: Axes, rows: Sequence[Row], place: int, small: bool) -> Any:
    """A mark of its own for each series, every second one hollow."""
    x, y = (numbers(rows, name) for name in ("x", "y"))
    colour = style.colour(place)
    (drawn,) = axes.plot(
        x, y, linestyle="", marker=style.MARKS[place % len(style.MARKS)], color=colour,
        markerfacecolor="none" if place % 2 else colour, markersize=2.6 if small else 4.5, markeredgewidth=0.7,
    )  # fmt: skip
    return drawn


def _ellipse(axes: Axes, row: Row) -> None:
    from matplotlib.patches import Ellipse

    x, y, wide, tall, angle = _shape(row)
    look: dict[str, Any] = {"facecolor": "none", "edgecolor": style.GRAY, "linewidth": 0.8}
    axes.add_patch(Ellipse((x, y), wide, tall, angle=angle, **look))


def _named(axes: Axes, rows: Sequence[Row], points: Sequence[Row]) -> None:
    """The name of each ellipse above, below or beside it: where it is farthest from points and from other names."""
    axes.autoscale_view()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    wide, tall = right - left, top - bottom
    taken = list(zip(numbers(points, "x"), numbers(points, "y"), strict=True))
    for row in rows:
        spots = [
            (x, y)
            for x, y in _around(row, BESIDE * wide, BESIDE * tall)
            if abs(x - (left + right) / 2) < (0.5 - BESIDE) * wide
            and abs(y - (bottom + top) / 2) < (0.5 - BESIDE) * tall
        ] or [(numbers([row], "x")[0], numbers([row], "y")[0])]
        best = max(spots, key=lambda spot: min((_far(spot, one, wide, tall) for one in taken), default=1.0))
        taken.append(best)
        axes.annotate(
            style.plain(str(row["series"]), 12), best, ha="center", va="center", fontsize=8, fontweight="bold"
        )


def _around(row: Row, right: float, up: float) -> list[tuple[float, float]]:
    """Above an ellipse, below it, and at its sides."""
    x, y, wide, tall, angle = _shape(row)
    turn = math.radians(angle)
    aside = math.hypot(wide * math.cos(turn), tall * math.sin(turn)) / 2 + right
    above = math.hypot(wide * math.sin(turn), tall * math.cos(turn)) / 2 + up
    return [(x, y + above), (x, y - above), (x + aside, y), (x - aside, y)]


def _far(one: tuple[float, float], other: tuple[float, float], wide: float, tall: float) -> float:
    """In parts of the panel."""
    return math.hypot((one[0] - other[0]) / wide, (one[1] - other[1]) / tall)


def _shape(row: Row) -> list[float]:
    return [numbers([row], name)[0] for name in ("x", "y", "width", "height", "angle")]
