"""How all figures look: colours that the colour-blind tell apart, lines and marks that gray print tells apart."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from ticketctl.figures.sheet import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#882255")
"""Okabe and Ito (2008), the yellow left out for it vanishes on white paper, and a wine red (Tol)."""
DASHES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
LOOKS = len(COLOURS) * len(DASHES)
"""Lines that differ."""
HATCHES = ("", "//", "--", "\\\\", "xx", "||", "++", "////")
"""Straight lines alone, few and thin: dots are a hundred times as long in a file."""
GRAY, FAINT = "#555555", "#AAAAAA"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
"""Colour maps whose lightness rises, and falls to both sides."""
Legend = dict[str, Any]
"""What stands for a series in the legend, by its name."""
WIDTHS = {1: 7.2, 2: 6.8, 3: 8.4}
"""Inches of a picture by its panels in a row: on A4 paper no letter of an axis becomes smaller than 7 points."""
ROW, NOTE, HEAD = 0.172, 0.125, 0.185
"""Inches of a line of the legend, of notes, of the title."""
LABEL = 60
"""Signs of a name that are shown."""
MARGIN = 0.015
"""Of an axis whose ends are known, beyond each of them."""
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.5,
    "lines.markersize": 4, "figure.facecolor": "white", "savefig.facecolor": "white", "text.parse_math": False,
    "svg.fonttype": "none", "pdf.fonttype": 42, "axes.formatter.useoffset": False, "hatch.linewidth": 0.4,
    "legend.frameon": False, "axes.unicode_minus": True,
}  # fmt: skip
"""On top of matplotlib's own defaults: what a user has set elsewhere changes no byte."""


def plain(text: str, most: int = LABEL) -> str:
    """Words out of artifacts as they may be drawn: no control characters, no more than `most` signs."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in text)
    half = (most - 1) // 2  # names differ at their ends
    return shown if len(shown) <= most else f"{shown[: most - 1 - half]}…{shown[-half:]}"


def placed(names: Sequence[str], looks: Iterable[tuple[str, int]] = ()) -> dict[str, int]:
    """A place in the order of looks for each series: its own, or the first that is free.

    Args:
        names: of the series, in their order.
        looks: those that have a place of their own, as on every figure beside this one; no two of them alike.
    """
    own = {name: place for name, place in looks if name in names}
    taken = {place % LOOKS for place in own.values()}
    free = (place for place in count() if place not in taken)
    return {name: own[name] if name in own else next(free) for name in names}


def colour(place: int) -> str:
    """Of the series at that place."""
    return COLOURS[place % len(COLOURS)]


def stroke(place: int) -> dict[str, Any]:
    """Colour, dash and mark of the line at that place; the first `LOOKS` differ."""
    return {
        "color": colour(place),
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
        "marker": MARKS[place % len(MARKS)],
    }


def level(place: int) -> dict[str, Any]:
    """Colour and dash of the line across at that place: gray, so that it is none of a series."""
    dashes = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))
    return {
        "color": (GRAY, "#000000", "#888888")[place // len(dashes) % 3],
        "linestyle": dashes[place % len(dashes)],
    }


def turned(place: int) -> int:
    """Another number for each of those places that have the same colour."""
    return place + place // len(COLOURS)


def across(looks: Iterable[tuple[str, int]], names: Sequence[str]) -> list[tuple[str, int]]:
    """Places of lines across (`level`) of those of these names that have looks: one for each that shares a colour."""
    return [(name, place // len(COLOURS)) for name, place in looks if name in names]


def fill(place: int) -> dict[str, Any]:
    """Colour and hatch of the bars at that place."""
    return {"facecolor": colour(place), "hatch": HATCHES[turned(place) % len(HATCHES)], "edgecolor": "white"}


def panels(
    figure: Figure, names: Sequence[str], *, share: bool = False, most: int = 3, **more: Any
) -> dict[str, Axes]:
    """Axes side by side, one for each name, at most `most` in a row, titled where there are several.

    Args:
        figure: empty.
        names: of the panels; one at least.
        share: whether all have the same axes.
        most: panels of a row.
        more: for `Figure.subplots`.
    """
    across = 2 if len(names) == 4 and most > 2 else min(most, len(names))
    down = math.ceil(len(names) / across)
    figure.set_size_inches(WIDTHS[min(across, 3)], 3.7 if across == 1 else 2.5 * down + 0.5)
    grid = figure.subplots(down, across, squeeze=False, sharex=share, sharey=share, **more).ravel()
    for axes in grid[len(names) :]:
        axes.remove()
    found = dict(zip(names, grid[: len(names)], strict=True))
    for name, axes in found.items():
        if len(names) > 1 or name:
            titled(axes, name, figure.get_size_inches()[0] / across)
    return found


def titled(axes: Axes, name: str, wide: float, size: float = 9) -> None:
    """The name of a panel above it, in as many lines as it needs.

    Args:
        axes: of the panel.
        name: any words.
        wide: inches from this panel to the next.
        size: of its letters, in points.
    """
    lines = textwrap.wrap(plain(name, 2 * LABEL), int(wide * 108 / size))
    axes.set_title("\n".join(lines), loc="left", fontsize=size)


def ruled(axes: Axes, x: Axis, y: Axis, xs: Sequence[float] = ()) -> None:
    """Label and scale both axes.

    Args:
        axes: drawn on already.
        x: along the lower side.
        y: along the left one.
        xs: what is drawn, in the unit of `x`; needed where that is sparsity.
    """
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    if x.scale == "sparsity" and xs:
        _spread(axes, min(xs), max(xs))
    elif x.scale == "log":
        axes.set_xscale("log")
    if y.scale == "log":
        axes.set_yscale("log")
    if x.low is not None or x.high is not None:
        axes.set_xlim(*_ends(x))
    if y.low is not None or y.high is not None:
        axes.set_ylim(y.low, y.high)
    for along, scale in ((axes.xaxis, x.scale), (axes.yaxis, y.scale)):
        if scale == "log":
            _decades(along)


def _ends(x: Axis) -> tuple[float | None, float | None]:
    """Of the axis: a little beyond the first and the last value there can be, so that marks there are whole."""
    beyond = MARGIN * (x.high - x.low) if x.scale == "linear" and None not in (x.low, x.high) else 0.0  # type: ignore[operator]  # neither is None
    return tuple(end if end is None else end + way * beyond for end, way in ((x.low, -1), (x.high, 1)))  # type: ignore[return-value]  # two


def _decades(axis: Any) -> None:
    """Powers of ten as plain numbers, for nothing is set as a formula; others between them where there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    few = high < 300 * low
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    named = (2, 3, 5, 7) if high < 12 * low else (2, 5)
    between = named if few else tuple(range(2, 10)) if high < 1e4 * low else ()
    if few:  # as far from the axis as the powers of ten
        axis.set_tick_params(which="minor", length=3.5, width=0.8, pad=3.5)
    axis.set_minor_locator(LogLocator(subs=between) if between else NullLocator())
    axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}") if few else NullFormatter())


def outer(shown: Mapping[str, Axes], most: int = 3) -> None:
    """Words beside and below the outer panels alone, of panels that share their axes.

    Args:
        shown: as `panels` made them.
        most: panels of a row, as there.
    """
    across = min(most, len(shown))
    for place, axes in enumerate(shown.values()):
        lowest, first = place + across >= len(shown), place % across == 0
        axes.tick_params(labelbottom=lowest, labelleft=first)
        axes.set_xlabel(axes.get_xlabel() if lowest else "")
        axes.set_ylabel(axes.get_ylabel() if first else "")


def _spread(axes: Axes, low: float, high: float) -> None:
    """Sparsities as the logarithm of the density, with round ticks that leave each other room."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("function", functions=(_depth, _sparsity))
    shallow, deep = float(_depth(low)), float(_depth(high))
    gap = 0.04 * max(deep - shallow, 0.1)
    axes.set_xlim(float(_sparsity(shallow - gap)), float(_sparsity(deep + gap)))
    ticks = sparsity_ticks(low, high)
    axes.set_xticks(ticks, [f"{round(tick, 2):g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def sparsity_ticks(low: float, high: float) -> list[float]:
    """At most eight round sparsities in percent from `low` to `high`; both ends where there is none."""
    known = (0, 20, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99)
    far = max(float(_depth(high)) - float(_depth(low)), 0.1) / 8
    ticks: list[float] = []
    for tick in known:
        inside = low - 1e-9 <= tick <= high + 1e-9
        if inside and (not ticks or float(_depth(tick)) - float(_depth(ticks[-1])) >= far):
            ticks.append(tick)
    return ticks or [*dict.fromkeys((low, high))]


def _depth(percent: Any) -> Any:
    import numpy as np

    return -np.log10(np.maximum(1 - np.asarray(percent, dtype=float) / 100, 1e-9))


def _sparsity(depth: Any) -> Any:
    import numpy as np

    return 100 * (1 - 10.0 ** -np.asarray(depth, dtype=float))


def columns(wide: Sequence[float], room: float) -> int:
    """The largest number of columns in which things have room that are read row by row; one at least.

    Args:
        wide: of each thing, in their order; a column is as wide as its widest.
        room: for all columns together, in the same unit.
    """
    for across in range(len(wide), 1, -1):
        if sum(max(wide[first::across]) for first in range(across)) <= room:
            return across
    return 1


def dress(figure: Figure, legend: Legend, title: str, notes: Sequence[str]) -> None:
    """The title above; below everything the legend, in as many columns as fit, and the notes in small gray letters.

    The picture grows by what they need, so that nothing lies over anything.

    Args:
        figure: painted, in a constrained layout.
        legend: what is drawn by its name; for a single one no legend is needed.
        title: cut after three lines.
        notes: each cut after three lines.
    """
    wide, tall = figure.get_size_inches()
    head = textwrap.wrap(plain(title, 300), int(wide * 11.5))[:3]
    said = [line for note in notes for line in textwrap.wrap(plain(note, 400), int(wide * 16.5))[:3]]
    names = [plain(name) for name in legend] if len(legend) > 1 else []
    across = columns([0.068 * len(name) + 0.6 for name in names], wide - 0.2)
    below = NOTE * len(said) + 0.06
    keys = ROW * math.ceil(len(names) / across) + 0.08 * bool(names)
    above = HEAD * len(head) + 0.1
    whole = tall + below + keys + above
    figure.set_size_inches(wide, whole)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, (below + keys) / whole, 1, tall / whole))
    figure.text(0.08 / wide, 1 - 0.06 / whole, "\n".join(head), va="top", fontsize=10, fontweight="bold")
    figure.text(
        0.08 / wide, 0.05 / whole, "\n".join(said), va="bottom", fontsize=7, color=GRAY, linespacing=1.25
    )
    if names:
        order = [at for first in range(across) for at in range(first, len(names), across)]
        keyed = [*legend.values()]
        figure.legend(
            [keyed[at] for at in order], [names[at] for at in order], loc="lower left",
            bbox_to_anchor=(0.04 / wide, below / whole),
            ncols=across, borderaxespad=0, borderpad=0.2, columnspacing=1.2, handlelength=2.4,
        )  # fmt: skip
