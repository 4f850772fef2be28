"""Lines over an axis, with bands, in one panel or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.ink.apart import Point, aside, hidden
from ticketctl.figures.sheet import Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS, SMOOTH = 16, 500
"""At most so many points of a line have marks, which tell lines apart where there are no colours; points of a function
that was computed everywhere, which has none."""
PAPER, BESIDE = "open marks: the paper's", ", side by side"
"""In the legend; the latter where they stand beside their places, so that all are seen."""
OPEN: dict[str, Any] = {"linestyle": "", "markerfacecolor": "none", "markersize": 6, "alpha": 0.65}
THIN: dict[str, Any] = {"linewidth": 0.7}
HALF = THIN | {"fillstyle": "left", "markerfacecoloralt": "white"}
"""Of what nobody judged: neither filled nor hollow, and the line thin."""
UNDER: tuple[dict[str, Any], ...] = (
    {},
    {"linewidth": 2.8, "markersize": 6.5},
    {"linewidth": 4.2, "markersize": 9},
)
"""A line that lies under no later one, under one, under more: it is seen on both sides of what lies above it."""
Row = dict[str, Cell]


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `lines`; lines across and upright ones have looks of their own."""
    names = sheet.values("series")
    across = {str(row["series"]) for row in sheet.where(role="reference")}
    places = style.placed([one for one in names if one not in across], sheet.looks)
    levels = [one for one in names if one in across]
    places |= style.placed(levels, style.across(sheet.looks, levels))
    legend: style.Legend = {}
    rank: dict[str, int] = {}
    panels = style.panels(figure, sheet.values("panel") or [""])
    apart = _apart(sheet, [*panels], names)
    for panel, axes in panels.items():
        rows = list(sheet.where(panel=panel))
        for name in names:
            for order, (roles, draw) in enumerate((_DRAWN | apart[panel, name]).items()):
                mine = [row for row in rows if row["series"] == name and row["role"] in roles]
                drawn = draw(axes, mine, places[name]) if mine else None
                if drawn is not None and order < rank.get(name, len(_DRAWN)):
                    legend[name], rank[name] = drawn, order
        _worded(axes, rows)
        style.ruled(axes, sheet.x, sheet.y, numbers(rows, "x"))
        _whole(axes, sheet, rows)
    found = {name: legend[name] for name in names if name in legend}
    return found | _paper_key(apart, found) if "paper" in sheet.values("role") else found


Drawers = dict[tuple[str, ...], Callable[..., Any]]


def _apart(sheet: Sheet, panels: Sequence[str], names: Sequence[str]) -> dict[tuple[str, str], Drawers]:
    """By panel and series, what draws lines and the paper's marks so that none hides another; as wide in all panels."""
    under = [hidden(_points(sheet, panel, names, POINTS)) for panel in panels]
    width = {name: UNDER[min(max(one[name] for one in under), len(UNDER) - 1)] for name in names}
    found: dict[tuple[str, str], Drawers] = {}
    for panel in panels:
        marks = _points(sheet, panel, names, ("paper",))
        beside = aside({name: points for name, points in marks.items() if points})
        for name in names:
            drawn = {POINTS: partial(_line, under=width[name])}
            found[panel, name] = drawn | {("paper",): partial(_paper, beside=beside.get(name, 0.0))}
    return found


def _points(sheet: Sheet, panel: str, names: Sequence[str], roles: Sequence[str]) -> dict[str, list[Point]]:
    """Those of each series where they are drawn: on a scale that is even."""
    found: dict[str, list[Point]] = {name: [] for name in names}
    for row in sheet.where(panel=panel):
        x, y = _even(row["x"], sheet.x.scale), _even(row["y"], sheet.y.scale)
        if row["role"] in roles and x is not None and y is not None:
            found[str(row["series"])].append((x, y))
    return found


def _even(value: Cell, scale: str) -> float | None:
    """A number where its scale puts it; None where it has no place."""
    if not isinstance(value, int | float):
        return None
    rest = {"log": value, "sparsity": 1 - value / 100}.get(scale)
    return float(value) if rest is None else math.log10(rest) if rest > 0 else None


def _line(axes: Axes, rows: Sequence[Row], place: int, under: dict[str, Any]) -> Any:
    look = style.stroke(place) | under | {"markevery": -(-len(rows) // MARKS)}
    if len(rows) > SMOOTH:
        look["marker"] = ""
    x, y, low, high = _columns(rows)
    if len(rows) == 1 and None not in (*low, *high):  # a band has no width there
        ends = [[y[0] - low[0]], [high[0] - y[0]]]
        axes.errorbar(x, y, ends, fmt="none", ecolor=look["color"], elinewidth=1, capsize=3)
    elif any(one is not None for one in low):
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


def _paper(axes: Axes, rows: Sequence[Row], place: int, beside: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    x, y, low, high = _columns(rows)
    step = ScaledTranslation(beside / 72, 0, axes.get_figure().dpi_scale_trans)  # type: ignore[union-attr]  # it has one
    look = style.stroke(place) | OPEN | {"transform": axes.transData + step}
    spread = [one for one in zip(x, low, high, strict=True) if None not in one]
    if spread:
        thin = {"color": look["color"], "linewidth": 1, "alpha": 0.35, "transform": look["transform"]}
        axes.vlines(*zip(*spread, strict=True), **thin)
    drawn = axes.plot(x, y, **look)[0]
    # what is moved aside does not widen the axes by itself
    axes.update_datalim(
        [one for end in (y, low, high) for one in zip(x, end, strict=True) if None not in one]
    )
    axes.autoscale_view()
    return drawn


def _paper_key(apart: Mapping[tuple[str, str], Drawers], found: style.Legend) -> style.Legend:
    """What stands for the paper's values in the legend, whatever their series; nothing where a series is called so."""
    from matplotlib.lines import Line2D

    moved = any(drawers[("paper",)].keywords["beside"] for drawers in apart.values())  # type: ignore[attr-defined]  # a partial
    key = Line2D([], [], marker="o", color=style.GRAY, **OPEN)
    return {} if PAPER in found else {PAPER + BESIDE * moved: key}


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
_DRAWN: dict[tuple[str, ...], Callable[..., Any]] = {
    ("reference",): _reference, POINTS: _line, ("chord",): _chord, ("paper",): _paper, ("mark",): _mark,
}  # fmt: skip
"""In this order they stand for their series in the legend."""


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
