"""Trainings epoch by epoch: which levels of a ladder are shown, and their means at each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.figures.rows import SERIES, percent, row_of
from ticketctl.figures.sheet import Cell
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

Course = Mapping[float, float]
"""A value by the epoch after which it was measured; 0: before training."""
DENSE = "dense"


def check_levels(levels: Sequence[float], key: str) -> None:
    """Refuse what is no sparsity.

    Raises:
        UsageError: not in [0, 100), or more than a panel holds.
    """
    if len(levels) > SERIES:
        raise UsageError(f"{key}: at most {SERIES} sparsities, not {len(levels)}")
    odd = [one for one in levels if not 0 <= one < 100]
    if odd:
        raise UsageError(f"{key}: sparsities in percent, 0 or more and below 100, not {odd[0]:g}")


def ladders(shelf: Shelf) -> list[Family]:
    """What has courses of its own: all that is pruned, and dense nets beside which nothing is."""
    beside = {family.dense for family in shelf.families if not family.is_dense}
    return [one for one in shelf.families if not one.is_dense or not {*one.groups} & beside]


def levels_of(
    family: Family, levels: Sequence[float] = (), has: Callable[[Group], bool] = lambda _: True
) -> list[tuple[str, Group]]:
    """The groups of nets that are shown, each with its name.

    Args:
        family: a ladder or a dense net.
        levels: sparsities in percent, of each the nearest level; none: the dense net, a middle level and the last.
        has: which levels have something to show; in place of one that has not stands the nearest that has.
    """
    dense = [(DENSE, family.dense)] if family.dense is not None and has(family.dense) else []
    every = [] if family.is_dense else [(percent(group.density), group) for group in family.groups]
    pruned = [one for one in every if has(one[1])]
    middle = [every[place][1].sparsity for place in ((len(every) - 1) // 2, -1)] if every else []
    known = dense + pruned if levels else pruned
    near = (
        [min(known, key=lambda one: _far(one[1].density, level)) for level in levels or middle]
        if known
        else []
    )
    return list(dict(near if levels else dense + near).items())


def replaced(
    families: Iterable[Family], levels: Sequence[float], has: Callable[[Group], bool], what: str
) -> list[str]:
    """What is to be said of levels that `levels_of` would show, and that have no `what`."""
    gone: list[str] = []
    for one in families:
        there = dict(levels_of(one, levels, has))
        every = [name for name, _ in levels_of(one, levels) if levels or name != DENSE]
        gone += [name for name in every if there.keys() - {DENSE} and name not in {*there, *gone}]
    return (
        [f"without {what}: {', '.join(gone)}; the nearest level that has one stands for it"] if gone else []
    )


def _far(density: float, level: float) -> float:
    return abs(math.log(max(density, 1e-12)) - math.log(1 - level / 100))


def of_series(net: Net, column: str, scale: float = 1.0) -> Course:
    """A column of a net's history, where it was measured."""
    series = net.series()
    if series is None or column not in series.columns:
        return {}
    values = series.scalars[:, series.columns.index(column)]
    return finite(series.epoch, scale * values.astype(np.float64))


def finite(epochs: Iterable[float], values: NDArray[np.float64]) -> dict[float, float]:
    """Values by epoch, without those that are no numbers."""
    pairs = zip(epochs, values, strict=True)
    return {float(epoch): float(value) for epoch, value in pairs if math.isfinite(value)}


def course(
    name: str, nets: Iterable[Net], read: Callable[[Net], Course], *, panel: str = ""
) -> Iterator[tuple[Cell, ...]]:
    """A line over epochs: rows of the form `lines`, means over the nets that were measured then."""
    courses = [read(net) for net in nets]
    for epoch in sorted({epoch for one in courses for epoch in one}):
        stat = Stat.of(one.get(epoch) for one in courses)
        if stat is not None:
            yield row_of(name, epoch, stat, panel=panel)
