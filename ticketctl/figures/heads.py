"""Linear probes of families of nets: which head is read, and on which images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import columns, known
from ticketctl.figures.rows import short
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf, Stat

MODULE = "linear-probe"
OF = {
    "trained": "trained",
    "untrained": "untrained ticket",
    "permuted": "mask permuted",
    "random-dense": "random dense",
}
"""What is probed, and what it is called."""
DENSE = "trained dense"


@dataclass(frozen=True)
class HeadKeys:
    """Which numbers of a probe are drawn."""

    head: Literal["sgd", "lbfgs"] = "sgd"
    """Of the paper's few epochs, or trained to the end."""
    set: Literal["", "train", "val", "test"] = ""
    """Images; none: validation images, or test images where none were held out."""


@dataclass(frozen=True)
class Point:
    """A block of a net."""

    block: int
    depth: float
    """As a share of the blocks, in (0, 1]."""
    accuracy: float
    """In percent."""


def reads(shelf: Shelf) -> dict[str, Read]:
    """What was probed, by its reading; those that nobody probed are left out."""
    found = {of: shelf.read("probe", MODULE, of) for of in OF}
    return {of: read for of, read in found.items() if read.by_net}


def points(report: Report, keys: HeadKeys) -> list[Point]:
    """The accuracy behind each block; none where the report has no such numbers."""
    head = "lbfgs." if keys.head == "lbfgs" else ""
    names = ("block", "depth_fraction", f"{head}{set_of(report, keys)}.accuracy")
    found = columns(report, *(f"{MODULE}/{name}" for name in names))
    return [
        Point(int(block), float(depth), accuracy)
        for block, depth, share in zip(*found, strict=True)
        for accuracy in known(100 * np.array([share]))
        if accuracy is not None
    ]


def set_of(report: Report, keys: HeadKeys) -> str:
    """The images that its accuracies are of."""
    return keys.set or ("val" if f"{MODULE}/val.accuracy" in report.arrays else "test")


def by_block(group: Group, read: Read, keys: HeadKeys) -> Iterator[tuple[Point, Stat]]:
    """The mean over nets behind each block, with one of their points."""
    found: dict[int, list[Point]] = {}
    for net in group.finite:
        for point in points(read.by_net[net], keys) if net in read.by_net else ():
            found.setdefault(point.block, []).append(point)
    for _, alike in sorted(found.items()):
        stat = Stat.of(point.accuracy for point in alike)
        if stat:
            yield alike[0], stat


def last(net: Net, read: Read, keys: HeadKeys) -> float | None:
    """Behind the last block, in percent; None where that was not probed."""
    found = points(read.by_net[net], keys) if net in read.by_net else []
    return next((one.accuracy for one in found if one.depth == 1), None)


def apart(families: Sequence[Family], known_: Mapping[str, Read]) -> list[Family]:
    """Those whose reports are not all of the same tickets as another's: spends share them with what the draw trained.

    Of several, that one stands for them, and its dense nets, whose nets the draw itself trained; else the one with most
    reports, of these the first.
    """
    found, kept = list[set[str]](), set[Family]()
    reports = {family: _reports(family, known_) for family in families}
    for family in sorted(families, key=lambda one: (not _of_draw(one), -len(reports[one]))):
        own = reports[family]
        if own and not any(own <= one for one in found):
            kept.add(family)
            found.append(own)
    return [family for family in families if family in kept]


def stood_for(families: Sequence[Family], known_: Mapping[str, Read], shown: Sequence[Family]) -> list[str]:
    """What is to be said of families whose reports are drawn with those of another."""
    mine = set[str]().union(*(_reports(one, known_) for one in shown))
    names = [
        short(one) for one in families if one not in shown and (own := _reports(one, known_)) and own <= mine
    ]
    return [f"the same tickets, trained otherwise too: {'; '.join(names)}"] if names else []


def _of_draw(family: Family) -> bool:
    """Whether the draw itself trained them."""
    return any("/levels/" in net.place for net in family.nets)


def _reports(family: Family, known_: Mapping[str, Read]) -> set[str]:
    """The ids of its reports, but for those of the dense net at its initialisation."""
    return {
        read.by_net[net].id
        for of, read in known_.items()
        for net in family.nets
        if of != "random-dense" and net in read.by_net
    }


def protocol(known_: Mapping[str, Read], nets: Sequence[Net], keys: HeadKeys) -> list[str]:
    """What is to be said of heads, images and BatchNorm's statistics."""
    reports = [read.by_net[net] for read in known_.values() for net in nets if net in read.by_net]
    told = [one.recipe.get("keys") for one in reports]
    own = [one[MODULE] for one in told if isinstance(one, Mapping) and isinstance(one.get(MODULE), Mapping)]
    sets = " or ".join(dict.fromkeys(set_of(one, keys) for one in reports))
    norms = " or ".join(dict.fromkeys(str(one["bn"]) for one in own if "bn" in one))
    epochs = " or ".join(dict.fromkeys(f"{one['epochs']} epochs" for one in own if "epochs" in one))
    head = (
        "trained to the end (lbfgs)"
        if keys.head == "lbfgs"
        else f"trained for {epochs}"
        if epochs
        else "of sgd"
    )
    return [
        f"{sets} accuracy; heads {head}"
        + (f"; BatchNorm's statistics where a net has any: {norms}" if norms else ""),
        *(f"{OF[of]}: {note}" for of, read in known_.items() for note in read.notes),
    ]
