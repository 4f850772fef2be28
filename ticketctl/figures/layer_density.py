"""Density of each layer of tickets, at several levels or at one.

Of each prunable layer the share of its weights that the mask keeps, |m_l| / n_l in percent, in the order in which the
net runs the layers; the broken line is the density of the whole mask. A panel for each level, chosen from the longest
ladder so that all others have comparable ones (densities differ by at most 15 %) if that can be, evenly spread, and the
last of these among them. Seeds are averaged: the whisker is a sample deviation to both sides.
A layer of which nothing is left has a 0 in the place of its bar.

Choices: each panel has a scale of its own, for a level at 2 % density could not be seen beside one at 50 %. Where a
probe report of `weight-distribution` has the layers, the order is the report's; otherwise it is that of the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.ladders import (
    Layer,
    alike,
    check_sparsity,
    density,
    kept_of,
    layers_of,
    level_near,
    numbered,
    pruned,
    short,
    sizes_of,
    spread,
)
from ticketctl.figures.rows import percent, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, counted
from ticketctl.figures.shelf import Drawn, Shelf, Stat

FACTS = {"from": "tickets", "papers": "000 Fig 3"}
MANY, FEWER = 12, 5
"""Where there are more layers than the first, at most so many tickets stand beside each other."""
ALL = "all layers together"


@dataclass(frozen=True)
class Params:
    """Which levels are drawn."""

    levels: int = 4
    """How many levels of the longest ladder, from 1 to 12."""
    sparsity: float | None = None
    """Only the level nearest to this sparsity, in percent."""
    scale: str = "linear"
    """Of the density: linear, or log, where layers of which little is left are to be seen."""

    def __post_init__(self) -> None:
        check_sparsity("layer-density", self.sparsity)
        if not 1 <= self.levels <= 12:
            raise UsageError(f"figures.layer-density.levels = {self.levels} must be from 1 to 12")
        if self.scale not in ("linear", "log"):
            raise UsageError(f"figures.layer-density.scale = {self.scale!r} must be linear or log")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many tickets.

    Raises:
        NothingError: no ticket that prunes anything, or none near the sparsity.
    """
    found = [(one, _wanted(one[2], params)) for one in alike(shelf)]
    if not any(wanted for _, wanted in found):
        raise NothingError(
            f"no ticket near {params.sparsity:g} % sparsity; choose another figures.layer-density.sparsity"
        )
    for (part, title, tickets), wanted in found:
        if wanted:
            layers = layers_of(shelf, tickets[0])
            labels = split([*dict.fromkeys(map(short, tickets))], MANY if len(layers) <= MANY else FEWER)
            for at, mine in enumerate(labels):
                chosen = [one for one in tickets if short(one) in mine]
                yield _sheet(numbered(part, at, len(labels)), title, chosen, layers, wanted, params.scale)


def _wanted(tickets: Sequence[Drawn], params: Params) -> list[float]:
    """Densities of the panels, the densest first."""
    if params.sparsity is not None:
        wanted = 1 - params.sparsity / 100
        near = [(ticket, level_near(ticket, wanted)) for ticket in tickets]
        return [density(ticket, level) for ticket, level in near if level is not None][:1]
    longest = max(tickets, key=lambda one: len(pruned(one)))
    levels = [density(longest, level) for level in pruned(longest)]
    shared = [one for one in levels if _labels_near(tickets, one) == {*map(short, tickets)}] or levels
    return [shared[at] for at in spread(len(shared), params.levels)]


def _labels_near(tickets: Sequence[Drawn], wanted: float) -> set[str]:
    return {short(ticket) for ticket in tickets if level_near(ticket, wanted) is not None}


def _sheet(
    part: str,
    title: str,
    tickets: Sequence[Drawn],
    layers: Sequence[Layer],
    wanted: Sequence[float],
    scale: str,
) -> Sheet:
    found = [(one, {ticket: level_near(ticket, one) for ticket in tickets}) for one in wanted]
    rows = [row for one, levels in found for row in _rows(one, levels, layers)]
    bars = [row for row in rows if row[2] is not None]
    none = sorted({label for one in wanted for label in {*map(short, tickets)} - _labels_near(tickets, one)})
    return Sheet(
        "layer-density", "bars", f"{title}: density of each layer", Axis("layer"),
        _axis(bars, scale), tuple(rows), part,
        columns=("panel", "series", "category", "y", "low", "high", "n", "group"),
        notes=(*_notes(rows), *([f"without a comparable level at some sparsity: {', '.join(none)}"] if none else [])),
        sources=tuple(dict.fromkeys(one.id for one in tickets)),
    )  # fmt: skip


def _axis(bars: Sequence[Sequence[Cell]], scale: str) -> Axis:
    """A logarithmic one begins at half the least density."""
    if scale == "linear":
        return Axis("weights kept", "%", low=0)
    least = min((row[3] for row in bars if isinstance(row[3], float) and row[3] > 0), default=1.0)
    return Axis("weights kept", "%", "log", low=least / 2)


def _notes(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    bars, across = ([row[:7] for row in rows if (row[2] is None) == one] for one in (False, True))
    count = counted(bars)
    seeds = (
        f"mean over n = {count} seeds; whisker: ± one sample deviation"
        if count != "1"
        else "n = 1 ticket each"
    )
    yield seeds + ("; 0: nothing is left" if any(row[3] == 0 for row in bars) else "")
    if counted(across) != count:
        yield f"{ALL}: mean over n = {counted(across)} tickets, of all labels"
    several = len({row[0] for row in rows}) > 1
    yield "layers as the net runs them" + ("; each panel has a scale of its own" if several else "")


def _rows(
    wanted: float, levels: Mapping[Drawn, int | None], layers: Sequence[Layer]
) -> Iterator[tuple[Cell, ...]]:
    """The rows of a panel: the level across, then the bars of every label."""
    panel = f"sparsity {percent(wanted)}"
    chosen = {ticket: level for ticket, level in levels.items() if level is not None}
    whole = Stat.of(100 * density(ticket, level) for ticket, level in chosen.items())
    if whole:
        yield (panel, ALL, None, whole.mean, None, None, whole.n, None)
    for label in dict.fromkeys(map(short, chosen)):
        mine = [(ticket, level) for ticket, level in chosen.items() if short(ticket) == label]
        kept = [100 * kept_of(one, level, layers) / sizes_of(one, layers) for one, level in mine]
        for at, layer in enumerate(layers):
            stat = Stat.of(float(one[at]) for one in kept)
            if stat:
                yield (panel, label, layer.label, stat.mean, stat.low, stat.high, stat.n, layer.group)
