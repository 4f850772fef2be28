"""The loss along the direction in which it bends most, the top eigenvector of its Hessian.

L(theta + t v) with v of norm 1, t from -0.5 to 0.5 (paper 001, Figure 10; Yao et al. 2020); the accuracy along the same
way has a sheet of its own. Each family has a panel, its dense net and the levels that are drawn a line each. Of v and
-v that one whose largest component is positive, so left and right mean nothing between nets. The lower and flatter a
curve, the flatter the minimum; v is as long whatever the weights are. Means over nets, bands one sample deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.report import Report
from ticketctl.errors import UsageError
from ticketctl.figures.paths import check_sparsities, chosen, columns, known, left_out, means
from ticketctl.figures.rows import PANELS, averaged, by_place, percent, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf, Stat

FACTS = {"from": "interpolations", "papers": "001 Fig 10"}
MODULE = "eigenvector"


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    what: tuple[Literal["loss", "accuracy"], ...] = ("loss", "accuracy")
    """A sheet for each."""
    sparsities: tuple[float, ...] = ()
    """Levels, in percent, of each the nearest; none: at most 4 from the densest to the sparsest."""

    def __post_init__(self) -> None:
        check_sparsities(MODULE, self.sparsities)
        if not self.what:
            raise UsageError("figures.eigenvector.what: loss, accuracy or both, not none")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """Sheets for each net and data set.

    Raises:
        NothingError: no net was measured so.
    """
    read = shelf.read("interpolate", MODULE)
    if not read.by_net:
        raise NothingError(
            "no loss along an eigenvector; run: "
            f"ticketctl interpolate {shelf.run} --recipe interpolate/eigenvector"
        )
    for part, where, families in by_place(shelf.families):
        there = [one for one in families if any(net in read.by_net for net in one.nets)]
        mine = [one for one in there if not one.is_dense] or there
        for what in dict.fromkeys(params.what):
            for at, few in enumerate(split(mine, PANELS)):
                more = "-".join(filter(None, (what, part, str(at) if at else "")))
                yield _sheet(few, read, what, params, where, slug(more))


def _sheet(families: Sequence[Family], read: Read, what: str, params: Params, where: str, part: str) -> Sheet:
    rows, notes, nets = list[tuple[Cell, ...]](), list[str](), list[Net]()
    for family in families:
        dense = [family.dense] if family.dense and not family.is_dense else []
        groups = [one for one in (*dense, *family.groups) if any(net in read.by_net for net in one.finite)]
        shown = chosen(groups, params.sparsities)
        notes += left_out(len(shown), len(groups))
        for group in shown:
            rows += _line(family, group, read, what)
            nets += [net for net in group.finite if net in read.by_net]
    axis = Axis("loss") if what == "loss" else Axis("accuracy", "%")
    return Sheet(
        MODULE, "lines", f"{where}: {what} along the top eigenvector of the Hessian",
        Axis("t", "length of the step"), axis, tuple(rows), part,
        notes=(
            averaged(rows), *_protocol(read, nets),
            *dict.fromkeys(notes), *read.notes,
        ),
        sources=tuple(dict.fromkeys(read.by_net[net].id for net in nets)),
    )  # fmt: skip


def _line(family: Family, group: Group, read: Read, what: str) -> Iterator[tuple[Cell, ...]]:
    scale = 1.0 if what == "loss" else 100.0
    curves = [_curve(read.by_net[net], what) for net in group.finite if net in read.by_net]
    steps = next((found[0] for found in curves if found), np.zeros(0))
    alike = [known(scale * found[1]) for found in curves if found and np.array_equal(found[0], steps)]
    label = "dense" if group.density == 1 else percent(group.density)
    for t, stat in zip(steps, means(alike) or [None] * len(steps), strict=True):
        if stat:
            yield row_of(label, float(t), stat, panel=short(family))


def _curve(report: Report, what: str) -> list[NDArray[Any]]:
    """Steps, and what the net has there; none where the report lacks them."""
    return columns(report, f"{MODULE}/t", f"{MODULE}/{what}")


def _protocol(read: Read, nets: Sequence[Net]) -> Iterator[str]:
    rows = [row for net in nets if (row := read.row(net, MODULE))]
    sets = " or ".join(dict.fromkeys(f"{row.n} {row.protocol.get('set', 'test')} images" for row in rows))
    bends = Stat.of(read.value(net, f"{MODULE}.lambda") for net in nets)
    yield f"on {sets}" + (f"; mean top eigenvalue {bends.mean:.3g}" if bends else "")
