"""`report`: one page for what was named, out of artifacts alone. No torch."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ticketctl import __version__
from ticketctl.artifacts.report import Report
from ticketctl.errors import MissingExtraError, listed
from ticketctl.figures.ink.picture import DOTS, picture
from ticketctl.figures.page.alt import alt, table
from ticketctl.figures.page.lean import lean
from ticketctl.figures.page.parts import Figure, Page
from ticketctl.figures.page.render import MARK, Rendered, render
from ticketctl.figures.page.words import private_sheet
from ticketctl.figures.sheet import Sheet
from ticketctl.stages import own_files
from ticketctl.stages.gallery import Gallery
from ticketctl.stages.page_commands import commands, of_what, plot_line, recipes, standins
from ticketctl.stages.page_tables import provenance, results, tickets, verdicts
from ticketctl.stages.page_words import summary, title_of
from ticketctl.stages.plot import Drawing
from ticketctl.store.files import make_folder, write_atomic

VECTORS = 150_000
"""Bytes of an SVG above which a PNG is taken, if that has fewer."""
IDS = 24
"""Sources of a figure that are named."""
_BOX = re.compile(rb'viewBox="0 0 ([0-9.]+) ([0-9.]+)"')
KINDS = {
    "audit": ("trained",),
    "probe": ("trained", "untrained"),
    "transfer": ("trained", "untrained"),
    "interpolate": ("trained", "path", "onset"),
}
"""Reports that figures are made of, and of what."""


@dataclass(frozen=True)
class Asked:
    """What was typed beside the runs."""

    title: str | None = None
    paper: str | None = None
    data: str | None = None
    sets: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """Folders of the maker's."""
    of: tuple[str, ...] = ()
    """What figures are drawn of, in their commands; nothing: the folders of the runs."""


def places(workspace: Path) -> tuple[str, ...]:
    """The folders that are known to be somebody's: the home, this one, and the workspace."""
    return tuple(dict.fromkeys((os.path.expanduser("~"), str(Path.cwd()), str(workspace.resolve()))))


def need_page(command: str) -> None:
    """Pages need the extra `plot`.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name in ("matplotlib", "jinja2"):
        if find_spec(name) is None:
            raise MissingExtraError(f"{command} needs {name}: pip install 'ticketctl[plot]'")


def check_out(out: Path) -> None:
    """Refuse to write over what is no page of ours.

    Raises:
        UsageError: a folder, a link or a file that `report` did not write lies there.
        ResourceError: what lies there may not be read.
    """
    own_files.check_out(out, "report.html", "report", lambda file: MARK.encode() in file.read(4096))


def page_of(
    gallery: Gallery, drawing: Drawing, asked: Asked, painted: Callable[[Sheet], None] | None = None
) -> Page:
    """All that stands on the page.

    Args:
        gallery: what was named.
        drawing: its figures.
        asked: what else was typed.
        painted: told of each figure that is painted.
    """
    reports = _reports(gallery)
    rows, remarks = results(gallery)
    said, of = commands(gallery, reports), asked.of or of_what(gallery)

    def line(figure: str) -> str:
        return plot_line(figure, asked.sets, asked.paper, asked.data, of)

    figures = []
    for sheet in drawing.sheets:
        figures.append(_figure(private_sheet(sheet, asked.places), line(sheet.figure)))
        if painted is not None:
            painted(sheet)
    return Page(
        title=asked.title or title_of(gallery),
        tool=__version__,
        summary=summary(gallery),
        tickets=tickets(gallery),
        results=rows,
        remarks=remarks,
        figures=tuple(figures),
        verdicts=verdicts(gallery.shelf.verdicts),
        provenance=provenance(gallery, reports),
        recipes=recipes(gallery),
        commands=said,
        standins=standins([*(one.text for one in said), *(one.command for one in figures)]),
        without=line,
        places=asked.places,
    )


def write(page: Page, out: Path) -> Rendered:
    """Write the page, the old one or the new one and never half.

    Args:
        page: any.
        out: as `check_out` lets it pass; its folder is made if need be.

    Raises:
        ResourceError: the disk is full, or nobody may write there.
    """
    check_out(out)
    done = render(page)
    make_folder(out.parent)
    write_atomic(out, done.html)
    return done


def _reports(gallery: Gallery) -> list[Report]:
    """All that figures may have been made of, each once."""
    pairs = [(kind, of) for kind, every in KINDS.items() for of in every]
    found = {one.id: one for net in gallery.shelf.nets for kind, of in pairs for one in net.reports(kind, of)}
    found |= {one.id: one for one in gallery.shelf.loose}
    return [found[name] for name in sorted(found)]


def _figure(sheet: Sheet, command: str) -> Figure:
    """Its notes stand under the picture, and not in it too."""
    bare = replace(sheet, notes=())
    kind, data = "svg", lean(picture(bare, "svg"))
    if len(data) > VECTORS and len(dots := picture(bare, "png")) < len(data):
        kind, data = "png", dots
    width, height = _measures(kind, data)
    words = f"{sheet.figure.replace('-', ' ').capitalize()}{f': {sheet.part}' if sheet.part else ''}"
    return Figure(
        sheet.name, words, alt(sheet), kind, data, width, height, sheet.notes, table(sheet),
        _sources(sheet.sources), command,
    )  # fmt: skip


def _sources(ids: Sequence[str]) -> str:
    return f"Read from {listed(ids, IDS)}." if ids else ""


def _measures(kind: str, data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a page, of which an inch has 96."""
    if kind == "png":
        wide, tall = struct.unpack(">II", data[16:24])
        return round(wide * 96 / DOTS), round(tall * 96 / DOTS)
    found = _BOX.search(data[:4096])
    assert found is not None
    return round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)
