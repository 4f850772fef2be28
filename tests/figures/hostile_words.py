"""Hostile words in a sheet, and what may not be in a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from ticketctl.figures.sheet import PAPER, Axis, Sheet

HOSTILE = "<script>alert(1)</script>&amp;&x; $\\frac$ ]]> \x1b[31m\x00\u202e\u200f " + "a long name " * 25
"""For a reader of XML, for matplotlib's formulas, for a terminal, for the eye."""
BYTES = 400_000
"""Of a picture, the most."""


def spoilt(sheet: Sheet) -> Sheet:
    """With hostile words wherever it has words, different where they differ; what a form reads as a word stays."""
    known: dict[str, str] = {}

    def spoil(text: str) -> str:
        end = PAPER if text.endswith(PAPER) else ""
        return known.setdefault(text, f"{len(known)} {HOSTILE}{end}") if text else ""

    def axis(one: Axis) -> Axis:
        return replace(one, name=spoil(one.name), unit=spoil(one.unit))

    rows = tuple(
        tuple(
            spoil(cell) if isinstance(cell, str) and column != "role" else cell
            for column, cell in zip(sheet.columns, row, strict=True)
        )
        for row in sheet.rows
    )
    return replace(
        sheet, title=spoil(sheet.title), x=axis(sheet.x), y=axis(sheet.y), z=sheet.z and axis(sheet.z), rows=rows,
        notes=tuple(map(spoil, sheet.notes)),
    )  # fmt: skip


def unsafe(svg: bytes) -> str:
    """What is wrong with a picture; "": nothing."""
    try:
        every = [*ElementTree.fromstring(svg).iter()]
    except ElementTree.ParseError as problem:
        return f"no XML: {problem}"
    tags = {element.tag.rpartition("}")[2] for element in every} & {"script", "foreignObject", "iframe", "a"}
    said = [(key.rpartition("}")[2], value) for element in every for key, value in element.attrib.items()]
    links = [
        value
        for key, value in said
        if key in ("href", "src") and not value.startswith(("#", "data:image/png;"))
    ]
    links += [value for _, value in said if re.search(r"url\((?!#)", value)]
    events = [key for key, _ in said if key.startswith("on")]
    size = [f"{len(svg)} bytes"] if len(svg) > BYTES else []
    return ", ".join([*sorted(tags), *links, *events, *size])
