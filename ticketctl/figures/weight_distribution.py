"""Where in the net the kept weights lie, layer by layer and by groups of layers.

Of each prunable layer l the keep ratio |m_l| / n_l, and its share |m_l| / |m| of all kept weights, in percent; then the
shares of three groups: shortcuts (`downsampling`), all other convolutions (`residual`) and Linear layers (paper 000
section 4.4). Layers stand by group, within a group in the order in which the net runs them. Tickets stand beside each
other at levels of comparable sparsity, seeds averaged: the whisker is a sample deviation to both sides.

Choices: order and groups are those of a probe report of `weight-distribution` where there is one; otherwise the order
is that of the names, convolutions before Linear layers, and a convolution is a shortcut's if its kernel has one
position and `downsample` or `shortcut` is in its name, which comes to the same for all nets that come with the tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ticketctl.figures.ladders import (
    GROUPS,
    Layer,
    alike,
    check_sparsity,
    chosen,
    density,
    kept_of,
    layers_of,
    not_among,
    numbered,
    short,
    sizes_of,
)
from ticketctl.figures.rows import percent, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, counted
from ticketctl.figures.shelf import Drawn, Shelf, Stat

FACTS = {"from": "tickets", "papers": "000 Fig 3"}
MOST = 5
"""Tickets beside each other."""
PANELS = ("kept of each layer", "share of all kept weights", "share of all kept weights, by group")


@dataclass(frozen=True)
class Params:
    """Which level is drawn."""

    sparsity: float | None = None
    """The level nearest to it, in percent; where nothing is said, the largest that most tickets come near."""

    def __post_init__(self) -> None:
        check_sparsity("weight-distribution", self.sparsity)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many tickets.

    Raises:
        NothingError: no ticket that prunes anything, or none near the sparsity.
    """
    found = [
        (part, title, levels, not_among(tickets, levels))
        for part, title, tickets in alike(shelf)
        if (levels := chosen(tickets, params.sparsity))
    ]
    if not found:
        raise NothingError(
            f"no ticket near {params.sparsity:g} % sparsity; choose another figures.weight-distribution.sparsity"
        )
    for part, title, levels, left in found:
        layers = sorted(layers_of(shelf, next(iter(levels))), key=lambda layer: GROUPS.index(layer.group))
        labels = split([*dict.fromkeys(map(short, levels))], MOST)
        for at, names in enumerate(labels):
            mine = {ticket: level for ticket, level in levels.items() if short(ticket) in names}
            sheet = _sheet(numbered(part, at, len(labels)), title, mine, layers)
            yield replace(sheet, notes=(*sheet.notes, *left))


def _sheet(part: str, title: str, levels: Mapping[Drawn, int], layers: Sequence[Layer]) -> Sheet:
    kept = {ticket: kept_of(ticket, level, layers) for ticket, level in levels.items()}
    sizes = sizes_of(next(iter(levels)), layers)
    rows = [
        *_rows(
            PANELS[0],
            {ticket: 100 * one / sizes for ticket, one in kept.items()},
            [one.label for one in layers],
        ),
        *_rows(
            PANELS[1],
            {ticket: 100 * one / one.sum() for ticket, one in kept.items()},
            [one.label for one in layers],
        ),
    ]
    groups = [group for group in GROUPS if any(layer.group == group for layer in layers)]
    if len(groups) > 1:
        rows += _rows(
            PANELS[2], {one: _grouped(counts, layers, groups) for one, counts in kept.items()}, groups
        )
    known = [density(ticket, level) for ticket, level in levels.items()]
    at = dict.fromkeys(percent(one) for one in (max(known), min(known)))
    count = counted(rows)
    seeds = (
        f"mean over n = {count} seeds; whisker: ± one sample deviation"
        if count != "1"
        else "n = 1 ticket each"
    )
    nothing = "; 0: nothing is left" if any(row[3] == 0 for row in rows) else ""
    return Sheet(
        "weight-distribution", "bars", f"{title}: where the kept weights lie, sparsity {' to '.join(at)}",
        Axis(""), Axis("weights", "%", low=0), tuple(rows), part,
        notes=(f"{seeds}{nothing}", f"layers by group ({', '.join(groups)}), then as the net runs them"),
        sources=tuple(dict.fromkeys(one.id for one in levels)),
    )  # fmt: skip


def _grouped(kept: NDArray[np.int64], layers: Sequence[Layer], groups: Sequence[str]) -> NDArray[np.float64]:
    """Shares of the groups, in percent."""
    place = np.array([groups.index(layer.group) for layer in layers])
    return np.array([100 * kept[place == at].sum() / kept.sum() for at in range(len(groups))])


def _rows(
    panel: str, values: Mapping[Drawn, NDArray[np.float64]], names: Sequence[str]
) -> Iterator[tuple[Cell, ...]]:
    """The bars of a panel: mean over the seeds of each label."""
    for label in dict.fromkeys(map(short, values)):
        mine = [row for ticket, row in values.items() if short(ticket) == label]
        for at, name in enumerate(names):
            stat = Stat.of(float(row[at]) for row in mine)
            if stat:
                yield (panel, label, name, stat.mean, stat.low, stat.high, stat.n)
