"""The error barrier against sparsity, with the 2-point rule across.

Of each level the barrier between twins of the ticket, the mean over all their pairs (paper 003, equation 3), or the one
from the ladder's level above; bands are one sample deviation over pairs. Nets whose barrier lies below 2 percent points
count as connected, and their ticket as stable to SGD noise (paper 003, section C.3). Lines are families of runs, so
rewind points stand beside each other where runs differ in them. Between levels the ends differ in their errors, and a
barrier is at least half of that difference: there the height above the chord is drawn, unless another number is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketctl.artifacts.report import Report
from ticketctl.errors import UsageError
from ticketctl.figures.paths import PathKeys, Walk, protocol, rule, walks
from ticketctl.figures.rows import SERIES, averaged, by_place, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat
from ticketctl.figures.twins import between_twins, step_to, with_dense

FACTS = {"from": "interpolations", "papers": "003 Fig 1-4, 8-12"}
Reports = Mapping[Net, Report]
_SAID = {"twins": "between twins of a ticket", "levels": "from the level above"}
_NUMBERS = {
    "barrier": "error barrier",
    "chord": "error above the chord",
    "over-max": "error above the worse end",
}


@dataclass(frozen=True)
class Params(PathKeys):
    """What is drawn."""

    between: Literal["any", "twins", "levels"] = "any"
    """Twins of a ticket, successive levels of a ladder, or whichever are there."""
    number: Literal["", "barrier", "chord", "over-max"] = ""
    """Of a pair; none: barrier between twins, chord between levels."""

    def __post_init__(self) -> None:
        if self.what == "loss":
            raise UsageError("figures.barrier-sparsity.what must be 'error', of which the 2-point rule is")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and for what the paths lie between.

    Raises:
        NothingError: no such path was measured.
    """
    wanted = ("twins", "levels") if params.between == "any" else (params.between,)
    sheets = [sheet for name in wanted for sheet in _sheets(shelf, name, params)]
    if not sheets:
        raise NothingError(
            f"no barrier of a ticket; run: ticketctl interpolate {shelf.ticket} --level all --twins 3"
        )
    yield from sheets


def _sheets(shelf: Shelf, between: str, params: Params) -> Iterator[Sheet]:
    read = between_twins(shelf) if between == "twins" else shelf.read("interpolate", "line", "levels")
    reports = read.by_net
    number = params.number or ("barrier" if between == "twins" else "chord")
    for part, where, families in by_place(one for one in shelf.families if not one.is_dense):
        found = {one.label: list(_line(one, reports, between, number, params)) for one in families}
        mine = [one for one in families if found[one.label]]
        for at, few in enumerate(split(mine, SERIES)):
            rows = [row for family in few for row in found[family.label]]
            more = slug("-".join(filter(None, (between, part, str(at) if at else ""))))
            groups = [group for one in few for group in _groups(one, reports, between, params)]
            told = (reports[net] for group in groups for net in group.finite if net in reports)
            used = list({one.id: one for one in told}.values())
            yield Sheet(
                "barrier-sparsity", "lines", f"{where}: {_NUMBERS[number]} {_SAID[between]}",
                Axis("sparsity", "%", "sparsity"), Axis(_NUMBERS[number], "percent points"), (*rule([""]), *rows), more,
                notes=(averaged(rows, "pairs of nets"), *protocol(used, params), *read.notes),
                sources=tuple(one.id for one in used),
            )  # fmt: skip


def _line(
    family: Family, reports: Reports, between: str, number: str, params: Params
) -> Iterator[tuple[Cell, ...]]:
    for group in _groups(family, reports, between, params):
        found = [
            walk
            for net in group.finite
            if net in reports
            for walk in _walks(net, reports[net], between, params)
        ]
        stat = Stat.of(one.numbers[number] for one in found)
        if stat:
            yield row_of(short(family), group.sparsity, stat)


def _walks(net: Net, report: Report, between: str, params: Params) -> list[Walk]:
    if between == "twins":
        return walks(report, params)
    step = step_to(net, report, params)
    return [step] if step else []


def _groups(family: Family, reports: Reports, between: str, params: Params) -> Sequence[Group]:
    """Those that have paths."""
    if between == "twins":
        return with_dense(family, lambda net: net in reports and bool(walks(reports[net], params)))
    return family.groups
