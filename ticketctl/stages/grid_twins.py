"""Values of an axis that train the same nets in every combination: rows that would be told twice. No torch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from ticketctl.recipe_files import assignments
from ticketctl.stages.agenda import Use
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.grid_axes import frozen
from ticketctl.stages.tweaking import without_defaults

Twins = tuple[str, str, str]
"""An axis, and two of its values."""
Columns = dict[str, dict[Hashable, int]]
"""By value of an axis, and by what stands on the others: which net it is."""


def twins(tickets: Sequence[tuple[Mapping[str, str], Use]], axes: Iterable[str]) -> list[Twins]:
    """Values that mean the same use in all combinations that have both; of methods and data that differ none does.

    Args:
        tickets: of each combination its labels, and the use of its ticket under one seed.
        axes: that are looked at.
    """
    known: dict[Hashable, int] = {}
    nets = [(labels, known.setdefault(_trained(use), len(known))) for labels, use in tickets]
    found: list[Twins] = []
    for name in axes:
        columns: Columns = {}
        for labels, net in nets:
            rest = tuple(one for one in labels.items() if one[0] != name)
            columns.setdefault(labels[name], {})[rest] = net
        pairs = dict.fromkeys(_met(columns))
        found += [(name, one, other) for one, other in pairs if _same(columns[one], columns[other])]
    return found


def _met(columns: Columns) -> Iterator[tuple[str, str]]:
    """Neighbours among the values that are one net somewhere: of three that are so everywhere, each pair is two."""
    last: dict[Hashable, str] = {}
    for value, column in columns.items():
        for place in column.items():
            if place in last:
                yield last[place], value
            last[place] = value


def _same(one: Mapping[Hashable, int], other: Mapping[Hashable, int]) -> bool:
    return all(other.get(rest, net) == net for rest, net in one.items())


def _trained(use: Use) -> Hashable:
    """What the run of a use is a function of: a tweak's default says nothing, and a ladder's deepest has a number."""
    recipe, level = use.draw.recipe, use.level
    if level is None and recipe.draw is not None and is_ladder(recipe):
        level = len(ladder_of(recipe)) - 1
    own = [text for text in use.sets if text.startswith("tweaks.")]
    rest = tuple(text for text in use.sets if text not in own)
    tables = without_defaults(assignments(own).get("tweaks", {}))
    return use.draw, use.control, level, use.tweaks, rest, frozen(tables)
