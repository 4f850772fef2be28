"""Shares over bins, as outlines that lie over each other, in one panel or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Cell]
HATCHES = ("//", "\\\\")
"""Straight lines alone: dots are a hundred times as long in a file."""
FILLED = len(HATCHES)
"""Up to so many series are filled: more would hide each other."""


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `histogram`; dashes and hatches tell series apart in gray print."""
    names = sheet.values("series")
    places = style.placed(names, sheet.looks)
    legend: style.Legend = {}
    shown = style.panels(figure, sheet.values("panel") or [""], share=True)
    for panel, axes in shown.items():
        rows = list(sheet.where(panel=panel))
        for at, name in enumerate(names):
            mine = [row for row in rows if row["series"] == name]
            if mine:
                legend.setdefault(
                    name, _outline(axes, mine, places[name], at if len(names) <= FILLED else None)
                )
        style.ruled(axes, sheet.x, sheet.y)
    if sheet.y.scale == "linear" and sheet.y.low is None:
        axes.set_ylim(bottom=0)  # all share it, and it grows no more from here on
    style.outer(shown)
    return {name: legend[name] for name in names if name in legend}


def _outline(axes: Axes, rows: Sequence[Row], place: int, hatch: int | None) -> Any:
    """Bins without a share are gaps, drawn as 0."""
    ordered = sorted(rows, key=lambda row: float(row["low"] or 0.0))
    shares: list[Any] = [row["share"] or 0.0 for row in ordered]
    edges: list[Any] = [*(row["low"] for row in ordered), ordered[-1]["high"]]
    colour = style.colour(place)
    if hatch is not None:
        axes.stairs(shares, edges, fill=True, linewidth=0, facecolor=(colour, 0.12))
        # a fill of its own: in SVG a hatch is as faint as the colour that it lies on
        lines: dict[str, Any] = {"facecolor": "none", "edgecolor": (colour, 0.55), "hatch": HATCHES[hatch]}
        axes.stairs(shares, edges, fill=True, linewidth=0, **lines)
    dash = style.DASHES[style.turned(place) % len(style.DASHES)]
    thick = 1.6 if place % len(style.COLOURS) < len(style.DASHES) else 0.8
    return axes.stairs(shares, edges, color=colour, linewidth=thick, linestyle=dash)
