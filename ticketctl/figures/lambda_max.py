"""The largest eigenvalue of the Hessian along the training, and where it ends, against sparsity.

What a spend with `keep.lambda_max` wrote down (`record.lambda_max`): of the mean cross-entropy over some fixed batches
of training images, before training and after every epoch (paper 001, Figure A11; the smaller, the flatter).
One sheet is by epoch, a panel for each level, a line for each method and set of tweaks; another has the value after the
last epoch against sparsity, from the dense net on. Lines are means over seeds. The scale is logarithmic where all
values are above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ticketctl.figures.epochs import DENSE, Course, check_levels, course, finite, ladders, levels_of, replaced
from ticketctl.figures.rows import PANELS, by_place, from_dense, heading, ids, parts, said, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf

FACTS = {"from": "runs", "papers": "001 Fig A11"}
RECORD = "lambda_max"
NAME = "largest eigenvalue of the Hessian"
Rows = Sequence[tuple[Cell, ...]]


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    levels: tuple[float, ...] = ()
    """Of the sheet by epoch: sparsities in percent, of each the nearest level; 0 is the dense net. None: dense, a
    middle one, the last. In place of one that has no record stands the nearest that has, and the notes say so."""

    def __post_init__(self) -> None:
        """Refuse what is no sparsity.

        Raises:
            UsageError: not in [0, 100).
        """
        check_levels(self.levels, "figures.lambda-max.levels")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set a sheet by epoch and one against sparsity.

    Raises:
        NothingError: no run wrote it down.
    """
    measured = [family for family in ladders(shelf) if any(course_of(net) for net in _nets(family))]
    if not measured:
        raise NothingError(
            f"no run recorded its largest eigenvalue; run: ticketctl spend {shelf.ticket} --set keep.lambda_max=2"
        )
    sheets = []
    for part, where, mine in by_place(measured):
        for few in split(mine):
            left = replaced(few, params.levels, _recorded, "a record")
            sheets += [
                (f"epochs-{part}", where, few, rows, "along the training", left)
                for rows in _by_epoch(few, params.levels)
            ]
            rows = _by_sparsity(few)
            sheets += [(f"sparsity-{part}", where, few, rows, "after the last epoch", [])] if rows else []
    for (_, where, few, rows, when, left), part in zip(sheets, parts(one[0] for one in sheets), strict=True):
        axis = Axis("epoch") if when.startswith("along") else Axis("sparsity", "%", "sparsity")
        sheet = _sheet(f"{heading(where, few)}: {NAME} {when}", few, rows, axis, part)
        yield replace(sheet, notes=(*sheet.notes, *left))


def course_of(net: Net) -> Course:
    """By epoch; nothing where it was not recorded, or not as often as the net was measured."""
    values, series = net.record().get(RECORD), net.series()
    if values is None:
        return {}
    epochs = np.arange(len(values)) if series is None else series.epoch
    return finite(epochs, values.astype(np.float64)) if len(epochs) == len(values) else {}


def last(net: Net) -> float | None:
    """After the last epoch."""
    found = course_of(net)
    return found[max(found)] if found else None


def _nets(family: Family) -> list[Net]:
    return [*family.nets, *(family.dense.nets if family.dense else ())]


def _recorded(group: Group) -> bool:
    return any(course_of(net) for net in group.finite)


def _by_epoch(families: Sequence[Family], levels: Sequence[float]) -> Iterator[Rows]:
    """A panel for each level; a dense net that several ladders share stands under the first one's label."""
    panels: dict[str, dict[str, Group]] = {}
    for family in families:
        for name, group in levels_of(family, levels, _recorded):
            known = panels.setdefault(name, {})
            if group not in known.values():
                known[short(family)] = group
    shown = [name for name, known in panels.items() if known]
    ordered = sorted(
        shown, key=lambda name: (name != DENSE, -max(one.density for one in panels[name].values()))
    )
    for few in split(ordered, PANELS):
        yield [
            row
            for panel in few
            for label, group in panels[panel].items()
            for row in course(label, group.finite, course_of, panel=panel)
        ]


def _by_sparsity(families: Sequence[Family]) -> Rows:
    rows = [row for family in families for row in from_dense(family, last)]
    return rows if any(row[3] for row in rows) else []


def _sheet(title: str, families: Sequence[Family], rows: Rows, x: Axis, part: str) -> Sheet:
    nets = [net for family in families for net in _nets(family)]
    low = min(float(row[4]) for row in rows if isinstance(row[4], int | float))
    notes = [
        *said(rows, nets),
        "of the mean cross-entropy over fixed batches of training images (keep.lambda_max)",
    ]
    return Sheet(
        "lambda-max", "lines", title, x, Axis(NAME, "", "log" if low > 0 else "linear"), tuple(rows),
        part.strip("-"), notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip
