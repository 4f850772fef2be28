"""Broden (Bau et al. 2017) and what else lies in the layout of NetDissect.

index.csv has a line for each image: `image` (below images/), the size `sh`, `sw` of its masks, and a column for each
category with labels separated by semicolons. A number is a label of the whole image, as scenes and textures have; a
name is a PNG below images/ whose pixels are numbers, red + 256 green, 0 for none. label.csv has the `number`, `name`
and `category` of each label. A label that an image has in two categories is one concept. Paths must name files that
lie in the folder.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._images import decode_all
from ticketctl.data._members import FolderMembers
from ticketctl.data._planes import Concept, Layout, Planes
from ticketctl.errors import UnavailableError

INDEX, LABELS = "index.csv", "label.csv"
_PLAIN = {"image", "split", "ih", "iw", "sh", "sw"}
"""Columns that are no category."""
_MAX_SIDE = 1 << 12
_MAX_LABEL = (1 << 16) - 1

Row = Mapping[str, str]


def read_broden(members: FolderMembers) -> Layout:
    """The layout, its lists looked over.

    Raises:
        UnavailableError: a list that is missing or says what cannot be.
    """
    labels = _labels(members)
    places = {number: place for place, number in enumerate(labels)}
    rows = _table(members, INDEX, ("image", "sh", "sw"))
    known = set(members.names)
    for line, row in enumerate(rows, start=2):
        for path in (row["image"], *_files(row)):
            if f"images/{path}" not in known:
                raise UnavailableError(
                    f"{members.where / INDEX}: line {line}: there is no {f'images/{path}'[:200]!r}"
                )
        if not all(row[side].isdecimal() and 1 <= int(row[side][:9]) <= _MAX_SIDE for side in ("sh", "sw")):
            raise UnavailableError(
                f"{members.where / INDEX}: line {line}: sh and sw must be 1 to {_MAX_SIDE}"
            )

    def planes(place: int) -> Planes:
        return _planes(members, rows[place], places)

    return Layout(tuple(labels.values()), [f"images/{row['image']}" for row in rows], planes)


def _labels(members: FolderMembers) -> dict[int, Concept]:
    """By number, ascending. The first category of a label, `color(289);object(3)`, is its own."""
    found: dict[int, Concept] = {}
    for line, row in enumerate(_table(members, LABELS, ("number", "name", "category")), start=2):
        number = _number(row["number"])
        name = row["name"]
        if not number or number in found or not name.isprintable() or not 1 <= len(name) <= 100:
            fault = "a number from 1 to 65535 that stands once, and a name, are needed"
            raise UnavailableError(f"{members.where / LABELS}: line {line}: {fault}")
        found[number] = Concept(name, row["category"].partition("(")[0])
    return dict(sorted(found.items()))


def _table(members: FolderMembers, name: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The lines of a list, with all of its columns."""
    where = members.where / name
    if name not in members.names:
        raise UnavailableError(f"{where}: is missing")
    try:
        reader = csv.DictReader(members.read(name).decode("utf-8").splitlines(), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnavailableError(f"{where}: not a sound list: {str(error)[:100]}") from None
    missing = next((column for column in needed if column not in (reader.fieldnames or ())), None)
    if missing is not None or not rows:
        what = f"no column {missing}" if missing else "no lines"
        raise UnavailableError(f"{where}: {what}; {','.join(needed)},… are needed")
    odd = next((line for line, row in enumerate(rows, 2) if None in row or None in row.values()), None)
    if odd is not None:
        raise UnavailableError(f"{where}: line {odd}: has other columns than the first line")
    return rows


def _parts(row: Row) -> list[str]:
    """Labels of all categories."""
    return [part for key, cell in row.items() if key not in _PLAIN for part in cell.split(";") if part]


def _files(row: Row) -> list[str]:
    return [part for part in _parts(row) if not part.isdecimal()]


def _number(text: str) -> int | None:
    """A label; None if it is none."""
    found = int(text) if text.isdecimal() and len(text) < 9 else None
    return found if found is not None and found <= _MAX_LABEL else None


def _planes(members: FolderMembers, row: Row, places: Mapping[int, int]) -> Planes:
    size = int(row["sh"]), int(row["sw"])
    masks: dict[int, NDArray[np.bool_]] = {}
    for part in _parts(row):
        whole = part.isdecimal()
        values = np.full(size, _number(part) or 0) if whole else _coded(members, part, size)
        for value in np.unique(values).tolist():
            if value == 0 and not (whole and int(part[:9])):
                continue
            if value not in places:
                raise UnavailableError(
                    f"{members.where}: {row['image']}: label {part[:200]!r} is not in {LABELS}"
                )
            place = places[value]
            masks[place] = masks[place] | (values == value) if place in masks else values == value
    return Planes(size, masks)


def _coded(members: FolderMembers, path: str, size: tuple[int, int]) -> NDArray[np.int64]:
    """The numbers in a PNG."""
    pixels = decode_all(members, [f"images/{path}"], colour=True)[0].astype(np.int64)
    if pixels.shape[1:] != size:
        given = f"{pixels.shape[2]}x{pixels.shape[1]}"
        raise UnavailableError(
            f"{members.where}: images/{path} is {given}, and {INDEX} says {size[1]}x{size[0]}"
        )
    found: NDArray[np.int64] = pixels[0] + 256 * pixels[1]
    return found
