"""Points by series, and ellipses with a name at their middle, in one panel or several."""

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

NEAR = 0.08
"""Of a panel's side: how far the names of ellipses stand from each other."""
STEPS = (0.0, 0.25, -0.25, 0.5, -0.5)
"""From the middle of an ellipse, in parts of its long axis, where its name may stand."""
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
        _named(axes, around)
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


def _named(axes: Axes, rows: Sequence[Row]) -> None:
    """The name of each ellipse at its middle, or further along its long axis where another name stands there."""
    axes.autoscale_view()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    taken: list[tuple[float, float]] = []
    for row in rows:
        x, y, wide, _, angle = _shape(row)
        turn = math.radians(angle)
        spots = [(x + step * wide * math.cos(turn), y + step * wide * math.sin(turn)) for step in STEPS]
        free = [
            min((_far(one, other, right - left, top - bottom) for other in taken), default=1.0)
            for one in spots
        ]
        best = next((place for place, far in enumerate(free) if far > NEAR), free.index(max(free)))
        taken.append(spots[best])
        axes.annotate(
            style.plain(str(row["series"]), 12), spots[best], ha="center", va="center", fontsize=8, fontweight="bold",
            bbox={"boxstyle": "round,pad=0.12", "facecolor": (1, 1, 1, 0.8), "edgecolor": "none"},
        )  # fmt: skip


def _far(one: tuple[float, float], other: tuple[float, float], wide: float, tall: float) -> float:
    """In parts of the panel."""
    return math.hypot((one[0] - other[0]) / wide, (one[1] - other[1]) / tall)


def _shape(row: Row) -> list[float]:
    return [numbers([row], name)[0] for name in ("x", "y", "width", "height", "angle")]
