"""What the lines of a figure are called: their method and tweaks, and as few keys as tell them apart. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ticketctl.figures.shelf import Family
from ticketctl.stages.apart import Words, fewest
from ticketctl.stages.compare import Group
from ticketctl.stages.otherwise import DRAWN
from ticketctl.stages.recorded import shown
from ticketctl.stages.rows import in_order


def labels_of(groups: Sequence[Group], words: Sequence[Words]) -> dict[int, str]:
    """The label of each group, by its `id`; groups that differ in nothing but density share one.

    Args:
        groups: as `compare.grouped` makes them.
        words: of each the keys by which it differs, as `otherwise.changes` tells them.
    """
    several = len({(group.net, group.data) for group in groups}) > 1
    alike: dict[Any, list[int]] = {}
    for place, group in enumerate(groups):
        alike.setdefault((group.net, group.data, _head(group)), []).append(place)
    found: dict[int, str] = {}
    for (net, data, head), places in alike.items():
        kinds = {place: tuple(sorted(groups[place].settings.items())) for place in places}
        keys = fewest({place: words[place] for place in places}, kinds)
        where = f"{net} on {data}: " if several else ""
        known: dict[tuple[str, Any], str] = {}
        for place in places:
            own = {key: shown(words[place][key]) for key in keys if key in words[place]}
            parts = [
                f"{_name(key, keys)}={value}" for key, value in own.items() if value
            ]  # an empty list: as usual
            label = where + ", ".join([head, *parts])
            same = [one for one in known if one[0] == label]  # what no key tells apart is numbered
            known.setdefault((label, kinds[place]), f"{label} ({len(same) + 1})" if same else label)
            found[id(groups[place])] = known[label, kinds[place]]
    return found


def _head(group: Group) -> str:
    name = f"{group.method} ({group.control})" if group.control else group.method
    return " + ".join([name, *in_order(group.tweaks)])


def _name(key: str, keys: Sequence[str]) -> str:
    """A key without its first table, as batch or noise.rate; all of it where two would be called so."""
    return key if key.startswith(DRAWN) or [*map(_short, keys)].count(_short(key)) > 1 else _short(key)


def _short(key: str) -> str:
    return key.partition(".")[2] or key


def unsaid(families: Sequence[Family]) -> tuple[str, ...]:
    """By which keys these families differ that the label of one at least does not name."""
    every = sorted({key for family in families for key in family.apart})
    keys = [key for key in every if len({*_values(families, key)}) > 1]
    told = [key for key in keys if all(_says(family, key) for family in families)]
    # a key that is told stands for the table around it, which others have not at all
    left = [key for key in keys if not any(f"{one}.".startswith(f"{key}.") for one in told)]
    return (f"they differ also in {', '.join(left)}",) if left else ()


def _values(families: Sequence[Family], key: str) -> list[str | None]:
    """Of those that have it, and of all that could: a dense net has no key of a draw."""
    return [family.apart.get(key) for family in families if key in family.apart or not family.is_dense]


def _says(family: Family, key: str) -> bool:
    """Whether its label has the key with its value; of a key that it has not, or an empty one, there is none."""
    value = shown(family.apart[key]) if key in family.apart else ""
    names = (key, _short(key))
    return not value or any(f", {name}={value}, " in f", {family.label}, " for name in names)
