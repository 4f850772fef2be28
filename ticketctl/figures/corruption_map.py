"""Error under each corruption at each severity, and how much more than of the dense net it is.

A cell is the mean over seeds of the top-1 error in percent on one corrupted set (CIFAR-10-C's 15 corruptions in 5
severities; paper 004 section 4.1). A panel for the dense net and for each recipe at one sparsity; a second sheet
shows the difference to the dense net of the same training in percent points, positive where the ticket is worse, on a
scale whose middle is white: the mean over seeds of each net's error minus that of the dense net of its seed, so that
what a seed does to both is taken out. Where no seed has both it is the difference of the means, and the notes say of
which recipes; they name those, too, of which no dense net was audited.

Choices: the numbers are errors themselves and not normalised; mCE divides by the dense net's and belongs to verdicts.
Sets that a net was not shown have no cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ticketctl.figures.ladders import at_density, check_sparsity, ends, left_behind
from ticketctl.figures.paired import by_seeds, paired
from ticketctl.figures.rows import by_place, parts, percent, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, counted
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf, Stat

FACTS = {"from": "audits", "papers": ""}
MODULE = "corruption"
MOST = 5
"""Tickets of a sheet."""
Place = tuple[str, int]
"""A corruption and its severity."""
Errors = Mapping[Place, Stat]


@dataclass(frozen=True)
class Params:
    """Which level is drawn."""

    sparsity: float | None = None
    """The level nearest to it, in percent; where nothing is said, the largest that most recipes come near."""

    def __post_init__(self) -> None:
        check_sparsity("corruption-map", self.sparsity)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set a sheet of errors, and one of differences to the dense net where that was audited.

    Raises:
        NothingError: no net, or none near the sparsity, was shown corrupted images.
    """
    read = shelf.read("audit", MODULE)
    found = [
        (part, title, panels, _left(read, families, panels))
        for part, title, families in by_place(shelf.families)
        if (panels := _panels(read, families, params.sparsity))
    ]
    if not found:
        raise NothingError(
            f"no net was shown corrupted images; run: ticketctl audit --metrics corruption {shelf.place}"
        )
    for part, title, panels, left in found:
        found_ = [*_sheets(read, part, title, panels)]
        one_scale = (
            ("one colour scale for all sheets of this kind, net and data set",) if len(found_) > 2 else ()
        )
        for one in found_:
            yield replace(one, notes=(*one.notes, *one_scale, *left))


def _left(read: Read, families: Sequence[Family], panels: Sequence[_Panel]) -> list[str]:
    """What is to be said of recipes that were audited, but at no comparable sparsity."""
    tickets = [one for one in families if not one.is_dense]
    audited = [one for one in tickets if any(_errors(read, group) for group in one.groups)]
    return left_behind(audited, {panel.name for panel in panels})


@dataclass(frozen=True)
class _Panel:
    """One net with its errors."""

    name: str
    density: float
    errors: Errors
    less: Errors
    """How much more than the dense net's; nothing, for a dense net and where that was not audited."""
    paired: bool
    """Whether `less` is of pairs of one seed, and not of means."""
    sources: tuple[str, ...]
    """Ids of the reports."""


def _panels(read: Read, families: Sequence[Family], sparsity: float | None) -> list[_Panel]:
    """The dense nets first, then each family at the sparsity."""
    tickets = [family for family in families if not family.is_dense]
    levels = at_density(tickets, sparsity, lambda group: bool(_errors(read, group)))
    belong = [family.dense for family in levels if family.dense]
    whole = [family.groups[0] for family in families if family.is_dense]
    alone = [] if levels or sparsity is not None else whole
    dense = {
        next((short(one) for one in families if group in one.groups), "dense"): group
        for group in dict.fromkeys([*belong, *alone])
    }
    found = [
        _Panel(name, 1.0, errors, {}, False, _reports(read, group))
        for name, group in dense.items()
        if (errors := _errors(read, group))
    ]
    return found + [
        _Panel(
            short(family), group.density, _errors(read, group), *_less(read, group, family.dense), _reports(read, group)
        )
        for family, group in levels.items()
    ]  # fmt: skip


def _reports(read: Read, group: Group) -> tuple[str, ...]:
    return tuple(read.by_net[net].id for net in group.finite if net in read.by_net)


def _errors(read: Read, group: Group) -> Errors:
    """Errors in percent over the nets of a group that stayed finite."""
    nets = [one for net in group.finite if (one := _of_net(read, net))]
    places = dict.fromkeys(place for one in nets for place in one)
    return {place: stat for place in places if (stat := Stat.of(one.get(place) for one in nets))}


def _less(read: Read, group: Group, dense: Group | None) -> tuple[Errors, bool]:
    """The errors less the dense net's on the sets that both were shown, and whether they are paired by seed."""
    if dense is None:
        return {}, False
    nets = [by_seeds(one, lambda net: _of_net(read, net) or None) for one in (group, dense)]
    ours, theirs = _errors(read, group), _errors(read, dense)
    gaps = {place: paired(*({seeds: one[place] for seeds, one in mine.items() if place in one} for mine in nets))
            for place in ours}  # fmt: skip
    pairs = {place: Stat(gap.mean, None, gap.n) for place, gap in gaps.items() if gap}
    means = {
        place: Stat(stat.mean - theirs[place].mean, None, stat.n)
        for place, stat in ours.items()
        if place in theirs
    }
    return pairs or means, bool(pairs)


def _of_net(read: Read, net: Net) -> dict[Place, float]:
    """Errors in percent, in the order of the report."""
    errors = read.array(net, f"{MODULE}/errors")
    if errors is None:
        return {}
    said = next((row.protocol for row in read.by_net[net].metrics if row.metric == MODULE), {})
    names = [str(name) for name in said.get("corruptions", ())]
    if len(names) != len(errors):
        return {}
    return {
        (name, at + 1): 100 * float(error)
        for name, row in zip(names, errors, strict=True)
        for at, error in enumerate(row)
        if np.isfinite(error)
    }


def _sheets(read: Read, part: str, title: str, panels: Sequence[_Panel]) -> Iterator[Sheet]:
    dense = [one for one in panels if one.density == 1]
    several = split([one for one in panels if one.density < 1], MOST) or [()]
    names = parts("-".join(filter(None, (part, *ends([one.name for one in mine])))) for mine in several)
    scale, apart_scale = _scales(panels, len(several))
    for name, mine in zip(names, several, strict=True):
        here = name if len(several) > 1 else part
        rows = [row for panel in (*dense, *mine) for row in _rows(panel, panel.errors)]
        sources = tuple(dict.fromkeys(one for panel in (*dense, *mine) for one in panel.sources))
        said = f"{title}: error under corruption"
        apart = [row for panel in mine for row in _rows(panel, panel.less)]
        notes, without = [f"mean over n = {counted(rows)} runs"], _without(mine)
        notes += [] if apart else without
        yield _sheet(read, f"{here}.error".strip("."), said, rows, scale, sources, notes)
        if apart:
            said = f"{title}: error under corruption against the dense net's"
            notes = [*_how(mine), *without]
            yield _sheet(read, f"{here}.difference".strip("."), said, apart, apart_scale, sources, notes)


def _how(panels: Sequence[_Panel]) -> Iterator[str]:
    """Of what the differences are: of pairs, or of means."""
    pairs = [row for panel in panels if panel.paired for row in _rows(panel, panel.less)]
    means = [panel for panel in panels if panel.less and not panel.paired]
    if pairs:
        yield f"paired by seed with the dense net: mean over n = {counted(pairs)} differences"
    if means:
        n = counted([row for panel in means for row in _rows(panel, panel.less)])
        names = "; ".join(panel.name for panel in means)
        yield f"difference of means, n = {n} runs, for want of a seed that the dense net has too: {names}"


def _without(panels: Sequence[_Panel]) -> list[str]:
    """What is to be said of recipes that have no difference."""
    names = "; ".join(panel.name for panel in panels if not panel.less)
    return [
        f"without a dense net of the same training that was audited, so without a difference: {names}"
    ] * bool(names)


def _scales(panels: Sequence[_Panel], sheets: int) -> tuple[Axis, Axis]:
    """Of errors, and of differences: one for all sheets of a net and data set."""
    known = [stat.mean for panel in panels for stat in panel.errors.values()]
    low, high = (min(known), max(known)) if sheets > 1 else (None, None)
    far = max((abs(stat.mean) for panel in panels for stat in panel.less.values()), default=0.0) or 1.0
    return (
        Axis("top-1 error", "%", low=low, high=high),
        Axis("error more than the dense net's", "percent points", low=-far, high=far),
    )


def _rows(panel: _Panel, errors: Errors) -> Iterator[tuple[Cell, ...]]:
    name = panel.name if panel.density == 1 else f"{panel.name}, {percent(panel.density)}"
    for (corruption, severity), stat in errors.items():
        yield (name, corruption.replace("_", " "), str(severity), stat.mean, stat.n)


def _sheet(
    read: Read, part: str, title: str, rows: Sequence[tuple[Cell, ...]], scale: Axis, sources: tuple[str, ...],
    notes: Sequence[str],
) -> Sheet:  # fmt: skip
    return Sheet(
        "corruption-map", "matrix", title, Axis("severity"), Axis(""), tuple(rows), part, z=scale,
        notes=(*notes, *read.notes), sources=sources,
    )  # fmt: skip
