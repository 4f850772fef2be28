"""Which nets stand side by side: the dense net and a ticket at a few sparsities, a panel each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ticketctl.figures.sheet import slug
from ticketctl.figures.shelf import Family, Group, Net, Shelf

Has = Callable[[Net], bool]
LONG = 30
"""Signs of a ladder's label from which on it is said in the title alone."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A net that is shown, in place of all that differ from it in seeds alone."""

    label: str
    """What it is, and its sparsity: imp at 83.2 %."""
    net: Net
    others: int
    """Nets of the same recipe and density that could have been shown as well."""


@dataclass(frozen=True, eq=False)
class Board:
    """Nets of one sheet."""

    net: str
    data: str
    part: str
    """Tells it from other boards; nothing, where there is one."""
    entries: tuple[Entry, ...]
    """The dense nets first, then by density; no label twice."""
    left: int
    """How many there was no room for, or not asked for."""
    ladder: str = ""
    """What all the tickets of it are, where that is too long to stand with each of them."""

    @property
    def subject(self) -> str:
        """Of the title: the net, the data, and what its entries do not say."""
        return f"{self.net} on {self.data}{f', {self.ladder}' if self.ladder else ''}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Which nets these are, and what was left out."""
        seeds = sorted({one.net.seeds[0] for one in self.entries})
        said = f"one net each, of seed {', '.join(map(str, seeds))}"
        others = sum(one.others for one in self.entries)
        seen = (f"{said}; {others} of other seeds are not shown",) if others else (said,)
        nets = "net" if self.left == 1 else "nets"
        return (
            (*seen, f"{self.left} measured {nets} of other sparsities or recipes not shown")
            if self.left
            else seen
        )


def percent(sparsity: float) -> str:
    """A sparsity as short as tells levels apart: 36, 83.22, 99.902."""
    return f"{sparsity:.4g}" if sparsity < 99.9 else f"{sparsity:.6g}"


def boards(shelf: Shelf, has: Has, *, wanted: Sequence[float] = (), most: int = 6) -> list[Board]:
    """What is shown of each net and data set: all together where that is at most `most`, else a ladder at a time.

    Args:
        shelf: any.
        has: whether there is something to show of a net.
        wanted: sparsities in percent; of each ladder the levels next to these. None: spread from its first to its last.
        most: panels of a board, 2 or more.
    """
    places = dict.fromkeys((family.net, family.data) for family in shelf.families)
    found = [one for place in places for one in _of(shelf, place, has, wanted, most)]
    if len(found) == 1:
        return [replace(found[0], part="")]
    return found


def _of(
    shelf: Shelf, place: tuple[str, str], has: Has, wanted: Sequence[float], most: int
) -> Iterator[Board]:
    mine = [family for family in shelf.families if (family.net, family.data) == place]
    entries = {family: _entries(family, has) for family in mine}
    dense = [one for family in mine if family.is_dense for one in entries[family]]
    ladders = [family for family in mine if not family.is_dense and entries[family]]
    chosen = {family: _near(entries[family], wanted) for family in ladders}
    every = [*dense, *(one for family in ladders for one in chosen[family])]
    if not every:
        return
    if len(every) <= most or not ladders:
        left = sum(map(len, entries.values())) - len(every[:most])
        ladder = ladders[0] if len(ladders) == 1 else None
        yield _board(place, slug(" ".join(place)), every[:most], left, ladder)
        return
    for family in ladders:
        own = [one for one in dense if family.dense is not None and one.net in family.dense.nets]
        shown = spread(chosen[family], most - len(own))
        part = slug(" ".join([*place, family.label]))
        left = len(entries[family]) - len(shown) + len(dense) - len(own)
        yield _board(place, part, [*own, *shown], left, family)


def _board(
    place: tuple[str, str], part: str, entries: Sequence[Entry], left: int, family: Family | None
) -> Board:
    """With labels that are short, and differ; the ladder's own is said once, where it is long."""
    name = _name(family) if family else ""
    long = len(name) > LONG
    head = f"{name} at "
    labels = [
        f"{one.label.removeprefix(head)} pruned" if long and one.label.startswith(head) else one.label
        for one in entries
    ]
    told = [
        f"{label} ({labels[: at + 1].count(label)})" if labels.count(label) > 1 else label
        for at, label in enumerate(labels)
    ]
    named = tuple(replace(one, label=label) for one, label in zip(entries, told, strict=True))
    return Board(*place, part, named, left, name if long else "")


def _name(family: Family) -> str:
    """Its label without its net and data set, which the title says."""
    return family.label.removeprefix(f"{family.net} on {family.data}: ")


def _entries(family: Family, has: Has) -> list[Entry]:
    return [found for group in family.groups if (found := _entry(family, group, has)) is not None]


def _entry(family: Family, group: Group, has: Has) -> Entry | None:
    """Of nets that differ in seeds alone the first that has it; diverged ones only where no other does."""
    nets = sorted((net for net in group.nets if has(net)), key=lambda net: net.diverged)
    if not nets:
        return None
    label = _name(family) if family.is_dense else f"{_name(family)} at {percent(group.sparsity)} %"
    return Entry(label, nets[0], len(nets) - 1)


def _near(entries: Sequence[Entry], wanted: Sequence[float]) -> list[Entry]:
    if not wanted:
        return list(entries)
    near = {min(entries, key=lambda one: abs(one.net.sparsity - sparsity)) for sparsity in wanted}
    return [one for one in entries if one in near]


def spread(entries: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many, evenly from the first to the last; of one alone the last."""
    if len(entries) <= most:
        return list(entries)
    if most < 2:
        return list(entries[-1:])
    step = (len(entries) - 1) / (most - 1)
    return [entries[round(step * place)] for place in range(most)]
