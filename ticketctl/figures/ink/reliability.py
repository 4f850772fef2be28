"""Accuracy against confidence in bins, with the diagonal, and below how many images are in each bin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Axis, Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Cell]
ACROSS = 3
"""Panels of a row, at most."""
LARGE, SMALL = 3, 1
"""Heights of the diagram, and of the counts below it."""


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `reliability`; a mark below the diagonal is a net too sure of itself."""
    legend: style.Legend = {}
    most = max((int(one) for one in sheet.column("n") if isinstance(one, int)), default=1)
    shown = _panels(figure, sheet.values("panel"))
    for at, (panel, (above, below)) in enumerate(shown.items()):
        rows = list(sheet.where(panel=panel))
        legend = _diagram(above, rows)
        _counts(below, rows)
        style.ruled(above, sheet.x, sheet.y)
        style.ruled(below, sheet.x, Axis("images", scale="log", low=0.7, high=1.5 * most))
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
        if at % ACROSS:
            above.set_ylabel("")
            below.set_ylabel("")
    return legend


def _panels(figure: Figure, names: Sequence[str]) -> dict[str, tuple[Axes, Axes]]:
    """Two axes, one above the other, for each name."""
    across = min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    figure.set_size_inches(5.0 if across == 1 else 2.8 * across, 5.0 if across == 1 else 3.3 * down)
    grid = figure.add_gridspec(down, across)
    found = {}
    for place, name in enumerate(names):
        inner = grid[place // across, place % across].subgridspec(2, 1, height_ratios=(LARGE, SMALL))
        above = figure.add_subplot(inner[0])
        style.titled(above, name, figure.get_size_inches()[0] / across - 0.35, 8)
        found[name] = (above, figure.add_subplot(inner[1], sharex=above))
    return found


def _numbers(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _diagram(axes: Axes, rows: Sequence[Row]) -> style.Legend:
    low, high = _numbers(rows, "low"), _numbers(rows, "high")
    wide = [after - before for before, after in zip(low, high, strict=True)]
    bars = axes.bar(
        low,
        _numbers(rows, "accuracy"),
        wide,
        align="edge",
        color=style.COLOURS[4],
        edgecolor="white",
        linewidth=0.8,
    )
    (even,) = axes.plot((0, 100), (0, 100), color=style.GRAY, linestyle="--", linewidth=1)
    (marks,) = axes.plot(
        _numbers(rows, "confidence"), _numbers(rows, "accuracy"), color="black", marker="o", markersize=3.5,
        linestyle="", clip_on=False, zorder=3,
    )  # fmt: skip
    return {"accuracy of a bin": bars, "at its mean confidence": marks, "calibrated": even}


def _counts(axes: Axes, rows: Sequence[Row]) -> None:
    counts = _numbers(rows, "n")
    low, high = _numbers(rows, "low"), _numbers(rows, "high")
    wide = [after - before for before, after in zip(low, high, strict=True)]
    axes.bar(low, counts, wide, align="edge", color=style.GRAY, edgecolor="white", linewidth=0.8)
