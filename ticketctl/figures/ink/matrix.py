"""Numbers in a grid of coloured cells, each written in its cell where it can be read, in one panel or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Axis, Cell, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW, TALL, LOW = 0.62, 0.28, 0.34, 0.2
"""Inches of a cell: the widest, the narrowest, the tallest, the lowest."""
TALLER = 0.52
"""Of one with more lines than a value."""
PAGE = 8.0
"""Inches of all panels with their names: a little more is as wide as `style.WIDTHS` allows."""
LETTER = 0.064
"""Inches of a letter of a label."""
SMALLEST = 4.5
"""Points of the smallest numbers that are written."""
SIGNS = 56
"""Of a name beside a row."""
Row = dict[str, Cell]


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `matrix`: all panels in the colours of one scale, which is `sheet.z`.

    A scale from -a to a has no colour in its middle: differences. Where a sheet has columns `half` and `signs`, what
    stands there is written below each value, and signs also where there is none.
    """
    panels = sheet.values("panel") or [""]
    rows, columns = sheet.values("row"), sheet.values("column")
    scale = _scale(sheet)
    across = min(len(panels), 1 if len(columns) > 12 else 2 if len(columns) > 7 or len(panels) == 4 else 3)
    grid = style.panels(figure, panels, most=across)
    wide, tall = _sized(figure, rows, columns, len(panels), across, TALLER if _more(sheet) else TALL)
    mesh = None
    for at, (name, axes) in enumerate(grid.items()):
        cells = list(sheet.where(panel=name))
        mesh = _cells(axes, cells, rows, columns, scale)
        _written(axes, cells, (rows, columns), scale, (wide, tall), _several(sheet))
        _named(axes, sheet, (rows, columns), (wide, tall), (at % across == 0, at + across >= len(panels)))
    bar = figure.colorbar(mesh, ax=list(grid.values()), fraction=0.05, pad=0.01, aspect=25)  # type: ignore[arg-type]  # a mesh: there is a panel
    bar.set_label((sheet.z or Axis("")).label)
    return {}


def _scale(sheet: Sheet) -> dict[str, Any]:
    """Colours and their ends."""
    known = [float(one) for one in sheet.column("value") if isinstance(one, int | float)]
    axis = sheet.z or Axis("")
    low = axis.low if axis.low is not None else min(known, default=0.0)
    high = axis.high if axis.high is not None else max(known, default=1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return {"cmap": style.DIVERGING if low == -high else style.SEQUENTIAL, "vmin": low, "vmax": high}


def _sized(
    figure: Figure, rows: Sequence[str], columns: Sequence[str], panels: int, across: int, most: float = TALL
) -> tuple[float, float]:
    """Set the size of the picture; width and height of a cell in inches."""
    down = -(-panels // across)
    beside = LETTER * min(SIGNS, max(map(len, rows), default=0)) + 0.35
    wide = max(NARROW, min(WIDE, ((7.2 if across == 1 else PAGE) - beside - 0.8) / across / len(columns)))
    tall = max(LOW, min(most, 8.0 / down / len(rows)))
    names = _shown(rows, columns, wide)[1]
    below = 0.2 if _fit(names, wide) else LETTER * min(SIGNS, max(map(len, names), default=0))
    figure.set_size_inches(
        max(4.6, beside + across * (wide * len(columns) + 0.15) + 0.8),
        max(2.0, down * (tall * len(rows) + 0.3) + below + 0.5),
    )
    return wide, tall


def _fit(columns: Sequence[str], wide: float) -> bool:
    """Whether names stand below their columns without being turned."""
    return max(map(len, columns), default=0) * LETTER < 0.95 * wide


def _shown(rows: Sequence[str], columns: Sequence[str], wide: float) -> tuple[Sequence[str], Sequence[str]]:
    """Names of rows and of columns; where both are the same, and long, they are numbered, and columns by that alone."""
    if [*rows] != [*columns] or _fit(columns, wide):
        return rows, columns
    return [f"{name}  [{at}]" for at, name in enumerate(rows, 1)], [str(at) for at in range(1, len(rows) + 1)]


def _cells(
    axes: Axes, cells: Sequence[Row], rows: Sequence[str], columns: Sequence[str], scale: dict[str, Any]
) -> Any:
    values = np.full((len(rows), len(columns)), np.nan)
    for cell in cells:
        if isinstance(cell["value"], int | float):
            values[rows.index(str(cell["row"])), columns.index(str(cell["column"]))] = cell["value"]
    axes.set_facecolor("#EEEEEE")
    axes.grid(visible=False)
    return axes.pcolormesh(np.ma.masked_invalid(values), edgecolors="white", linewidth=0.5, **scale)


def _several(sheet: Sheet) -> bool:
    """Whether cells have different numbers of runs behind them: then these are written too."""
    return len({one for one in sheet.column("n") if one is not None}) > 1


def _written(
    axes: Axes,
    cells: Sequence[Row],
    names: tuple[Sequence[str], Sequence[str]],
    scale: dict[str, Any],
    size: tuple[float, float],
    several: bool,
) -> None:
    """Write the values, in black or white, unless they were too small to be read."""
    from matplotlib import colormaps

    texts = {at: lines for at, cell in enumerate(cells) if (lines := _lines(cell, scale, several))}
    most = max(map(len, texts.values()), default=1)
    room = (
        72
        * size[0]
        * 0.92
        / (0.6 * max((len(line) for lines in texts.values() for line in lines), default=1))
    )
    points = min(8.0, room, 72 * size[1] * (0.62 if most == 1 else 0.72 / most))
    if points < SMALLEST:
        return
    for at, lines in texts.items():
        cell, light = cells[at], True
        if isinstance(cell["value"], int | float):
            share = (float(cell["value"]) - scale["vmin"]) / (scale["vmax"] - scale["vmin"])
            red, green, blue, _ = colormaps[scale["cmap"]](min(1.0, max(0.0, share)))
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(
            names[1].index(str(cell["column"])) + 0.5, names[0].index(str(cell["row"])) + 0.5, "\n".join(lines),
            ha="center", va="center", fontsize=points, linespacing=1.0, color="black" if light else "white",
        )  # fmt: skip


def _more(sheet: Sheet) -> bool:
    """Whether something stands below the values."""
    return "half" in sheet.columns


def _lines(cell: Row, scale: dict[str, Any], several: bool) -> list[str]:
    """What is written in a cell."""
    value, half = cell["value"], cell.get("half")
    lines = [_text(float(value), scale)] if isinstance(value, int | float) else []
    lines += [f"±{_text(float(half), {**scale, 'cmap': ''})}"] if isinstance(half, int | float) else []
    lines += [f"n={cell['n']}"] if lines and several and cell["n"] is not None else []
    return [*lines, *([str(cell["signs"])] if cell.get("signs") else [])]


def _text(value: float, scale: dict[str, Any]) -> str:
    """With as many digits as the scale needs."""
    top, span = max(abs(scale["vmin"]), abs(scale["vmax"])), scale["vmax"] - scale["vmin"]
    digits = 2 if span < 10 else 1 if top < 1000 else 0
    text = f"{value:{'+' if scale['cmap'] == style.DIVERGING else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def _named(
    axes: Axes,
    sheet: Sheet,
    names: tuple[Sequence[str], Sequence[str]],
    size: tuple[float, float],
    shown: tuple[bool, bool],
) -> None:
    """Names beside the first panel of a row, and below the last panel of a column."""
    rows, columns = ([_cut(style.plain(one, 300)) for one in side] for side in _shown(*names, size[0]))
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows if shown[0] else [], fontsize=min(8, 72 * size[1] * 0.8))
    turned = not _fit(columns, size[0])
    axes.set_xticks(
        np.arange(len(columns)) + 0.5, columns if shown[1] else [], rotation=90 if turned else 0,
        fontsize=min(8, 72 * size[0] * 0.8),
    )  # fmt: skip
    axes.set_xlabel(sheet.x.label if shown[1] else "")
    axes.set_ylabel(sheet.y.label if shown[0] else "")


def _cut(name: str) -> str:
    """No longer than fits; its end tells names apart as much as its beginning."""
    return name if len(name) <= SIGNS else f"{name[: SIGNS - 20]}…{name[-19:]}"
