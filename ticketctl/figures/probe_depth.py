"""Accuracy of a linear probe behind each block, from the first to the last.

Each family of tickets has a sheet, each level that is drawn a panel. Lines: the trained net; the ticket before
training, at its rewind point; the same weights under its mask permuted inside each layer; the dense net at its
initialisation; and the trained dense net (paper 003, section 5.1 and appendix G). Depth is the share of the blocks up
to and with this one, so that nets of other depths can be compared. Means over nets, bands one sample deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ticketctl.figures.heads import DENSE, OF, HeadKeys, apart, by_block, protocol, reads, stood_for
from ticketctl.figures.paths import check_sparsities, chosen, left_out
from ticketctl.figures.rows import averaged, by_place, parts, percent, row_of, short
from ticketctl.figures.sheet import FORMS, Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Read, Shelf

FACTS = {"from": "probes", "papers": "003 Fig 5, 17-20; Tables 5, 17, 18"}


@dataclass(frozen=True)
class Params(HeadKeys):
    """What is drawn."""

    sparsities: tuple[float, ...] = ()
    """Levels, in percent, of each the nearest; none: at most 4 from the densest to the sparsest."""

    def __post_init__(self) -> None:
        check_sparsities("probe-depth", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each family of tickets.

    Raises:
        NothingError: no linear probe of a ticket, or not of this head or on these images.
    """
    known = reads(shelf)
    found = [
        (part, where, family, stood_for(families, known, [family]))
        for part, where, families in by_place(one for one in shelf.families if not one.is_dense)
        for family in apart(families, known)
        if _measured(family, known, params)
    ]
    if not found:
        asked = f" of head {params.head}" + (f" on {params.set} images" if params.set else "")
        raise NothingError(
            f"no linear probe{asked} of a ticket; run: ticketctl probe {shelf.ticket} --controls --metrics linear-probe"
        )
    names = parts("-".join(filter(None, (part, short(family)))) for part, _, family, _ in found)
    for name, (_, where, family, others) in zip(names, found, strict=True):
        sheet = _sheet(family, known, params, where, name)
        yield replace(sheet, notes=(*sheet.notes, *others))


def _measured(family: Family, known: Mapping[str, Read], params: Params) -> list[Group]:
    """Levels of which anything but the dense net at its initialisation was probed."""
    own = [read for of, read in known.items() if of != "random-dense"]
    return [group for group in family.groups if any(any(by_block(group, read, params)) for read in own)]


def _sheet(family: Family, known: Mapping[str, Read], params: Params, where: str, part: str) -> Sheet:
    there = _measured(family, known, params)
    shown = chosen(there, params.sparsities)
    rows = [row for group in shown for row in _panel(group, family.dense, known, params)]
    nets = [net for group in (*shown, *([family.dense] if family.dense else [])) for net in group.nets]
    used = [read.by_net[net].id for read in known.values() for net in nets if net in read.by_net]
    return Sheet(
        "probe-depth", "lines", f"{where}, {short(family)}: linear probes behind each block",
        Axis("depth", "share of blocks"), Axis("accuracy of the probe", "%"), tuple(rows), part,
        (*FORMS["lines"], "block"),
        notes=(
            averaged([row[:-1] for row in rows]),
            *protocol(known, nets, params), *left_out(len(shown), len(there)),
        ),
        sources=tuple(dict.fromkeys(used)),
    )  # fmt: skip


def _panel(
    group: Group, dense: Group | None, known: Mapping[str, Read], params: Params
) -> Iterator[tuple[Cell, ...]]:
    lines = [(OF[of], group, read) for of, read in known.items()]
    if dense is not None and "trained" in known:
        lines.append((DENSE, dense, known["trained"]))
    for label, nets, read in lines:
        for point, stat in by_block(nets, read, params):
            yield *row_of(label, point.depth, stat, panel=percent(group.density)), point.block
