"""Words out of artifacts as a page may show them: no sign that is not seen, no place on somebody's machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ticketctl.figures.sheet import Sheet

PLACE = "PATH"
"""Stands for a folder or file of the maker's."""
_REST = r"""[^,;"'<>|)\]}\n]*"""
"""Folders may have blanks in their names: up to the next sign that ends one."""
_PLACE = re.compile(
    rf"""(?:(?<!\w)file:[/\\]
    | (?<![\w.)\]</\\])(?:
        [A-Za-z]:[/\\]                                              # a drive
      | ~(?:[^\W\d][\w.-]*)?[/\\]                                             # a home
      | \.{{1,2}}[/\\](?=[^\W\d]|\.)                                # here, above
      | (?<!http:)(?<!https:)[/\\]+(?:[^\W\d]|[.@~])[^,;"'<>|)\]}}\n/\\]*[/\\](?=[\w.@~(/\\-])  # two parts
    )){_REST}""",
    re.VERBOSE,
)


def plain(text: str, known: Sequence[str] = ()) -> str:
    """Without control characters, signs that turn the direction of writing, and places; lines stay lines.

    Args:
        text: out of an artifact.
        known: folders of the maker's, from the root.
    """
    seen = text if text.isprintable() else "".join(map(_seen, text))
    return private(seen, known)


def _seen(sign: str) -> str:
    return sign if sign.isprintable() or sign == "\n" else "·"


def private(text: str, known: Sequence[str] = ()) -> str:
    """With `PATH` for what can be somebody's folder or file, up to the next sign that ends one; fractions stay.

    These are paths from the root of two parts at least whose first is no number, paths from a home, a drive, here or
    above, `file:` addresses, and folders that are known.

    >>> private('imagefolder:/data/me/my pictures, --set a=~/b')
    'imagefolder:PATH, --set a=PATH'
    >>> private('1/5 of test/accuracy, mce –/59.04 at 300 images/s')
    '1/5 of test/accuracy, mce –/59.04 at 300 images/s'
    """
    if "/" not in text and "\\" not in text:
        return text
    for folder in sorted(known, key=len, reverse=True):
        if len(folder) > 1 and folder in text:
            text = re.sub(rf"(?<![\w.]){re.escape(folder)}(?!\w){_REST}", PLACE, text)
    return _PLACE.sub(PLACE, text)


def private_sheet(sheet: Sheet, known: Sequence[str] = ()) -> Sheet:
    """The sheet with such words alone, for its picture too is read."""
    rows = tuple(
        tuple(plain(cell, known) if isinstance(cell, str) else cell for cell in row) for row in sheet.rows
    )
    notes = tuple(plain(note, known) for note in sheet.notes)
    looks = tuple((plain(name, known), place) for name, place in sheet.looks)
    return replace(sheet, title=plain(sheet.title, known), notes=notes, rows=rows, looks=looks)
