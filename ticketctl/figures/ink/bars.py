"""Bars beside each other in each category, with whiskers, in one panel or several.

A row without a category is a level across its panel. What is 0 has a 0 where its bar would be: a layer of which nothing
is left is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import PAPER, Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 8
"""Categories of panels that stand side by side; where there are more, they stand below each other."""
WRITTEN = 12
"""Bars of a panel that have their values above them."""
SIGNS = 30
"""Of a category's name; its end says more than its beginning."""
WIDE, WIDEST = 7.2, 11.0
"""Inches."""
SMALLEST, LETTER = 5.0, 0.6
"""Points of the smallest letters, and how wide one is for its height."""
HATCHED = 0.05
"""Inches of a bar that is hatched."""
Row = dict[str, Cell]


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `bars`."""
    panels = {name: list(sheet.where(panel=name)) for name in sheet.values("panel")}
    categories = {name: _words(rows, "category") for name, rows in panels.items()}
    longest = max(map(len, categories.values()))
    stacked = longest > FEW
    grid = style.panels(figure, [*panels], most=1 if stacked else 2 if len(panels) in (2, 4) else 3)
    slots = {name: _slots(rows) for name, rows in panels.items()}
    wide = _sized(figure, len(grid), stacked, longest, max(slots.values()))
    legend: style.Legend = {}
    names = [*panels]
    for at, (name, axes) in enumerate(grid.items()):
        room = wide / max(1, len(categories[name]))
        _fill(sheet, axes, panels[name], room, slots[name], legend)
        below = names[at + 1] if stacked and at + 1 < len(names) else None
        last = below is None or categories[below] != categories[name]
        _labelled(axes, sheet, categories[name], room, last)
    return _keys(sheet, legend)


def _keys(sheet: Sheet, legend: style.Legend) -> style.Legend:
    """In the order of the rows; a paper's bars stand for their series where nothing else does."""
    from matplotlib.patches import Patch

    found: style.Legend = {}
    for name in sheet.values("series"):
        if name in legend:
            found.setdefault(name.removesuffix(PAPER), legend[name])
    if any(name.endswith(PAPER) for name in legend):
        found["open bars: the paper's"] = Patch(facecolor="white", edgecolor=style.GRAY)
    return found


def _places(sheet: Sheet, barred: Sequence[str]) -> dict[str, int]:
    """A paper's bars have the colour of the series that they belong to."""
    places = style.placed(list(dict.fromkeys(one.removesuffix(PAPER) for one in barred)), sheet.looks)
    return {name: places[name.removesuffix(PAPER)] for name in barred}


def _look(name: str, place: int) -> dict[str, Any]:
    if name.endswith(PAPER):
        return {"facecolor": "white", "hatch": "", "edgecolor": style.colour(place)}
    return style.fill(place)


def _words(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(str(row[name]) for row in rows if row[name] is not None))


def _slots(rows: Sequence[Row]) -> int:
    """The largest number of bars in one category."""
    counts = [sum(row["category"] == one for row in rows) for one in _words(rows, "category")]
    return max(counts, default=1)


def _sized(figure: Figure, panels: int, stacked: bool, categories: int, slots: int) -> float:
    """Set the size of the picture; the inches that a panel has across."""
    wide, tall = figure.get_size_inches()
    if stacked:
        wide = min(WIDEST, max(WIDE, 0.03 * categories * (slots + 0.6) + 0.8))
        tall = 1.0 + (1.75 * panels if panels > 1 else 2.8)
        figure.set_size_inches(wide, tall)
    across = 1 if stacked else 2 if panels in (2, 4) else min(3, panels)
    return float(wide / across - 0.75)


@dataclass(frozen=True)
class Bar:
    """One of them, at its place."""

    series: str
    x: float
    y: float
    low: float | None
    high: float | None


def _fill(
    sheet: Sheet, axes: Axes, rows: Sequence[Row], room: float, slots: int, legend: style.Legend
) -> None:
    """Draw a panel."""
    levels = [row for row in rows if row["category"] is None]
    across, barred = _kinds(sheet)
    levelled = style.placed(across, style.across(sheet.looks, across))
    places = _places(sheet, barred)
    for name, y in [(str(row["series"]), number(row["y"])) for row in levels]:
        if y is not None:
            legend.setdefault(name, axes.axhline(y, **style.level(levelled[name]), linewidth=1.1))
    bars = _placed(rows, slots)
    wide = 0.8 * room / slots
    points = _points(bars, wide)
    axes.margins(y=0.14 if points else 0.05)
    for name in barred:
        mine = [bar for bar in bars if bar.series == name]
        if mine:
            legend.setdefault(name, _bars(axes, mine, _look(name, places[name]), 0.8 / slots, room))
        for bar in mine:
            _said(axes, bar, points, style.colour(places[name]), wide, sheet.y.scale == "linear")


def _kinds(sheet: Sheet) -> tuple[list[str], list[str]]:
    """The series that are levels across, and those that have bars."""
    across = {str(row["series"]) for row in sheet.where() if row["category"] is None}
    series = sheet.values("series")
    return [one for one in series if one in across], [one for one in series if one not in across]


def number(cell: Cell) -> float | None:
    """A cell as a number, if it is one."""
    return float(cell) if isinstance(cell, int | float) else None


def _placed(rows: Sequence[Row], slots: int) -> list[Bar]:
    """Those of a category beside each other, about its middle; none for a cell without a value."""
    found = []
    for at, category in enumerate(_words(rows, "category")):
        mine = [row for row in rows if row["category"] == category]
        first = at - 0.4 * (len(mine) - 1) / slots
        for place, row in enumerate(mine):
            y, low, high = (number(row[name]) for name in ("y", "low", "high"))
            if y is not None:
                found.append(Bar(str(row["series"]), first + 0.8 * place / slots, y, low, high))
    return found


def _bars(axes: Axes, bars: Sequence[Bar], look: Mapping[str, Any], width: float, room: float) -> Any:
    wide = width * room
    look = {**look, "hatch": look["hatch"] if wide > HATCHED else "", "linewidth": min(0.8, 6 * wide)}
    drawn = axes.bar([bar.x for bar in bars], [bar.y for bar in bars], width, **look)
    ends = [(bar.x, bar.y, bar.low, bar.high) for bar in bars if bar.low is not None and bar.high is not None]
    if ends:
        x, y, low, high = np.array(ends).T
        axes.errorbar(
            x, y, yerr=[y - low, high - y], ecolor="#222222", elinewidth=0.8, capsize=min(2.5, 20 * wide),
            capthick=0.8, linestyle="",
        )  # fmt: skip
    return drawn


def _points(bars: Sequence[Bar], wide: float) -> float | None:
    """The size of the values above the bars; None where there are too many of them, or they would touch."""
    points = min(7.0, 72 * wide / (LETTER * max((len(_value(bar)) for bar in bars), default=1)))
    return points if points >= SMALLEST and len(bars) <= WRITTEN else None


def _value(bar: Bar) -> str:
    return f"{'−' if bar.y < 0 else ''}{abs(bar.y):.3g}"


def _said(axes: Axes, bar: Bar, points: float | None, colour: str, wide: float, linear: bool) -> None:
    """The value above its bar; a 0 on the ground wherever there is no bar."""
    look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
    if bar.y == 0:
        # the ground is 0; where the scale has no 0, its lower end
        ground: Any = "data" if linear else axes.get_xaxis_transform()
        axes.annotate(
            "0", (bar.x, 0), (0, 1.5), xycoords=ground, color=colour, fontweight="bold",
            fontsize=max(4.0, min(7.0, 72 * wide / LETTER)), **look,
        )  # fmt: skip
    elif points:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.3}
        top = max(bar.y, 0.0 if bar.high is None else bar.high)
        axes.annotate(_value(bar), (bar.x, top), (0, 2), bbox=box, zorder=3, fontsize=points, **look)


def _labelled(axes: Axes, sheet: Sheet, categories: Sequence[str], room: float, last: bool) -> None:
    """Names of the categories: upright if they do not fit otherwise, small if there are many, and then every other."""
    style.ruled(axes, sheet.x, sheet.y)
    axes.set_xlim(-0.55, len(categories) - 0.45)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    names = [_end(style.plain(one, 200)) for one in categories]
    step, size, turned = _letters(names, room)
    axes.set_xticks(
        range(0, len(names), step), names[::step] if last else [], fontsize=size, rotation=90 if turned else 0
    )
    if not last:
        axes.set_xlabel("")
    elif step > 1:
        axes.set_xlabel(f"{sheet.x.label}; one in {step} is named")


def _letters(names: Sequence[str], room: float) -> tuple[int, float, bool]:
    """Every how many-th is named, in letters of which size, and whether upright."""
    if max(map(len, names), default=1) * 8 * LETTER / 72 <= 0.95 * room:
        return 1, 8, False
    size = min(8.0, 72 * 0.9 * room)
    return max(1, math.ceil(SMALLEST / size - 1e-9)), max(SMALLEST, size), True


def _end(name: str) -> str:
    return name if len(name) <= SIGNS else f"…{name[1 - SIGNS :]}"
