"""A quantity over a plane as a surface in space; heights and colours mean the same in all panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ticketctl.figures.ink import style
from ticketctl.figures.ink.contour import barred, finer, grids, levels_of, scaled
from ticketctl.figures.sheet import Axis, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATCHES = 32
"""Along each axis."""
SMALL = 7


def paint(sheet: Sheet, figure: Figure) -> style.Legend:
    """Draw a sheet of the form `surface`; each surface is a picture of its own, the words around it stay words."""
    found = grids(sheet)
    levels = levels_of(sheet, found)
    axes: dict[str, Any] = dict(style.panels(figure, list(found), subplot_kw={"projection": "3d"}))
    scale = scaled(levels)
    for panel, grid in found.items():
        x, y, z = finer(grid, PATCHES)
        across, along = np.meshgrid(x, y)
        axes[panel].plot_surface(
            across, along, z, rstride=1, cstride=1, facecolors=scale.to_rgba(z), shade=False, linewidth=0,
            antialiased=False, rasterized=True,
        )  # fmt: skip
        axes[panel].set_zlim(levels[0], levels[-1])
        axes[panel].set_box_aspect((1, 1, 0.8), zoom=0.98)
        _ruled(axes[panel], sheet.x, sheet.y)
    barred(figure, scale, sheet, levels)
    return {}


def _ruled(axes: Any, x: Axis, y: Axis) -> None:
    """Names alone: numbers would stand aslant and over each other, and a contour of the same has them."""
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_ticklabels([])
    axes.set_xlabel(x.name, fontsize=SMALL, labelpad=-12)
    axes.set_ylabel(y.name, fontsize=SMALL, labelpad=-12)
