"""How much of the final mask the largest weights would already have made, epoch by epoch.

|top-k(|W_e|) and M| / |M| with M the ticket's mask and k its size, ranked over all prunable weights together (paper
000, Table 1). Of a method that finds its mask while it trains, along that training, as the draw noted it; of other
nets along the training whose weights were kept, as the probe of this name has it (a net that was masked from its start
has 100 % everywhere). Each sparsity has a panel, each method or family a line; across, what a random mask of that
density has on average, the density; the upright is where pre-training ends. Means over tickets or nets, bands one
sample deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ticketctl.figures.rows import PANELS, SERIES, averaged, by_place, parts, percent, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Drawn, Group, Read, Shelf, Stat

FACTS = {"from": "tickets, probes", "papers": "000 Fig 2; Table 1"}
MODULE = "mask-intersection"
RANDOM, ENDS = "random mask", "pre-training ends"


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    along: Literal["any", "draw", "training"] = "any"
    """The draw that found the mask; the training of the net, as probed; or the first of them that is there."""


@dataclass(frozen=True)
class Course:
    """The overlaps of tickets or nets that are alike."""

    where: str
    """Net and data set."""
    label: str
    density: float
    epochs: Mapping[int, Stat]
    """In percent, by epoch."""
    ends: frozenset[int]
    """The epochs at which pre-training ends."""
    sources: tuple[str, ...]


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no ticket noted an overlap, and no net was measured so.
    """
    read = shelf.read("probe", MODULE)
    makers = {"draw": lambda: list(_draws(shelf)), "training": lambda: list(_trainings(shelf, read))}
    wanted = ("draw", "training") if params.along == "any" else (params.along,)
    along, found = next(((name, made) for name in wanted if (made := makers[name]())), ("", []))
    if not found:
        raise NothingError(
            "no mask intersection; draw with --method art, or with --set keep.epochs=[0,10,20] and run: "
            f"ticketctl probe {shelf.run} --metrics mask-intersection"
        )
    panels = [
        (where, [one for one in found if (one.where, percent(one.density)) == (where, level)])
        for where, level in dict.fromkeys(
            (one.where, percent(one.density)) for one in sorted(found, key=lambda one: -one.density)
        )
    ]
    sheets = [
        (where, few)
        for where in dict.fromkeys(where for where, _ in panels)
        for few in split([mine for own, mine in panels if own == where], PANELS)
    ]
    for part, (where, few) in zip(parts(where for where, _ in sheets), sheets, strict=True):
        one = _sheet(few, along, where, "" if len(sheets) == 1 else part)
        yield replace(one, notes=(*one.notes, *(read.notes if along == "training" else ())))


def _draws(shelf: Shelf) -> Iterator[Course]:
    alike: dict[tuple[str, str, float], list[tuple[Drawn, int]]] = {}
    for ticket in shelf.tickets:
        for level in ticket.kept:
            if _noted(ticket, level):
                key = (f"{ticket.net} on {ticket.data}", ticket.label, ticket.kept[level] / ticket.prunable)
                alike.setdefault(key, []).append((ticket, level))
    for (where, label, density), found in alike.items():
        told = [ticket.notes[str(level)].get("pretrain_epochs") for ticket, level in found]
        ends = frozenset(one for one in told if isinstance(one, int))
        columns = [dict(enumerate(_noted(ticket, level), 1)) for ticket, level in found]
        yield Course(
            where, label.removeprefix(f"{where}: "), density, _by_epoch(columns), ends,
            tuple(ticket.id for ticket, _ in found),
        )  # fmt: skip


def _noted(ticket: Drawn, level: int) -> list[float]:
    """The shares after each epoch from the first; none where the draw noted none, or something else."""
    notes = ticket.notes.get(str(level))
    told = notes.get("overlap") if isinstance(notes, Mapping) else None
    try:
        shares = [float(one) for one in told] if isinstance(told, list | tuple) else []
    except (TypeError, ValueError, OverflowError):  # whatever somebody wrote there
        return []
    return shares if all(0 <= one <= 1 for one in shares) else []


def _trainings(shelf: Shelf, read: Read) -> Iterator[Course]:
    for _, where, families in by_place(shelf.families):
        for family in families:
            for group in family.groups:
                columns = list(_kept(group, read))
                sources = tuple(read.by_net[net].id for net in group.finite if net in read.by_net)
                if columns:
                    yield Course(
                        where, short(family), group.density, _by_epoch(columns), frozenset(), sources
                    )


def _kept(group: Group, read: Read) -> Iterator[dict[int, float]]:
    for net in group.finite:
        epochs, overlap = (read.array(net, f"{MODULE}/{name}") for name in ("epochs", "overlap"))
        if epochs is not None and overlap is not None:
            yield {int(epoch): float(share) for epoch, share in zip(epochs, overlap, strict=True)}


def _by_epoch(columns: Sequence[Mapping[int, float]]) -> dict[int, Stat]:
    """Means over those that went so far."""
    epochs = sorted({epoch for one in columns for epoch in one})
    found = {epoch: Stat.of(100 * one[epoch] for one in columns if epoch in one) for epoch in epochs}
    return {epoch: stat for epoch, stat in found.items() if stat}


def _sheet(panels: Sequence[Sequence[Course]], along: str, where: str, part: str) -> Sheet:
    rows, notes = list[tuple[Cell, ...]](), list[str]()
    for courses in panels:
        panel, few = percent(courses[0].density), courses[:SERIES]
        rows.append((panel, RANDOM, "reference", None, 100 * courses[0].density, None, None, None))
        for one in few:
            rows += [row_of(one.label, epoch, stat, panel=panel) for epoch, stat in one.epochs.items()]
        rows += [
            (panel, ENDS, "mark", end, None, None, None, None)
            for end in sorted({*frozenset().union(*(one.ends for one in few))})
        ]
        notes += [f"{panel}: {SERIES} of {len(courses)}"] if len(courses) > SERIES else []
    what = "tickets" if along == "draw" else "nets"
    return Sheet(
        MODULE, "lines", f"{where}: overlap of the largest weights with the final mask",
        Axis("epoch"), Axis("overlap", "%", low=0, high=103), tuple(rows), part,
        notes=(
            averaged(rows, what),
            f"along the {along}; ranked over all prunable weights; a random mask has its density", *notes,
        ),
        sources=tuple(dict.fromkeys(source for courses in panels for one in courses for source in one.sources)),
    )  # fmt: skip
