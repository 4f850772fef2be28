"""Accuracy of a linear probe behind the last block, against sparsity.

Each family of tickets has a panel. Lines: the trained nets; the tickets before training, at their rewind point; the
same weights under their masks permuted inside each layer. Across: the dense net at its initialisation, and the trained
dense net (paper 003, section 5.1). Means over nets, bands one sample deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ticketctl.figures.heads import DENSE, OF, HeadKeys, apart, last, protocol, reads, stood_for
from ticketctl.figures.rows import PANELS, along, averaged, by_place, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Family, Net, Read, Shelf, Stat

FACTS = {"from": "probes", "papers": "003 Fig 17-20; Tables 5, 17, 18"}


@dataclass(frozen=True)
class Params(HeadKeys):
    """What is drawn."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no linear probe of a ticket, or not of this head or on these images.
    """
    known, sheets = reads(shelf), []
    for part, where, families in by_place(one for one in shelf.families if not one.is_dense):
        found = {one.label: list(_lines(one, known, params)) for one in families}
        mine = [one for one in apart(families, known) if found[one.label]]
        for at, few in enumerate(split(mine, PANELS)):
            rows = [row for one in few for row in (*_across(one, known, params), *found[one.label])]
            more = "-".join(filter(None, (part, str(at) if at else "")))
            sheet = _sheet(few, rows, known, params, where, slug(more) if more else "")
            sheets.append(replace(sheet, notes=(*sheet.notes, *stood_for(families, known, few))))
    if not sheets:
        asked = f" of head {params.head}" + (f" on {params.set} images" if params.set else "")
        raise NothingError(
            f"no linear probe{asked} of a ticket; run: "
            f"ticketctl probe {shelf.ticket} --level all --controls --metrics linear-probe"
        )
    yield from sheets


def _lines(family: Family, known: Mapping[str, Read], params: Params) -> Iterator[tuple[Cell, ...]]:
    for of, read in known.items():
        if of != "random-dense":
            yield from along(family, partial(last, read=read, keys=params), panel=short(family), label=OF[of])


def _across(family: Family, known: Mapping[str, Read], params: Params) -> Iterator[tuple[Cell, ...]]:
    """The dense nets: as their initialisation left them, told of every level of the ladder, and trained."""
    sources: dict[str, Sequence[Net]] = {"random-dense": family.nets}
    sources |= {"trained": family.dense.finite} if family.dense else {}
    for of, nets in sources.items():
        if of in known:
            own = {
                known[of].by_net[net].id: last(net, known[of], params)
                for net in nets
                if net in known[of].by_net
            }
            stat = Stat.of(own.values())
            if stat:
                label = OF[of] if of == "random-dense" else DENSE
                yield row_of(label, None, stat, role="reference", panel=short(family))


def _sheet(
    families: Sequence[Family], rows: Sequence[tuple[Cell, ...]], known: Mapping[str, Read], params: Params,
    where: str, part: str,
) -> Sheet:  # fmt: skip
    nets = [net for one in families for net in (*one.nets, *(one.dense.nets if one.dense else ()))]
    used = [read.by_net[net].id for read in known.values() for net in nets if net in read.by_net]
    return Sheet(
        "probe-sparsity", "lines", f"{where}: linear probes behind the last block against sparsity",
        Axis("sparsity", "%", "sparsity"), Axis("accuracy of the probe", "%"), tuple(rows), part,
        notes=(
            averaged(rows), *protocol(known, nets, params),
        ),
        sources=tuple(dict.fromkeys(used)),
    )  # fmt: skip
