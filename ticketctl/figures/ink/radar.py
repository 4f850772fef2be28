"""Shares of several nets on spokes from the worst in the middle to the best outside, and a table of the raw values."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, ROUND, LINE = 7.2, 3.3, 0.185
"""Inches: of the picture, of the chart's height, of a line of the table."""
HOLE = 0.25
"""How far from the middle the worst is drawn, in shares: lines that met in a point could not be told apart."""
POINTS = 7.8
"""Of the table's letters, where there is room; printed at nine tenths, they are 7."""
SIGNS = 28
"""Of a name in the table."""


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `radar`; the table below the chart is its legend."""
    series, names = sheet.values("series"), sheet.values("axis")
    cells = {(str(row["series"]), str(row["axis"])): row for row in sheet.where()}
    heads = [_wrapped(name.rstrip(" ↑↓"), 8) for name in names]  # arrows stand in the chart
    lines = len(series) + 0.75 * max(map(len, heads)) + 0.4
    figure.set_size_inches(WIDE, ROUND + LINE * lines)
    grid = figure.add_gridspec(2, 1, height_ratios=[ROUND, LINE * lines])
    places = style.placed(series, sheet.looks)
    _chart(figure.add_subplot(grid[0], projection="polar"), places, names, cells)
    _table(figure.add_subplot(grid[1]), places, heads, names, cells)
    return {}


def _chart(
    axes: Any, places: Mapping[str, int], names: list[str], cells: dict[tuple[str, str], dict[str, Cell]]
) -> None:
    angles = [2 * math.pi * at / len(names) for at in range(len(names))]
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1 + HOLE + 0.04)
    axes.set_yticks([HOLE, HOLE + 0.5, HOLE + 1], ["worst", "", "best"], fontsize=7, color=style.GRAY)
    axes.set_rlabel_position(math.degrees(angles[1]) / 2 if len(angles) > 1 else 0)
    axes.set_xticks(angles, [_label(name) for name in names], fontsize=8)
    axes.tick_params(axis="x", pad=6)
    for tick in axes.get_yticklabels():
        tick.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4})
        tick.set_zorder(5)
    axes.spines["polar"].set_visible(False)
    for tick, angle in zip(axes.get_xticklabels(), angles, strict=True):
        side = math.sin(angle)
        tick.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
    for name, place in places.items():
        shares = [cells[name, one]["share"] if (name, one) in cells else None for one in names]
        away = [math.nan if share is None else HOLE + float(share) for share in shares]
        axes.plot([*angles, angles[0]], [*away, away[0]], **style.stroke(place), linewidth=1.3, clip_on=False)


def _label(name: str) -> str:
    return "\n".join(_wrapped(name, 14))


def _wrapped(name: str, wide: int) -> list[str]:
    """In lines; an arrow stays with the word before it."""
    together = style.plain(name, 40).replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
    return textwrap.wrap(together, wide, break_long_words=False)


def _table(
    axes: Axes,
    places: Mapping[str, int],
    heads: list[list[str]],
    names: list[str],
    cells: dict[tuple[str, str], dict[str, Cell]],
) -> None:
    """A line for each net: what it looks like in the chart, its name, the raw values."""
    top = 0.75 * max(map(len, heads)) + 0.2
    axes.set_xlim(0, WIDE)
    axes.set_ylim(len(places) + top, 0)
    axes.axis("off")
    axes.set_xticks([])
    axes.set_yticks([])
    first = 0.42 + 0.0083 * POINTS * min(SIGNS, max(map(len, places))) + 0.1
    step = (WIDE - first - 0.05) / len(names)
    raws = {key: _raw(cell) for key, cell in cells.items()}
    points = min(POINTS, 72 * 0.97 * step / (0.64 * max(map(len, raws.values()))))
    longest = max(len(line) for head in heads for line in head)
    for at, head in enumerate(heads):
        axes.text(
            first + step * (at + 1),
            top - 0.3,
            "\n".join(head),
            ha="right",
            va="bottom",
            fontsize=min(POINTS, 72 * 0.97 * step / (0.62 * longest)),
        )
    axes.axhline(top - 0.15, color=style.GRAY, linewidth=0.6)
    for line, (name, place) in enumerate(places.items()):
        y = top + line + 0.4
        axes.plot([0.02, 0.2, 0.38], [y, y, y], **style.stroke(place), linewidth=1.3, markevery=[1])
        axes.text(0.45, y, style.plain(name, SIGNS), va="center", fontsize=POINTS)
        for at, one in enumerate(names):
            axes.text(
                first + step * (at + 1),
                y,
                raws.get((name, one), "–"),
                ha="right",
                va="center",
                fontsize=points,
            )


def _raw(cell: Mapping[str, Cell]) -> str:
    return "–" if cell["raw"] is None else f"{cell['raw']:.4g}"
