"""A report page as HTML: escaped by jinja2, without a script or an address; figures lie in it as data."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.figures.page.parts import Figure, Page
from ticketctl.figures.page.words import plain

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE, FOLDER = "page.html.j2", Path(__file__).resolve().parent
MARK = '<meta name="generator" content="ticketctl report'
"""By this a page is known to be one of ours."""
SIZE = 2_000_000
"""Bytes that a page may have at most."""
ROWS = (100, 25, 5)
"""Rows of each figure's table, and things of each kind, that are shown: as many as have room."""
LONG, NOTE, SHORT = 10_000, 500, 160
"""Signs of a text, of a note, and of a cell or a heading, that are shown."""
PRINTED, NARROW = 15, 5
"""Rows of a folded table, if it is to be printed; columns of one that stands beside another in print."""
WIDE = 700
"""Pixels of a picture above which it takes the whole width of a printed page; others are drawn at nine tenths, so that
two go on a page and no letter beside an axis has fewer than 7 points."""


@dataclass(frozen=True)
class Rendered:
    """A page, and the figures that had no room on it."""

    html: bytes
    left_out: tuple[str, ...]


def render(page: Page, *, size: int = SIZE) -> Rendered:
    """The page in UTF-8, below `size` bytes: first with fewer rows in its tables, then without some of its figures.

    The first sheet of each figure stays as long as there are further ones; of either kind the largest goes first.

    Args:
        page: any; nothing of it is trusted.
        size: in bytes; a page without figures and with five rows of each table must fit.

    Raises:
        ValueError: it does not.
    """
    template = _template(page.places)
    for rows in ROWS[:2]:
        html = _html(template, page, (), rows)
        if len(html) <= size:
            return Rendered(html, ())
    for rows in ROWS[1:]:
        gone = _given_up(template, page, rows, size)
        html = _html(template, page, gone, rows)
        if len(html) <= size:
            return Rendered(html, tuple(page.figures[at].name for at in sorted(gone)))
    raise ValueError(f"a page of {len(html)} bytes without a figure; {size} are allowed")


def _given_up(template: Template, page: Page, rows: int, size: int) -> list[int]:
    """The places of the fewest figures, in the order in which they are given up, without which the page has room."""
    order = _order(page.figures, rows)
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        fits = len(_html(template, page, order[:middle], rows)) <= size
        low, high = (low, middle) if fits else (middle + 1, high)
    return order[:low]


def _order(figures: Sequence[Figure], rows: int) -> list[int]:
    """Places: further sheets of a figure before the first ones, of either the largest first, of equal ones the last."""
    first = {one.figure: at for at, one in reversed([*enumerate(figures)])}

    def size(one: Figure) -> int:
        cells = (len(cell) + len("<td></td>") for row in one.table.rows[:rows] for cell in row)
        return len(one.picture) * 4 // 3 + sum(cells)

    def rank(at: int) -> tuple[bool, int, int]:
        return first[figures[at].figure] == at, -size(figures[at]), -at

    return sorted(range(len(figures)), key=rank)


def _html(template: Template, page: Page, gone: Sequence[int], rows: int) -> bytes:
    left_out = [page.figures[at] for at in sorted(gone)]
    shown = [one for at, one in enumerate(page.figures) if at not in gone]
    text = template.render(
        page=page,
        figures=shown,
        left_out=[one.name for one in left_out],
        without=_command(page, left_out),
        drawn=_command(page, shown),
        most=rows,
        main=ROWS[0] if rows > ROWS[-1] else rows,
        printed=PRINTED,
        narrow=NARROW,
        wide=WIDE,
    )
    return (text.rstrip("\n") + "\n").encode("utf-8", errors="replace")


def _command(page: Page, figures: Sequence[Figure]) -> str:
    """What draws these figures as files."""
    return page.without(",".join(dict.fromkeys(one.figure for one in figures)))


def _template(places: Sequence[str]) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def shown(value: Any) -> Any:
        """Every word that the template prints goes through here; what it made itself is no plain string."""
        return plain(_cut(value, LONG), places) if type(value) is str else value

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, finalize=shown,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    environment.filters |= {
        "uri": _uri,
        "short": lambda text: _cut(text, SHORT),
        "note": lambda text: _cut(text, NOTE),
    }
    return environment.get_template(TEMPLATE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _uri(figure: Figure) -> Any:
    from markupsafe import Markup

    kind = {"svg": "svg+xml", "png": "png"}[figure.kind]
    return Markup("data:image/{};base64,{}").format(
        kind, Markup(base64.b64encode(figure.picture).decode("ascii"))
    )
