"""Accuracy on another data set of frozen nets under a new output layer, against sparsity.

Lines are the frozen nets of each family of tickets, trained ones and, where they were measured, tickets before their
training; across, the frozen dense net, and a dense net of the same form that was trained on the target (paper 003,
section 5.1). Each target has a sheet. Sparsity is the ticket's; the new layer is dense. Means over nets, bands one
sample deviation. A ticket before its training is one, however often it was trained: it stands once, under the family
that the draw itself trained if that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ticketctl.figures.heads import apart, stood_for
from ticketctl.figures.rows import SERIES, along, averaged, beside, by_place, parts, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf, Stat

FACTS = {"from": "transfers", "papers": "003 Fig 6; Tables 6, 19, 20"}
MODULE = "transfer"
READINGS = ("trained", "untrained", "retrained")
Known = dict[str, Read]
"""Of each reading what was measured on one target."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    head: Literal["sgd", "lbfgs"] = "sgd"
    """Of the paper's few epochs, or trained to the end."""
    to: str = ""
    """The target's name; none: all of them."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net, data set and target.

    Raises:
        NothingError: no frozen ticket was transferred, or not to that target.
    """
    sheets = []
    for name, to in _targets(shelf, params):
        known = {of: shelf.read("transfer", MODULE, of, to=to) for of in READINGS}
        for _, where, families in by_place(one for one in shelf.families if not one.is_dense):
            once = apart(families, _untrained(known))
            found = {one.label: list(_lines(one, known, params, one in once)) for one in families}
            for few in split([one for one in families if found[one.label]], SERIES // 2):
                rows = [
                    *_across(shelf, few, known, params),
                    *(row for one in few for row in found[one.label]),
                ]
                alone = f", {short(few[0])}" if len(few) == 1 else ""  # no legend tells it
                left = stood_for(families, _untrained(known), [one for one in few if one in once])
                sheets.append((f"{where}{alone}: frozen nets on {name}", name, few, known, rows, left))
    if not sheets:
        to = params.to or "DATA"
        raise NothingError(
            f"no frozen ticket was moved to {to}; run: ticketctl transfer {shelf.run} --to {to} --controls"
        )
    names = parts(name if len(sheets) == 1 else f"{name}-{title}" for title, name, *_ in sheets)
    for part, (title, _, few, known, rows, left) in zip(names, sheets, strict=True):
        sheet = _sheet(rows, few, known, params, title, part)
        yield replace(sheet, notes=(*sheet.notes, *left))


def _untrained(known: Known) -> Known:
    """Of tickets before their training, which all families that were spent from them share."""
    return {"untrained": known["untrained"]}


def _targets(shelf: Shelf, params: Params) -> list[tuple[str, str]]:
    """Names and fingerprints of the data sets that nets were moved to."""
    reports = (report for of in READINGS for net in shelf.nets for report in net.reports("transfer", of))
    told = [one.recipe.get("target") for one in reports]
    found = [(str(one.get("name")), str(one.get("fingerprint"))) for one in told if isinstance(one, Mapping)]
    return [one for one in dict.fromkeys(found) if params.to in ("", one[0])]


def _value(read: Read, params: Params) -> Callable[[Net], float | None]:
    """Reads the accuracy on the target's test images, in percent; of retrained nets there is one head alone."""
    name = MODULE if params.head == "sgd" else f"{MODULE}.lbfgs"

    def found(net: Net) -> float | None:
        value = read.value(net, name)
        return None if value is None else 100 * value

    return found


def _lines(family: Family, known: Known, params: Params, untrained: bool) -> Iterator[tuple[Cell, ...]]:
    yield from along(family, _value(known["trained"], params))
    if untrained:
        yield from along(family, _value(known["untrained"], params), label=f"{short(family)}, untrained")


def _across(
    shelf: Shelf, families: Sequence[Family], known: Known, params: Params
) -> Iterator[tuple[Cell, ...]]:
    """Dense nets: frozen, and trained on the target."""
    for row in beside(shelf, families, _value(known["trained"], params)):
        yield (row[0], f"frozen {str(row[1]).rpartition(': ')[2]}", *row[2:])
    again = known["retrained"]
    mine = [net for family in families for group in _groups(family) for net in group.nets]
    own = {again.by_net[net].id: again.value(net, MODULE) for net in mine if net in again.by_net}
    stat = Stat.of(None if value is None else 100 * value for value in own.values())
    if stat:
        yield row_of("dense, trained on the target", None, stat, role="reference")


def _groups(family: Family) -> list[Group]:
    return [*family.groups, *([family.dense] if family.dense else [])]


def _sheet(
    rows: Sequence[tuple[Cell, ...]],
    families: Sequence[Family],
    known: Known,
    params: Params,
    title: str,
    part: str,
) -> Sheet:
    nets = [net for family in families for group in _groups(family) for net in group.nets]
    reports = [read.by_net[net].id for read in known.values() for net in nets if net in read.by_net]
    frozen = [row for of in READINGS[:2] for net in nets if (row := known[of].row(net, MODULE))]
    norms = " or ".join(
        dict.fromkeys(
            str(told.get("policy", told)) if isinstance(told, Mapping) else str(told)
            for row in frozen
            if (told := row.protocol.get("batchnorm")) is not None
        )
    )
    head = "trained for few epochs" if params.head == "sgd" else "trained to the end (lbfgs)"
    notes = [averaged(rows)]
    notes += [
        f"test accuracy; new output layers {head}" + (f"; BatchNorm's statistics: {norms}" if norms else "")
    ]
    notes += [note for read in known.values() for note in read.notes]
    return Sheet(
        MODULE, "lines", title, Axis("sparsity of the ticket", "%", "sparsity"), Axis("accuracy on the target", "%"),
        tuple(rows), part, notes=tuple(dict.fromkeys(notes)), sources=tuple(dict.fromkeys(reports)),
    )  # fmt: skip
