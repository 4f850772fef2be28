"""A sweep at a glance: the mean test accuracy of every recipe at every sparsity.

A row for each recipe, a column for each sparsity, the dense net of the same training in the first column; the cell is
the mean over seeds of a metric, accuracies in percent. How many runs stand behind a cell is written in it where that
differs from cell to cell, and otherwise noted.

Choices: densities that differ by at most 2 % share a column, for ladders of several recipes round differently; two
levels of one ladder never do. Runs that diverged are in no mean, and counted in a note; a cell without a run is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.figures.ladders import numbered
from ticketctl.figures.rows import Value, by_place, ladders_with, percent, reading, short, split, unit_of
from ticketctl.figures.sheet import Axis, Cell, Sheet, counted
from ticketctl.figures.shelf import Family, Group, Shelf, Stat

FACTS = {"from": "runs", "papers": "001 Table A2; 003 Table 1"}
SAME = 1.02
"""Densities of a column are no further apart."""
MOST = 24
"""Recipes of a sheet."""


@dataclass(frozen=True)
class Params:
    """What is shown."""

    metric: str = "test.accuracy"
    """As a run's manifest names it; accuracies are shown in percent."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many recipes.

    Raises:
        NothingError: no pruned net that was trained, or none has the metric.
    """
    for part, title, families in by_place(ladders_with(shelf, params.metric)):
        several = split(families, MOST)
        for at, mine in enumerate(several):
            yield _sheet(numbered(part, at, len(several)), title, mine, params.metric)


def columns_of(ladders: Sequence[Sequence[float]]) -> dict[float, str]:
    """The column of each density by the densest of those that share it, the densest first.

    Args:
        ladders: of each recipe its densities in (0, 1], of which no two share a column.
    """
    columns: list[list[float]] = []
    for one in sorted({one for ladder in ladders for one in ladder}, reverse=True):
        last = columns[-1] if columns else []
        apart = any(one in ladder and not {*ladder}.isdisjoint(last) for ladder in ladders)
        if last and last[0] <= SAME * one and last[0] < 1 and not apart:
            last.append(one)
        else:
            columns.append([one])
    names = {column[0]: "dense" if column[0] == 1 else percent(column[0]) for column in columns}
    return {one: names[column[0]] for column in columns for one in column}


def _sheet(part: str, title: str, families: Sequence[Family], metric: str) -> Sheet:
    groups = {family: [*([family.dense] if family.dense else []), *family.groups] for family in families}
    columns = columns_of([[group.density for group in mine] for mine in groups.values()])
    rows = [row for family, mine in groups.items() for row in _rows(family, mine, columns, reading(metric))]
    nets = {net.id: net for mine in groups.values() for group in mine for net in group.nets}
    lost, said = sum(net.diverged for net in nets.values()), metric.replace(".", " ")
    return Sheet(
        "sweep-map", "matrix", f"{title}: {said} of every recipe", Axis("sparsity"), Axis(""), tuple(rows), part,
        z=Axis(said, unit_of(metric)),
        notes=(
            f"mean over n = {counted(rows)} runs",
            *([f"{lost} of {len(nets)} runs diverged: in no mean"] if lost else []),
        ),
        sources=tuple(nets),
    )  # fmt: skip


def _rows(
    family: Family, groups: Sequence[Group], columns: Mapping[float, str], value: Value
) -> Iterator[tuple[Cell, ...]]:
    """A cell for every column, empty where the family has no net there."""
    for column in dict.fromkeys(columns.values()):
        mine = [net for group in groups if columns[group.density] == column for net in group.finite]
        stat = Stat.of(value(net) for net in mine)
        yield ("", short(family), column, stat.mean if stat else None, stat.n if stat else None)
