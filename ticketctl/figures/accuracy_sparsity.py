"""Accuracy against sparsity, with the dense net across.

The figure that nearly every paper on tickets begins with: the mean over seeds at each level, a band of one sample
deviation to both sides, and the dense net of the same training as a broken line with its own band. Sparsity is spread
as the logarithm of the density, so that rounds of pruning lie equally far apart. Runs that diverged are counted in the
notes and averaged nowhere. Controls, tweaks and other recipes are lines of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticketctl.figures.rows import (
    along,
    beside,
    by_place,
    ids,
    ladders_with,
    parts,
    reading,
    said,
    split,
    unit_of,
)
from ticketctl.figures.sheet import Axis, Cell, Sheet
from ticketctl.figures.shelf import Family, Shelf

FACTS = {"from": "runs", "papers": "001 Fig 2; 002 Fig 4; 003 Fig 7; 004 Fig 2"}


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    metric: str = "test.accuracy"
    """As a run's manifest names it; accuracies are shown in percent."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set; more where there are many recipes.

    Raises:
        NothingError: no pruned net that was trained, or none has the metric.
    """
    value = reading(params.metric)
    found = {family: [*along(family, value)] for family in ladders_with(shelf, params.metric)}
    sheets = [(part, few) for part, _, mine in by_place(found) for few in split(mine)]
    for (_, few), part in zip(sheets, parts(part or "all" for part, _ in sheets), strict=True):
        rows = [row for family in few for row in found[family]]
        yield _sheet(shelf, few, rows, params.metric, "" if len(sheets) == 1 else part)


def _sheet(
    shelf: Shelf, families: Sequence[Family], rows: list[tuple[Cell, ...]], metric: str, part: str
) -> Sheet:
    first, across = families[0], beside(shelf, families, reading(metric))
    name, unit = metric.replace(".", " "), unit_of(metric)
    nets = [
        one for family in families for one in [*(family.dense.nets if family.dense else ()), *family.nets]
    ]
    return Sheet(
        "accuracy-sparsity", "lines", f"{first.net} on {first.data}: {name} against sparsity",
        Axis("sparsity", "%", "sparsity"), Axis(name, unit), (*across, *rows), part,
        notes=said([*across, *rows], nets), sources=ids(nets),
    )  # fmt: skip
