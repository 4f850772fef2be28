"""Runs against a paper's table: which run belongs to which cell, how far apart they are, and what was done otherwise.

A run belongs to a cell if its net, data set, method, control and tweaks are the cell's, if its density lies within half
a level of 20 % of it (a factor of the square root of 0.8), and if the keys by which the table's rows differ have the
cell's values: momentum and batch in paper 003, the noise in paper 002. Whatever else differs is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ticketctl.stages.audit_wants import check_audit
from ticketctl.stages.audits import with_audits
from ticketctl.stages.compare import Group
from ticketctl.stages.explorations import with_explorations
from ticketctl.stages.measured import EXPLORED, Reading, needs_audit, needs_report
from ticketctl.stages.papers import Cell, Table
from ticketctl.stages.spared import Faults
from ticketctl.stages.subjects import TRANSFER
from ticketctl.stages.targets import Target, agree, differences, targets_of, telling
from ticketctl.stages.winning import Ladders, accuracy_win

HALF_LEVEL = math.log(1 / 0.8) / 2
OTHERWISE = ("data.noise.", "data.subset.", "data.drop.", TRANSFER)
"""Other data than the data set's own, or a net that was transferred to them: never taken for it."""


@dataclass(frozen=True)
class Line:
    """A cell and a group of runs that belongs to it; `group` is None where there is none, and `why` says why."""

    cell: Cell
    group: Group | None
    ours: float | None
    """In the cell's unit."""
    deviation: float | None
    n: int
    differs: tuple[str, ...]
    why: str
    kind: tuple[str, str, str] = ("", "", "")
    """Net, data set and method of the cell; the method of a dense net is `dense`."""

    @property
    def equal(self) -> bool:
        """Whether several runs measured the same value, so that their deviation, 0, tells nothing of chance."""
        return self.deviation is not None and self.group is not None and self.group.equal(self.cell.metric)

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, in the cell's unit: points, for percent."""
        return None if self.ours is None or self.cell.value is None else self.ours - float(self.cell.value)


@dataclass(frozen=True)
class Known:
    """Groups of runs with what their reports say of one kind, under one recipe."""

    groups: Sequence[Group]
    ladders: Ladders

    @classmethod
    def of(cls, groups: Sequence[Group], reading: Reading | None, damaged: Faults | None = None) -> Known:
        """The same groups; without a reading, without reports."""
        if reading is None:
            return cls(groups, Ladders(None))
        runs = [run for group in groups for run in group.runs]
        if reading.kind in EXPLORED:
            told = with_explorations(runs, reading, damaged)
        else:
            told = with_audits(runs, reading.recipe, damaged)
        found = {run.folder: run for run in told}
        kept = [tuple(found[run.folder] for run in group.runs if run.folder in found) for group in groups]
        read = [replace(group, runs=own) for group, own in zip(groups, kept, strict=True) if own]
        return cls(read, Ladders(reading.recipe))


def against(
    table: Table, groups: Sequence[Group], *, data: str | None = None, damaged: Faults | None = None
) -> list[Line]:
    """Every cell of the table with each group of runs that belongs to it, the one most like the paper's first.

    Args:
        table: the paper's.
        groups: as `compare.grouped` makes them.
        data: runs on this data set stand for the paper's, whatever that is.
        damaged: where the faults of damaged reports are put, which are as if not there; None: they raise.

    Raises:
        UsageError: the table names a recipe that is not there, or keys that it cannot have.
        ArtifactError: a report that a cell is read from is damaged, and faults are not put elsewhere.
    """
    targets = targets_of(table.cells)
    keys, found = telling(targets), list[Line]()
    for cell in table.cells:
        check_audit(cell)
    read = [cell.reading if needs_report(cell.metric) else None for cell in table.cells]
    by_reading = {reading: Known.of(groups, reading, damaged) for reading in dict.fromkeys(read)}
    for cell, wanted, reading in zip(table.cells, targets, read, strict=True):
        tell = {key for key in keys[wanted.kind] if key not in cell.unknown}
        known = by_reading[reading]
        fit = [group for group in known.groups if _fits(group, wanted, tell, data)]
        kind = (wanted.net, wanted.data, wanted.method)
        found += [replace(line, kind=kind) for line in _lines(cell, wanted, fit, known)]
    return found


def related(lines: Sequence[Line]) -> list[Line]:
    """Lines with runs, and missing ones of nets, data and methods that some run belongs to; with them dense nets."""
    kinds = {line.kind for line in lines if line.group}
    kinds |= {(net, data, "dense") for net, data, _ in kinds}
    return [line for line in lines if line.kind in kinds]


def strangers(table: Table, groups: Sequence[Group]) -> str:
    """Why no run belongs to any cell: other nets or data, or else."""
    theirs = {(target.net, target.data) for target in targets_of(table.cells)}
    ours = {(group.net, group.data) for group in groups}
    rows = len({cell.row for cell in table.cells})
    none = f"no run belongs to any of the {len(table.cells)} cells in {rows} rows of {table.spec}"
    if theirs & ours:
        return f"{none}: methods, tweaks, densities or keys are others than the table's"
    said = f"{none}: the runs are of {_told(ours)}, the table's of {_told(theirs)}"
    nets = {net for net, _ in theirs}
    other = sorted(data for net, data in ours if net in nets)
    return said + (f"; --data {other[0]} lets them stand for it" if other else "")


def _told(pairs: set[tuple[str, str]]) -> str:
    return ", ".join(f"{net} on {data}" for net, data in sorted(pairs))


def _fits(group: Group, wanted: Target, tell: Iterable[str], data: str | None) -> bool:
    kind = (
        group.net,
        wanted.data if group.data == data else group.data,
        group.method,
        group.control,
        group.tweaks,
    )
    if kind != wanted.kind:
        return False
    other = {key for key in {*group.settings, *wanted.settings} if key.startswith(OTHERWISE)}
    return all(agree(group.settings.get(key), wanted.settings.get(key)) for key in {*tell, *other})


# ------------------------------------------------------------------------------------------------------- the lines


def _lines(cell: Cell, wanted: Target, fit: Sequence[Group], known: Known) -> list[Line]:
    if cell.metric.startswith("winning_sparsity"):
        return _winning(cell, wanted, fit, known)
    near = _nearest(cell, fit)
    if not near:
        return [_missing(cell, "no run")]
    return sorted((_line(cell, wanted, group) for group in near), key=lambda line: len(line.differs))


def _line(cell: Cell, wanted: Target, group: Group) -> Line:
    scale = 100.0 if cell.unit == "percent" else 1.0
    mean, deviation = group.mean(cell.metric), group.deviation(cell.metric)
    n, unread = len(group.values(cell.metric)), _unread(cell, group)
    why = (
        "" if mean is not None else "diverged" if not group.finite else f"{cell.metric} is not in these runs"
    )
    return Line(
        cell,
        group,
        None if mean is None else scale * mean,
        None if deviation is None else scale * deviation,
        n,
        differences(group, wanted, cell),
        unread if group.finite and unread else why,
    )


def _unread(cell: Cell, group: Group) -> str:
    """Why the metric could not be read from the reports of some runs: of the first of them."""
    if not needs_report(cell.metric):
        return ""
    without = [run.stored for run in group.finite if run.stored and run.value(cell.metric) is None]
    if not without:
        return ""
    few = f"{len(without)} of {len(group.finite)} runs: " if len(group.finite) > 1 else ""
    return few + without[0].why(cell.metric)


def _missing(cell: Cell, why: str) -> Line:
    return Line(cell, None, None, None, 0, (), why)


def _nearest(cell: Cell, fit: Sequence[Group]) -> list[Group]:
    """Of the groups within half a level, for every recipe those of the density that is nearest."""
    if cell.sparsity is None or cell.sparsity == 0:
        return list(fit)
    aim = float(1 - cell.sparsity / 100)
    near: dict[tuple[tuple[str, str], ...], list[tuple[float, Group]]] = {}
    for group in fit:
        far = abs(math.log(float(group.density) / aim)) if group.density > 0 else math.inf
        if far <= HALF_LEVEL:
            near.setdefault(_recipe(group), []).append((far, group))
    return [min(found, key=lambda pair: pair[0])[1] for found in near.values()]


def _recipe(group: Group) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(group.settings.items()))


def _winning(cell: Cell, wanted: Target, fit: Sequence[Group], known: Known) -> list[Line]:
    """Of every ladder, the highest sparsity that wins."""
    found: dict[tuple[tuple[str, str], ...], list[Group]] = {}
    for group in fit:
        found.setdefault(_recipe(group), []).append(group)
    lines = []
    for ladder in found.values():
        name, best = cell.metric.partition(".")[2], ladder[0]
        if needs_audit(cell.metric):
            win = known.ladders.win(name, ladder)
        else:
            win, best = accuracy_win(ladder, known.groups)
        ours = None if win.sparsity is None else float(100 * win.sparsity)
        other = differences(ladder[0], wanted, cell)
        lines.append(Line(cell, best, ours, None, 0 if ours is None else win.n, other, win.why))
    return lines or [_missing(cell, "no run")]
