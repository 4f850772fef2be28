"""Convergence speed against sparsity: how early in the training the error has come down to where it ends.

The mean over epochs of the share of the whole fall of the validation error that has been done by then (paper 003,
equation 4, Tables 1 and 8 to 10), as `ticketctl probe` measures it: 1 if the first epoch does it all, a little more
than a half if the error falls evenly. Lines are means over seeds, from the dense net on. Where only dense nets were
probed, as in the tables of the paper, each recipe is a bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticketctl.figures.rows import (
    SERIES,
    Value,
    by_place,
    from_dense,
    heading,
    ids,
    parts,
    said,
    short,
    split,
)
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Net, Read, Shelf

FACTS = {"from": "probes", "papers": "003 Table 1, 8, 9, 10"}
NAME = "convergence"


@dataclass(frozen=True)
class Params:
    """No keys."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no run was probed for it.
    """
    read = shelf.read("probe", NAME)
    value = _reading(read)
    probed = [one for one in shelf.families if any(value(net) is not None for net in one.nets)]
    if not probed:
        raise NothingError(
            f"no run was probed for convergence; run: ticketctl probe {shelf.run} --metrics {NAME}"
        )
    ladders = [one for one in probed if not one.is_dense]
    sheets = [
        (part, where, few) for part, where, mine in by_place(ladders or probed) for few in split(mine, SERIES)
    ]
    for (_, where, few), part in zip(sheets, parts(part or "all" for part, *_ in sheets), strict=True):
        yield _sheet(read, where, few, "" if len(sheets) == 1 else part)


def _reading(read: Read) -> Value:
    def value(net: Net) -> float | None:
        return read.value(net, NAME)

    return value


def _sheet(read: Read, where: str, families: Sequence[Family], part: str) -> Sheet:
    value, dense = _reading(read), families[0].is_dense
    line = _bars if dense else from_dense
    rows = [row for family in families for row in line(family, value)]
    nets = [net for family in families for net in family.nets if net in read.by_net]
    notes = [note.replace("band", "whiskers") if dense else note for note in said(rows, nets)]
    told = {
        str(row.protocol["error"]) for net in nets if (row := read.row(net, NAME)) and "error" in row.protocol
    }
    error = f"{' or '.join(sorted(told))} error" if told else "error"
    notes += [
        f"of the {error} by epoch; 1: all of its fall in the first one",
        *read.notes,
    ]
    x = Axis("training") if dense else Axis("sparsity", "%", "sparsity")
    return Sheet(
        "convergence", "bars" if dense else "lines",
        f"{heading(where, families)}: convergence speed" + ("" if dense else " against sparsity"),
        x, Axis("convergence speed"), tuple(rows), part, notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip


def _bars(family: Family, value: Value) -> Iterator[tuple[Cell, ...]]:
    for group in family.groups:
        stat = group.stat(value)
        if stat:
            yield "", "dense", short(family), stat.mean, stat.low, stat.high, stat.n
