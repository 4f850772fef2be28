"""A sheet as a file: SVG with words as words, PDF, or PNG at 200 dots an inch. Equal sheets give equal bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Axis, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("svg", "pdf", "png")
MARK = "ticketctl"
"""What every picture says that made it."""
_DATES: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": MARK},
    "pdf": {"CreationDate": None, "Creator": MARK, "Producer": None},
    "png": {"Software": MARK},
}
DOTS = 200
_BACKENDS = {"svg": ("svg", 72), "pdf": ("pdf", 72), "png": ("agg", DOTS)}
"""What draws each kind, and in how many dots an inch it measures letters."""
_CLIP = re.compile(rb'<clipPath id="(p[0-9a-f]{10})"')
_FONTS = (b"font-family: 'DejaVu Sans'", b"font-family: 'DejaVu Sans', Verdana, sans-serif")
"""In SVG: what a browser takes where DejaVu Sans is not installed; with none named, it is letters with serifs."""


def picture(sheet: Sheet, kind: str) -> bytes:
    """The sheet, painted.

    Args:
        sheet: any.
        kind: svg, pdf or png.
    """
    out = io.BytesIO()
    words = _DATES[kind] | ({"Title": style.plain(sheet.title, 300)} if kind != "png" else {})
    with painted(sheet) as figure:
        _lay_out(figure, kind)
        figure.savefig(out, format=kind, dpi=DOTS, metadata=words)
    return _named(out.getvalue().replace(*_FONTS), sheet.name) if kind == "svg" else out.getvalue()


def _named(svg: bytes, name: str) -> bytes:
    """With clips called by their number: matplotlib calls them by places to the last bit, in which layouts differ."""
    for at, clip in enumerate(dict.fromkeys(_CLIP.findall(svg))):
        svg = svg.replace(clip, b"p" + sha256(f"{name} {at}".encode()).hexdigest()[:10].encode())
    return svg


def _lay_out(figure: Figure, kind: str) -> None:
    """Put everything in its place, measured as in this kind of file: `savefig` would draw all of it once more for that.

    No byte differs; it is a quarter of the time of a picture.
    """
    backend, dots = _BACKENDS[kind]
    import_module(f"matplotlib.backends.backend_{backend}").FigureCanvas(figure)
    figure.set_dpi(dots)
    engine: Any = figure.get_layout_engine()
    engine.execute(figure)
    figure.set_layout_engine(None)  # as `style.RC` leaves it: none


@contextmanager
def painted(sheet: Sheet) -> Iterator[Figure]:
    """The sheet on a figure, under our settings as long as it is looked at; what a user has set changes nothing."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = replace(sheet, x=_axis(sheet.x), y=_axis(sheet.y), z=sheet.z and _axis(sheet.z))
    settings: Any = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    settings |= style.RC | {"svg.hashsalt": sheet.name}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # names may be in any writing: SVG keeps them as words, elsewhere boxes stand for what DejaVu Sans lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        legend = import_module(f"ticketctl.figures.ink.{sheet.form}").paint(sheet, figure)
        style.dress(figure, legend, sheet.title, sheet.notes)
        yield figure


def _axis(one: Axis) -> Axis:
    """With a name and a unit that may be drawn: a metric's name comes out of an artifact."""
    return replace(one, name=style.plain(one.name), unit=style.plain(one.unit))
