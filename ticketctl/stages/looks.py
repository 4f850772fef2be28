"""Which colour, mark and dash the lines of a family have: the same on all figures of a call. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from ticketctl.figures.ink.style import COLOURS, LOOKS
from ticketctl.figures.rows import short
from ticketctl.figures.sheet import Sheet
from ticketctl.figures.shelf import Family

BLACK = COLOURS.index("#000000")
"""The colour of dense nets, which stand across other figures as gray lines; no other family has it."""
Places = Mapping[Family, int]


def places_of(families: Sequence[Family]) -> dict[Family, int]:
    """A place in the order of looks (`ink.style.stroke`) for each family, by their order alone.

    Dense nets are black, those first that pruned families are held against; 4 of them and 28 others all differ.

    Args:
        families: all of a shelf.
    """
    held = [family.dense for family in families if not family.is_dense]
    dense = sorted(
        (one for one in families if one.is_dense),
        key=lambda one: min((held.index(group) for group in one.groups if group in held), default=len(held)),
    )
    black = count(BLACK, len(COLOURS))
    coloured = (place for place in count() if place % len(COLOURS) != BLACK)
    return {one: next(black) for one in dense} | {one: next(coloured) for one in families if not one.is_dense}


def dressed(sheet: Sheet, places: Places) -> Sheet:
    """The sheet with the looks of those of its series that are families; no two of them look alike.

    A series that is a family at one level, or a part of one, has its family's colour and mark, and where these are
    taken another dash.

    Args:
        sheet: any.
        places: as `places_of` gives them.
    """
    if "series" not in sheet.columns:
        return sheet
    beside = made_of(sheet, [*places])
    owners = {name: one for name in sheet.values("series") if (one := _owner(name, beside))}
    whole = [name for name, one in owners.items() if name in (one.label, short(one))]
    looks: dict[str, int] = {}
    for name in dict.fromkeys([*whole, *owners]):
        taken = {place % LOOKS for place in looks.values()}
        looks[name] = next(place for place in _tries(places[owners[name]]) if place % LOOKS not in taken)
    return replace(sheet, looks=tuple(looks.items()))


def made_of(sheet: Sheet, families: Sequence[Family]) -> list[Family]:
    """The families whose runs a sheet is made of; all of them where it says of none."""
    sources = {*sheet.sources}
    return [one for one in families if any(net.id in sources for net in one.nets)] or [*families]


def _tries(place: int) -> Iterator[int]:
    """Its own, the same in other dashes, then whatever there is."""
    yield from range(place, place + LOOKS, len(COLOURS))
    yield from count()


def _owner(name: str, families: Sequence[Family]) -> Family | None:
    """The family that a series is, or is of: the one that is called by most of its words."""
    words = [(word, one) for one in families for word in (one.label, short(one)) if _begins(name, word)]
    if words:
        return max(words, key=lambda pair: len(pair[0]))[1]
    return next((one for one in families if one.is_dense), None) if name == "dense" else None


def _begins(name: str, word: str) -> bool:
    return name == word or name.startswith((f"{word} at ", f"{word}, "))
