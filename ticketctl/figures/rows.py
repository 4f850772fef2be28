"""Rows of the form `lines` out of families of nets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ticketctl.figures.sheet import Cell, NothingError, counted, slug
from ticketctl.figures.shelf import Family, Net, Shelf, Stat

T = TypeVar("T")
Value = Callable[[Net], float | None]
SERIES = PANELS = 12
"""At most in a panel, and in a sheet."""


def unit_of(metric: str) -> str:
    """In which a metric is drawn: accuracies and errors in percent."""
    return "%" if metric.endswith(("accuracy", "error")) else ""


def reading(metric: str) -> Callable[[Net], float | None]:
    """Reads a metric of a run's manifest in the unit that it is drawn in."""
    scale = 100.0 if unit_of(metric) else 1.0
    return lambda net: None if (value := net.values.get(metric)) is None else scale * value


def ladders_with(shelf: Shelf, metric: str) -> list[Family]:
    """The families of pruned nets that have a metric of their manifests.

    Raises:
        NothingError: no pruned net was trained, or none has the metric.
    """
    ladders = [family for family in shelf.families if not family.is_dense]
    if not ladders:
        raise NothingError(f"no trained ticket; run: ticketctl spend {shelf.ticket}")
    value = reading(metric)
    known = [family for family in ladders if any(group.stat(value) for group in family.groups)]
    if not known:
        raise NothingError(f"no run measured {metric!r}")
    return known


def row_of(
    label: str, x: float | None, stat: Stat, *, role: str = "line", panel: str = ""
) -> tuple[Cell, ...]:
    """A row of the form `lines`: mean, a deviation to both sides, n."""
    return (panel, label, role, x, stat.mean, stat.low, stat.high, stat.n)


def along(
    family: Family, value: Callable[[Net], float | None], *, panel: str = "", label: str = ""
) -> Iterator[tuple[Cell, ...]]:
    """A line over sparsity: rows of the form `lines`, of the groups that have the value."""
    for group in family.groups:
        stat = group.stat(value)
        if stat is not None:
            yield row_of(label or short(family), group.sparsity, stat, panel=panel)


def from_dense(
    family: Family, value: Value, *, panel: str = "", label: str = ""
) -> Iterator[tuple[Cell, ...]]:
    """The same, from its own dense net on, at a sparsity of 0; nothing where no pruned net has the value."""
    line = [*along(family, value, panel=panel, label=label)]
    stat = None if family.is_dense or family.dense is None else family.dense.stat(value)
    if line and stat is not None:
        yield row_of(label or short(family), 0.0, stat, panel=panel)
    yield from line


def beside(
    shelf: Shelf, families: Iterable[Family], value: Callable[[Net], float | None], *, panel: str = ""
) -> list[tuple[Cell, ...]]:
    """Lines across: the dense nets of these families, each once, labelled as what they are."""
    rows = []
    for group in dict.fromkeys(family.dense for family in families):
        stat = group and group.stat(value)
        if stat:
            label = next((short(one) for one in shelf.families if group in one.groups), "dense")
            rows.append(row_of(label, None, stat, role="reference", panel=panel))
    return rows


def by_place(families: Iterable[Family]) -> Iterator[tuple[str, str, list[Family]]]:
    """The families of each net and data set: the part of their sheets ("" where there is one), what they are, they."""
    found: dict[tuple[str, str], list[Family]] = {}
    for family in families:
        found.setdefault((family.net, family.data), []).append(family)
    for (net, data), mine in found.items():
        yield "" if len(found) == 1 else slug(f"{net}-{data}"), f"{net} on {data}", mine


def short(family: Family) -> str:
    """Its label without its net and data set, which the title of a sheet says."""
    return family.label.removeprefix(f"{family.net} on {family.data}: ")


def heading(where: str, families: Sequence[Family]) -> str:
    """What a sheet's title begins with: a single family, which has no legend, is named there."""
    return f"{where}, {short(families[0])}" if len(families) == 1 else where


def split(items: Sequence[T], most: int = SERIES) -> list[Sequence[T]]:
    """As many of them as go together, in their order, and about as many each time."""
    parts = max(1, math.ceil(len(items) / most))
    each = math.ceil(len(items) / parts)
    return [items[at : at + each] for at in range(0, len(items), each)] if items else []


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, the first and the last among these, about equally far apart."""
    if len(items) <= most:
        return [*items]
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]


def percent(density: float) -> str:
    """The sparsity behind a density, with as many digits as tell a ladder's levels apart: 99.61 %."""
    digits = max(2, math.floor(-math.log10(density)) if density > 0 else 2)
    return f"{100 * (1 - density):.{digits}f}".rstrip("0").rstrip(".") + " %"


def said(rows: Sequence[Sequence[Cell]], nets: Sequence[Net]) -> tuple[str, ...]:
    """What is to be noted of means over runs, each of which counts once."""
    every = {net.id: net.diverged for net in nets}
    lost = sum(every.values())
    return (averaged(rows, "runs"), *([f"{lost} of {len(every)} runs diverged: in no mean"] if lost else []))


def averaged(rows: Sequence[Sequence[Cell]], what: str = "nets") -> str:
    """What is to be said of means and bands, by the numbers behind rows, whose last cell it is."""
    n = counted(rows)
    return f"single {what}, n = 1" if n == "1" else f"mean over n = {n} {what}; band: ± one sample deviation"


def ids(nets: Iterable[Net]) -> tuple[str, ...]:
    """Their ids, each once."""
    return tuple(dict.fromkeys(net.id for net in nets))


def parts(names: Iterable[str]) -> list[str]:
    """Names as parts of one figure's sheets: each another, whatever they are cut to."""
    found: list[str] = []
    for name in map(slug, names):
        tries = (name, *(f"{name[:76]}-{number}" for number in range(2, 1000)))
        found.append(next(one for one in tries if one not in found))
    return found
