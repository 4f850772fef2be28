"""Which levels of several ladders may stand side by side, and the layers of a ticket as its net runs them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.figures.rows import short as of_family
from ticketctl.figures.sheet import NothingError, slug
from ticketctl.figures.shelf import Drawn, Family, Group, Shelf

NEAR = 1.15
"""Densities are comparable if neither is more than so many times the other: half a round of pruning by 20 %."""
GROUPS = ("residual", "downsampling", "linear")
"""Of layers (paper 000 section 4.4)."""
SHORTCUTS = ("downsample", "shortcut")
MODULE = "weight-distribution"


@dataclass(frozen=True)
class Layer:
    """A prunable layer."""

    name: str
    """Of its weight."""
    group: str
    """One of `GROUPS`."""

    @property
    def label(self) -> str:
        """The name without `.weight`."""
        return self.name.removesuffix(".weight")


def check_sparsity(figure: str, sparsity: float | None) -> None:
    """Refuse what is no sparsity.

    Raises:
        UsageError: naming `figures.<figure>.sparsity`.
    """
    if sparsity is not None and not 0 <= sparsity < 100:
        raise UsageError(f"figures.{figure}.sparsity = {sparsity} must be from 0 to below 100 percent")


def nearest(densities: Sequence[float], wanted: float) -> int | None:
    """The place of the density that is nearest to `wanted`, by their ratio; None if none is comparable.

    Args:
        densities: in [0, 1]; 0 is near nothing.
        wanted: in (0, 1].
    """
    far = {at: abs(math.log(one / wanted)) for at, one in enumerate(densities) if one > 0}
    best = min(far, key=lambda at: far[at], default=None)
    return best if best is not None and far[best] <= math.log(NEAR) + 1e-9 else None


def common(ladders: Sequence[Sequence[float]]) -> float:
    """The least density that as many of the ladders as possible have a comparable level of.

    Args:
        ladders: densities in (0, 1], of each ladder; one at least has some.
    """
    every = sorted({one for ladder in ladders for one in ladder})
    return max(every, key=lambda one: (sum(nearest(ladder, one) is not None for ladder in ladders), -one))


def spread(count: int, most: int) -> list[int]:
    """At most so many of the places 0 .. count - 1, evenly spread, the last among them."""
    return sorted({round((one + 1) * count / most) - 1 for one in range(most)} & {*range(count)})


def at_density(
    families: Iterable[Family], sparsity: float | None, has: Callable[[Group], bool]
) -> dict[Family, Group]:
    """Of each family the level nearest to a sparsity; those that have none comparable are not there.

    Args:
        families: over densities.
        sparsity: in percent; None: the largest that most of them come near.
        has: which levels count.
    """
    ladders = {
        family: [group for group in family.groups if group.density > 0 and has(group)] for family in families
    }
    densities = {family: [group.density for group in groups] for family, groups in ladders.items()}
    if not any(densities.values()):
        return {}
    wanted = common([*densities.values()]) if sparsity is None else 1 - sparsity / 100
    found = {family: nearest(one, wanted) for family, one in densities.items()}
    return {family: ladders[family][at] for family, at in found.items() if at is not None}


def left_behind(families: Iterable[Family], there: Container[str]) -> list[str]:
    """What is to be said of those that `at_density` left out.

    Args:
        families: that have something to show at any level.
        there: what those that are shown are called.
    """
    names = [name for name in map(of_family, families) if name not in there]
    return [f"without a comparable level: {', '.join(names)}"] if names else []


# ----------------------------------------------------------------------------------------------------------- tickets


def pruned(ticket: Drawn) -> list[int]:
    """The levels at which something is pruned and something left, the densest first."""
    return sorted(level for level, kept in ticket.kept.items() if 0 < kept < ticket.prunable)


def density(ticket: Drawn, level: int) -> float:
    """Kept / prunable of a level, in [0, 1]."""
    return ticket.kept[level] / ticket.prunable


def level_near(ticket: Drawn, wanted: float) -> int | None:
    """The pruned level whose density is nearest to `wanted`, if it is comparable."""
    levels = pruned(ticket)
    at = nearest([density(ticket, level) for level in levels], wanted)
    return None if at is None else levels[at]


def alike(shelf: Shelf) -> list[tuple[str, str, list[Drawn]]]:
    """Tickets of one net over one data set, whose masks have the same layers of the same shapes.

    Returns:
        The part of their sheets ("" where all are alike), what they are, they.

    Raises:
        NothingError: there is no ticket that prunes anything.
    """
    found: dict[object, list[Drawn]] = {}
    for ticket in shelf.tickets:
        if pruned(ticket):
            shapes = tuple(sorted((name, tuple(shape)) for name, shape in ticket.layers.items()))
            found.setdefault((ticket.net, ticket.data, shapes), []).append(ticket)
    if not found:
        raise NothingError("no ticket with pruned weights; run: ticketctl draw")
    titles = [f"{group[0].net} on {group[0].data}" for group in found.values()]
    parts = [
        slug(title) + (f".{titles[:at].count(title) + 1}" if titles.count(title) > 1 else "")
        for at, title in enumerate(titles)
    ]
    groups = zip(parts, titles, found.values(), strict=True)
    return [(part if len(found) > 1 else "", title, group) for part, title, group in groups]


def numbered(part: str, at: int, count: int) -> str:
    """The part of one of several sheets of the same things."""
    return part if count == 1 else f"{part}.{at + 1}".strip(".")


def ends(names: Sequence[str]) -> list[str]:
    """Words for the part of a sheet of several things: the first and the last; nothing, of none."""
    return [names[0], *(["to", names[-1]] if len(names) > 1 else [])] if names else []


def short(ticket: Drawn) -> str:
    """Its label without its net and data set, which the title of a sheet says."""
    return ticket.label.removeprefix(f"{ticket.net} on {ticket.data}: ")


def named(tickets: Sequence[Drawn]) -> dict[Drawn, str]:
    """The label of each, with its seed, all or none, where several have a label, and then with its number."""
    several = len({*map(short, tickets)}) < len(tickets)
    names = {one: f"{short(one)}, seed {one.seed}" if several else short(one) for one in tickets}
    many = Counter(names.values())
    return {
        one: name if many[name] == 1 else f"{name} ({at + 1})" for at, (one, name) in enumerate(names.items())
    }


def chosen(tickets: Sequence[Drawn], sparsity: float | None) -> dict[Drawn, int]:
    """Of each ticket the pruned level nearest to a sparsity; those that have none comparable are not there.

    Args:
        tickets: each with a pruned level.
        sparsity: in percent; None: the largest that most of them come near.
    """
    ladders = [[density(ticket, level) for level in pruned(ticket)] for ticket in tickets]
    wanted = common(ladders) if sparsity is None else 1 - sparsity / 100
    found = {ticket: level_near(ticket, wanted) for ticket in tickets}
    return {ticket: level for ticket, level in found.items() if level is not None}


def not_among(tickets: Iterable[Drawn], there: Iterable[Drawn]) -> list[str]:
    """What is to be said of labels of which no ticket is there: what `chosen` left out."""
    shown = {*map(short, there)}
    names = [name for name in dict.fromkeys(map(short, tickets)) if name not in shown]
    return [f"without a comparable level: {', '.join(names)}"] if names else []


def layers_of(shelf: Shelf, ticket: Drawn) -> list[Layer]:
    """Prunable layers in the order in which the net runs them.

    As a report of the probe `weight-distribution` says, if there is one of a net with these layers. Otherwise by name,
    numbers as numbers, convolutions before Linear layers: in all nets that come with the tool this is the order.
    """
    read = shelf.read("probe", MODULE)
    for net, report in read.by_net.items():
        said = read.row(net, MODULE)
        names = list(said.protocol.get("layers", ())) if said else []
        group = report.arrays.get(f"{MODULE}/group")
        if said and {*names} == {*ticket.layers} and group is not None and len(group) == len(names):
            known = [str(one) for one in said.protocol.get("groups", GROUPS)]
            return [Layer(name, known[int(at)]) for name, at in zip(names, group, strict=True)]
    ordered = sorted(ticket.layers, key=lambda name: (len(ticket.layers[name]) == 2, _natural(name)))
    return [Layer(name, _group(name, ticket.layers[name])) for name in ordered]


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)
    ]


def _group(name: str, shape: Sequence[int]) -> str:
    if len(shape) == 2:
        return "linear"
    point = math.prod(shape[2:]) == 1
    return "downsampling" if point and any(word in name for word in SHORTCUTS) else "residual"


def kept_of(ticket: Drawn, level: int, layers: Sequence[Layer]) -> NDArray[np.int64]:
    """Weights kept of each layer."""
    keep = ticket.keep(level)
    return np.array([np.count_nonzero(keep[layer.name]) for layer in layers], dtype=np.int64)


def sizes_of(ticket: Drawn, layers: Sequence[Layer]) -> NDArray[np.int64]:
    """Prunable weights of each layer."""
    return np.array([math.prod(ticket.layers[layer.name]) for layer in layers], dtype=np.int64)
