"""Training images that were learned and forgotten again: by epoch, how often, and against sparsity.

An event is an image that is answered wrongly right after it was answered correctly, one presentation in each epoch, as
it is trained (Toneva et al. 2019; paper 003, Tables 1 and 8 to 10). An image that was learned and never lost is
unforgettable; one that was never answered correctly is neither. Every run keeps those answers, so nothing has to be
measured. Sheets, of which `of` chooses:

* `epochs`: the share of images forgotten at each epoch, a panel for each ladder, a line for each level;
* `counts`: how many images were forgotten how often, of those that were learned, on a logarithmic scale;
* `shares`: unforgettable and never learned images against sparsity, from the dense net on;
* `events`: the mean number of events of an image against sparsity, those never learned left out (`probe` counts them
  with as many events as presentations: forgetting.learned there is the number that is drawn here).

Lines are means over seeds. Levels are the dense net, a middle one and the last, or those that `levels` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ticketctl.errors import UsageError
from ticketctl.figures.epochs import Course, check_levels, course, ladders, levels_of
from ticketctl.figures.rows import (
    PANELS,
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
from ticketctl.figures.shelf import Family, Net, Shelf

FACTS = {"from": "runs", "papers": "003 Table 1, 8, 9, 10"}
OF = ("epochs", "counts", "shares", "events")
ENDS = "where mean less deviation is 0 or below, which has no logarithm, the band ends at the mean"
Rows = list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    of: tuple[str, ...] = OF
    """Of epochs, counts, shares, events."""
    levels: tuple[float, ...] = ()
    """Of epochs and counts: sparsities in percent, of each the nearest level; 0 is the dense net."""

    def __post_init__(self) -> None:
        """Refuse what is none of them.

        Raises:
            UsageError: another word, or a level that is no sparsity.
        """
        check_levels(self.levels, "figures.forgetting.levels")
        odd = [one for one in self.of if one not in OF]
        if odd or not self.of:
            raise UsageError(f"figures.forgetting.of: of {', '.join(OF)}, not {', '.join(odd) or 'none'}")


@dataclass(frozen=True)
class Forgot:
    """What a training forgot: shares in percent of all its images."""

    presentations: int
    """Of each image: epochs that were trained."""
    by_epoch: Course
    counts: Course
    """Share of images, by how often they were forgotten; learned ones alone."""
    unforgettable: float
    never: float
    events: float | None
    """Mean over the images that were learned; None where none was."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """The sheets of each net and data set.

    Raises:
        NothingError: no run has its answers of two epochs.
    """
    read = cache(forgot)  # a run is unpacked once
    known = [one for one in ladders(shelf) if any(read(net) for net in _nets(one))]
    sheets = []
    for part, where, mine in by_place(known):
        for of in dict.fromkeys(params.of):
            for few in split(mine, PANELS):
                rows = _ROWS[of](few, read, params.levels)
                sheets += [(of, part, where, few, rows)] if rows else []
    if not sheets:
        raise NothingError(
            f"no run has two epochs of answers to its training images; run: ticketctl spend {shelf.ticket}"
        )
    names = parts(f"{of}-{part}".strip("-") for of, part, *_ in sheets)
    for (of, _, where, few, rows), name in zip(sheets, names, strict=True):
        yield _sheet(of, where, few, read, rows, name)


def forgot(net: Net) -> Forgot | None:
    """Out of the answers that its training kept; None where there are fewer than two epochs of them."""
    series = net.series()
    if series is None or series.correct_bits is None or len(series.correct_bits) < 2 or not series.samples:
        return None
    bits = np.unpackbits(series.correct_bits, axis=1, count=series.samples, bitorder="little")
    right = bits.astype(np.bool_)
    lost = right[:-1] & ~right[1:]
    epochs = [float(one) for one in series.epoch[-len(right) :]]
    learned, events = right.any(0), lost.sum(0)
    counts = np.bincount(events[learned], minlength=len(right))
    return Forgot(
        len(right),
        {epoch: 100 * float(share) for epoch, share in zip(epochs[1:], lost.mean(1), strict=True)},
        {float(often): 100 * float(one) / len(events) for often, one in enumerate(counts)},
        100 * float((learned & (events == 0)).mean()),
        100 * float((~learned).mean()),
        float(events[learned].mean()) if learned.any() else None,
    )


Reader = Callable[[Net], Forgot | None]


def _nets(family: Family) -> list[Net]:
    return [*family.nets, *(family.dense.nets if family.dense else ())]


def _courses(
    families: Sequence[Family], levels: Sequence[float], read: Callable[[Net], Course]
) -> Iterator[tuple[Cell, ...]]:
    for family in families:
        panel = short(family) if len(families) > 1 else ""
        for name, group in levels_of(family, levels):
            yield from course(name, group.finite, read, panel=panel)


def _epochs(families: Sequence[Family], read: Reader, levels: Sequence[float]) -> Rows:
    return [*_courses(families, levels, lambda net: found.by_epoch if (found := read(net)) else {})]


def _counts(families: Sequence[Family], read: Reader, levels: Sequence[float]) -> Rows:
    rows = _courses(families, levels, lambda net: found.counts if (found := read(net)) else {})
    # what is 0 has no logarithm
    return [(*row[:5], row[5] if _above(row[5]) else None, *row[6:]) for row in rows if _above(row[4])]


def _above(cell: Cell) -> bool:
    return isinstance(cell, float) and cell > 0


def _against(families: Sequence[Family], panels: Mapping[str, Value]) -> Rows:
    pruned = [family for family in families if not family.is_dense]
    return [
        row
        for panel, value in panels.items()
        for family in pruned
        for row in from_dense(family, value, panel=panel)
    ]


def _shares(families: Sequence[Family], read: Reader, levels: Sequence[float]) -> Rows:
    panels: dict[str, Value] = {
        "unforgettable": lambda net: found.unforgettable if (found := read(net)) else None,
        "never learned": lambda net: found.never if (found := read(net)) else None,
    }
    return _against(families, panels)


def _events(families: Sequence[Family], read: Reader, levels: Sequence[float]) -> Rows:
    return _against(families, {"": lambda net: found.events if (found := read(net)) else None})


_ROWS = {"epochs": _epochs, "counts": _counts, "shares": _shares, "events": _events}
_SPARSITY = Axis("sparsity", "%", "sparsity")
_AXES = {
    "epochs": (Axis("epoch"), Axis("images forgotten", "%")),
    "counts": (Axis("times forgotten"), Axis("training images", "%", "log")),
    "shares": (_SPARSITY, Axis("training images", "%")),
    "events": (_SPARSITY, Axis("events of an image that was learned")),
}
_TITLES = {
    "epochs": "training images forgotten at each epoch",
    "counts": "how often training images were forgotten",
    "shares": "images never forgotten and never learned, against sparsity",
    "events": "forgetting events of a training image, against sparsity",
}


def _sheet(of: str, where: str, families: Sequence[Family], read: Reader, rows: Rows, part: str) -> Sheet:
    nets = [net for family in families for net in _nets(family)]
    notes = [
        *said(rows, nets),
        "forgotten: answered wrongly in the epoch after one in which it was answered correctly",
    ]
    notes += ["images that were never learned are left out"] if of in ("counts", "events") else []
    notes += [ENDS] if any(row[6] is not None and row[5] is None for row in rows) else []
    seen = sorted({found.presentations for net in nets if (found := read(net))})
    notes += (
        [f"trainings of {seen[0]} to {seen[-1]} epochs: the fewer, the less can be forgotten"]
        if seen[1:]
        else []
    )
    x, y = _AXES[of]
    return Sheet(
        "forgetting",
        "lines",
        f"{heading(where, families)}: {_TITLES[of]}",
        x,
        y,
        tuple(rows),
        part,
        notes=tuple(notes),
        sources=ids(nets),
    )
