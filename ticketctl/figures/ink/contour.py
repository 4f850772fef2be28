"""A quantity over a plane: colours, and lines of equal level with their numbers. One colour scale for all panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Grid = tuple[Floats, Floats, Floats]

LEVELS = 8
PIXELS = 200
"""Of the picture behind the lines, to each side."""
FINE, FEW = 26, 3
"""Points to each side that lines are drawn through at most, else files are large; of so few panels twice as many."""
EDGE, NEAR = 0.06, 0.12
"""Of a panel's side: how far numbers stand from its edges at least, and from each other."""
PALE = 0.55
"""Where the colours of the scale are so light that lines on them are dark."""


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `contour`; behind the lines lies a small picture, a colour for each band."""
    found = grids(sheet)
    levels = levels_of(sheet, found)
    axes = style.panels(figure, list(found), share=True)
    scale = scaled(levels)
    for panel, grid in found.items():
        _filled(axes[panel], grid, scale)
        _lined(axes[panel], grid, levels, FINE if len(found) > FEW else 2 * FINE)
        style.ruled(axes[panel], sheet.x, sheet.y)
        axes[panel].grid(False)
    style.outer(axes)
    barred(figure, scale, sheet, levels)
    return {}


def grids(sheet: Sheet) -> dict[str, Grid]:
    """Of each panel the places along x [A] and y [B] and what is there, [B, A]; NaN where nothing is."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for panel, *cells in zip(*(sheet.column(name) for name in ("panel", "x", "y", "z")), strict=True):
        found.setdefault(str(panel), []).append(
            tuple(float(one) if isinstance(one, int | float) else float("nan") for one in cells)
        )
    return {panel: _grid(np.array(rows)) for panel, rows in found.items()}


def _grid(rows: Floats) -> Grid:
    x, column = np.unique(rows[:, 0], return_inverse=True)
    y, row = np.unique(rows[:, 1], return_inverse=True)
    z = np.full((len(y), len(x)), np.nan)
    z[row, column] = rows[:, 2]
    return x, y, z


def levels_of(sheet: Sheet, found: Mapping[str, Grid]) -> list[float]:
    """A few round numbers over all that is drawn, in rising order."""
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([z[np.isfinite(z)] for _, _, z in found.values()])
    ends = (sheet.z.low, sheet.z.high) if sheet.z else (None, None)
    low = float(values.min()) if ends[0] is None else ends[0]
    high = float(values.max()) if ends[1] is None else ends[1]
    return [float(one) for one in MaxNLocator(LEVELS).tick_values(low, high if high > low else low + 1)]


def scaled(levels: Sequence[float]) -> ScalarMappable:
    """The colour of each band between two levels."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    return ScalarMappable(BoundaryNorm(levels, 256), colormaps[style.SEQUENTIAL])


def barred(figure: Figure, scale: ScalarMappable, sheet: Sheet, levels: Sequence[float]) -> None:
    """The scale of all panels at the right."""
    name = sheet.z.label if sheet.z else ""
    bar = figure.colorbar(
        scale, ax=figure.axes, label=style.plain(name), ticks=levels, fraction=0.05, pad=0.02
    )
    bar.ax.grid(False)


def finer(grid: Grid, count: int) -> Grid:
    """The same seen at `count` places to each side, from end to end, straight lines between what is known."""
    x, y, _ = grid
    return _seen(grid, np.linspace(x[0], x[-1], count), np.linspace(y[0], y[-1], count))


def _seen(grid: Grid, wide: Floats, tall: Floats) -> Grid:
    x, y, z = grid
    rows = np.stack([np.interp(wide, x, row) for row in z])
    return wide, tall, np.stack([np.interp(tall, y, column) for column in rows.T], axis=1)


def _middles(places: Floats) -> Floats:
    """The middles of the pixels over these places."""
    return np.asarray(places[0] + (places[-1] - places[0]) * (np.arange(PIXELS) + 0.5) / PIXELS)


def _filled(axes: Axes, grid: Grid, scale: ScalarMappable) -> None:
    x, y, _ = grid
    axes.imshow(
        scale.to_rgba(_seen(grid, _middles(x), _middles(y))[2], bytes=True), extent=(x[0], x[-1], y[0], y[-1]),
        origin="lower", aspect="auto", interpolation="none",
    )  # fmt: skip


def _lined(axes: Axes, grid: Grid, levels: Sequence[float], fine: int) -> None:
    """Lines and their numbers, light on dark bands and dark on light ones."""
    x, y, z = grid if max(grid[2].shape) <= fine else finer(grid, fine)
    shades = ["white" if place / (len(levels) - 1) < PALE else "black" for place in range(len(levels))]
    if min(z.shape) > 1 and np.nanmin(z) < np.nanmax(z):
        drawn: Any = axes.contour(x, y, z, levels=levels, colors=shades, linewidths=0.7)
        places = spots(drawn.allsegs, (x[0], x[-1]), (y[0], y[-1]))
        if places:
            axes.clabel(drawn, fontsize=6, fmt="%g", manual=places)


def spots(
    lines: Sequence[Sequence[Floats]], x: tuple[float, float], y: tuple[float, float]
) -> list[tuple[float, float]]:
    """Where the number of each level stands: on its line, as far as may be from those that stand already.

    Args:
        lines: of each level the pieces of its line, [n, 2].
        x: ends of the panel.
        y: the same upwards.
    """
    start, size = np.array([x[0], y[0]]), np.array([x[1] - x[0], y[1] - y[0]])
    taken: list[Floats] = []
    for pieces in lines:
        known = [(piece - start) / size for piece in pieces if len(piece)]
        points = np.concatenate(known) if known else np.empty((0, 2))
        points = points[((points > EDGE) & (points < 1 - EDGE)).all(axis=1)]
        if len(points):
            far = np.min([np.linalg.norm(points - one, axis=1) for one in taken or [np.zeros(2)]], axis=0)
            if far.max() > NEAR:
                taken.append(points[far.argmax()])
    return [(float(a), float(b)) for a, b in (start + size * one for one in taken)]
