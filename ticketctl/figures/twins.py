"""Which nets of a family the paths of a report lie between."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import PathKeys, Walk, ends_of, walks
from ticketctl.figures.rows import percent, short
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf

_BELOW = re.compile(r"(/seed-[0-9]+)?/(levels|search|spends)/.*$")


def between_twins(shelf: Shelf) -> Read:
    """Of each net the report of its twins: it is one of them, so they were trained by its recipe."""
    read = shelf.read("interpolate", "line", "twins")
    own = {
        net for net, one in read.by_net.items() if any(end.get("run_id") == net.id for end in ends_of(one))
    }
    return replace(read, by_net={net: one for net, one in read.by_net.items() if net in own})


def with_dense(family: Family, has: Callable[[Net], bool]) -> list[Group]:
    """The levels of a family that have twins, the dense nets before them.

    Draws whose dense nets are one training share them and their twins: these stand under every family that has tickets
    of the same seeds and twins of its own, and where none were made of its tickets, under the draw's that trained them.

    Args:
        family: of tickets.
        has: whether the twins of a net were measured.
    """
    own = [group for group in family.groups if any(map(has, group.finite))]
    seeds, draws = {net.seeds for net in family.nets}, {draw_of(net) for net in family.nets}
    dense = tuple(
        net
        for net in (family.dense.nets if family.dense else ())
        if (net.seeds in seeds if own else draw_of(net) in draws)
    )
    return [*([Group(1.0, dense)] if any(has(net) for net in dense if not net.diverged) else []), *own]


def draw_of(net: Net) -> str:
    """The folder of all seeds of the draw that a net belongs to."""
    return _BELOW.sub("", net.place)


def step_to(net: Net, report: Report, keys: PathKeys) -> Walk | None:
    """The path from the level above to a net, in the report of a ladder."""
    ends = ends_of(report)
    for walk in walks(report, keys):
        before, after = (_end(ends, place) for place in (walk.first, walk.second))
        if after.get("run_id") == net.id and before.get("level") == net.level - 1:
            return walk
    return None


def _end(ends: list[Mapping[str, object]], place: int) -> Mapping[str, object]:
    return ends[place] if 0 <= place < len(ends) else {}


def name_of(shelf: Shelf, end: Mapping[str, object]) -> tuple[str, str]:
    """What a net on a path is called: its family and sparsity, and its seed."""
    for family in shelf.families:
        for net in family.nets:
            if net.id == end.get("run_id"):
                level = "" if net.density == 1 else f" at {percent(net.density)}"
                return f"{short(family)}{level}", f"seed {net.seeds[0]}"
    return str(end.get("name")), f"level {end.get('level')}"


def both(first: tuple[str, str], second: tuple[str, str]) -> str:
    """Two nets, of which what they share is said once."""
    if first[0] == second[0]:
        return f"{first[0]}: {first[1]}, {second[1]}"
    return "; ".join(f"{name}, {own}" for name, own in (first, second))
