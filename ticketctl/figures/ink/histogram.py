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
    legend: style.Legend = {}
    shown = style.panels(figure, sheet.values("panel") or [""], share=True)
    for panel, axes in shown.items():
        rows = list(sheet.where(panel=panel))
        for place, name in enumerate(names):
            mine = [row for row in rows if row["series"] == name]
            if mine:
                legend.setdefault(name, _outline(axes, mine, place, len(names) <= FILLED))
        style.ruled(axes, sheet.x, sheet.y)
    if sheet.y.scale == "linear" and sheet.y.low is None:
        axes.set_ylim(bottom=0)  # all share it, and it grows no more from here on
    style.outer(shown)
    return {name: legend[name] for name in names if name in legend}


def _outline(axes: Axes, rows: Sequence[Row], place: int, filled: bool) -> Any:
    """Bins without a share are gaps, drawn as 0."""
    ordered = sorted(rows, key=lambda row: float(row["low"] or 0.0))
    shares: list[Any] = [row["share"] or 0.0 for row in ordered]
    edges: list[Any] = [*(row["low"] for row in ordered), ordered[-1]["high"]]
    colour = style.colour(place)
    if filled:
        look: dict[str, Any] = {
            "facecolor": (colour, 0.12),
            "edgecolor": (colour, 0.55),
            "hatch": HATCHES[place],
        }
        axes.stairs(shares, edges, fill=True, linewidth=0, **look)
    dash = style.DASHES[place % len(style.DASHES)]
    return axes.stairs(
        shares, edges, color=colour, linewidth=1.6 if place < len(style.DASHES) else 0.8, linestyle=dash
    )
