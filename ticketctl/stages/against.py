"""Runs against a paper's table: which run belongs to which cell, how far apart they are, and what was done otherwise.

A run belongs to a cell if its net, data set, method, control and tweaks are the cell's, if its density lies within half
a level of 20 % of it (a factor of the square root of 0.8), and if the keys by which the table's rows differ have the
cell's values: momentum and batch in paper 003, the noise in paper 002. Whatever else differs is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ticketctl.stages.compare import Group, unit_of
from ticketctl.stages.papers import Cell, Table
from ticketctl.stages.targets import Target, agree, differences, targets_of, telling

HALF_LEVEL = math.log(1 / 0.8) / 2
POINT = Fraction(1, 100)
"""Paper 004's tolerance: a ticket wins that is at most a point of accuracy below the dense net (Fig. 2)."""
OTHERWISE = ("data.noise.", "data.subset.", "data.drop.")
"""Other data than the data set's own: never taken for it."""


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


def against(table: Table, groups: Sequence[Group], *, data: str | None = None) -> list[Line]:
    """Every cell of the table with each group of runs that belongs to it, the one most like the paper's first.

    Args:
        table: the paper's.
        groups: as `compare.grouped` makes them.
        data: runs on this data set stand for the paper's, whatever that is.

    Raises:
        UsageError: the table names a recipe that is not there, or keys that it cannot have.
    """
    targets = targets_of(table.cells)
    keys = telling(targets)
    found = []
    for cell, wanted in zip(table.cells, targets, strict=True):
        tell = {key for key in keys[wanted.kind] if key not in cell.unknown}
        fit = [group for group in groups if _fits(group, wanted, tell, data)]
        kind = (wanted.net, wanted.data, wanted.method)
        found += [replace(line, kind=kind) for line in _lines(cell, wanted, fit, groups)]
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


def _lines(cell: Cell, wanted: Target, fit: Sequence[Group], groups: Sequence[Group]) -> list[Line]:
    if cell.metric.startswith("winning_sparsity"):
        return _winning(cell, wanted, fit, groups)
    near = _nearest(cell, fit)
    if not near:
        return [_missing(cell, "no run")]
    scale = unit_of(cell.metric)[0] if cell.unit == "percent" else 1.0
    lines = []
    for group in near:
        mean, deviation = group.mean(cell.metric), group.deviation(cell.metric)
        why = (
            ""
            if mean is not None
            else "diverged"
            if not group.finite
            else f"{cell.metric} is not in these runs"
        )
        lines.append(
            Line(
                cell,
                group,
                None if mean is None else scale * mean,
                None if deviation is None else scale * deviation,
                len(group.values(cell.metric)),
                differences(group, wanted, cell),
                why,
            )
        )
    return sorted(lines, key=lambda line: len(line.differs))


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


def _winning(cell: Cell, wanted: Target, fit: Sequence[Group], groups: Sequence[Group]) -> list[Line]:
    """The highest sparsity at which the mean accuracy is at most a point below the dense net's."""
    if not cell.metric.endswith(".accuracy"):
        return [_missing(cell, "needs more than accuracies: an audit")]
    ladders: dict[tuple[tuple[str, str], ...], list[Group]] = {}
    for group in fit:
        ladders.setdefault(_recipe(group), []).append(group)
    lines = []
    for ladder in ladders.values():
        dense = [group for group in groups if _is_dense_of(group, ladder[0])]
        floor = _exact(dense[0]) if len(dense) == 1 else None
        winners = [
            g
            for g in ladder
            if floor is not None and (mean := _exact(g)) is not None and mean >= floor - POINT
        ]
        best = min(winners, key=lambda group: group.density, default=None)
        why = "" if best else "no dense net beside them" if floor is None else "no level wins"
        ours = float(100 * (1 - best.density)) if best else None
        n = min(len(group.values("test.accuracy")) for group in ladder) if best else 0
        lines.append(Line(cell, best or ladder[0], ours, None, n, differences(ladder[0], wanted, cell), why))
    return lines or [_missing(cell, "no run")]


def _is_dense_of(group: Group, ticket: Group) -> bool:
    own = {
        key: value
        for key, value in ticket.settings.items()
        if not key.startswith(("draw.", "spend.", "search"))
    }
    kind = (group.net, group.data, group.method, group.tweaks)
    return kind == (ticket.net, ticket.data, "dense", ticket.tweaks) and own == group.settings


def _exact(group: Group) -> Fraction | None:
    """The mean test accuracy without rounding: a verdict hangs on it."""
    values = [Fraction(repr(value)) for value in group.values("test.accuracy")]
    return sum(values, Fraction(0)) / len(values) if values else None
