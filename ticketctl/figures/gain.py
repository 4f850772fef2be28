"""What each tweak brings: its difference from the plain spend of the same tickets, at each sparsity.

The mean over seeds of the tweaked net's accuracy minus that of the net without tweaks that was trained under the same
seed, with its 95 % interval (Student's t over those differences; none with one seed, nor where all are equal): what
`vs none` says in the table of a spend. Paper 001 prints the gain over "vanilla" tickets. The net without tweaks is of
the same recipe but for them; where several families of such nets are there, the one that makes most pairs is taken, of
these the one with most runs, and the notes say so. Above 0 the tweak helps; an
interval that holds 0 shows nothing. Dense nets with the same tweak, where they are there, stand at a sparsity of 0:
what helps them as much is no matter of tickets. Bars for up to six sparsities, lines for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.figures.paired import Paired, by_seeds, paired
from ticketctl.figures.rows import (
    PANELS,
    SERIES,
    Value,
    by_place,
    ids,
    parts,
    percent,
    reading,
    short,
    split,
    unit_of,
)
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, counted
from ticketctl.figures.shelf import Family, Group, Shelf

FACTS = {"from": "runs", "papers": "001 Fig 1, 5, 7; 001 Table A2, A3"}
BARS = 6
"""Sparsities that are still drawn as bars."""
NONE = "without tweaks"
CLOSE = 0.01
"""Densities that differ by less than that of themselves are one."""
Pair = tuple[Family, Family]
Gains = dict[tuple[str, str], dict[float, Paired]]
"""By panel and series, and by density."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    metric: str = "test.accuracy"
    """As a run's manifest names it; differences of accuracies are shown in percent points."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no spend with tweaks beside one without, or none of a seed with it.
    """
    found = []
    tweaked = [family for family in shelf.families if family.tweaks]
    for part, where, families in by_place(tweaked):
        pairs = [(one, plain) for one in families if (plain := plain_of(shelf, one))]
        gains = _gains(pairs, reading(params.metric))
        found += [(part, where, pairs, some) for some in _panels(gains)]
    if not found:
        why = _missing(shelf, tweaked, params.metric)
        raise NothingError(f"{why}; run: ticketctl spend {shelf.ticket} --tweaks swish")
    notes = [*_notes(shelf, tweaked, reading(params.metric))]
    for (_, where, pairs, gains), part in zip(found, parts(part or "all" for part, *_ in found), strict=True):
        yield _sheet(where, pairs, gains, params.metric, "" if len(found) == 1 else part, notes)


def _missing(shelf: Shelf, tweaked: Sequence[Family], metric: str) -> str:
    """Why there is no pair."""
    if not tweaked:
        return "no run with tweaks"
    if not any(plains_of(shelf, one) for one in tweaked):
        return "no run without tweaks, and otherwise as those with them, is beside them"
    return f"no run with tweaks has its seed and level, and {metric}, in common with one without"


def _notes(shelf: Shelf, tweaked: Sequence[Family], value: Value) -> Iterator[str]:
    """What is left out, and where one was chosen among several."""
    plains = {one: plains_of(shelf, one) for one in tweaked}
    left = sum(not known for known in plains.values())
    if left:
        yield f"left out for want of the same training without tweaks: {left} with them"
    apart = [short(one) for one, known in plains.items() if known and not _pairs(one, known[0], value)]
    if apart:
        yield f"left out for want of a seed and level in common with those without tweaks: {'; '.join(apart)}"
    several = [f"{short(one)} ({len(known)})" for one, known in plains.items() if len(known) > 1]
    if several:
        yield f"of several trainings without tweaks that with most pairs is taken: {'; '.join(several)}"


def plain_of(shelf: Shelf, family: Family) -> Family | None:
    """The same tickets trained without tweaks and otherwise alike: of several families the best, if there is any."""
    return next(iter(plains_of(shelf, family)), None)


def plains_of(shelf: Shelf, family: Family) -> list[Family]:
    """All such families: those with most nets of a common seed and level first, of these those with most nets."""
    kind = (family.net, family.data, family.method, family.control)
    wanted = {key: value for key, value in _settings(family).items() if not key.startswith("tweaks.")}
    alike = [
        one
        for one in shelf.families
        if (one.net, one.data, one.method, one.control) == kind
        and not one.tweaks
        and _settings(one) == wanted
    ]
    return sorted(alike, key=lambda one: (-_pairs(family, one, lambda net: 0.0), -len(one.nets), one.label))


def _pairs(family: Family, plain: Family, value: Value) -> int:
    """How many pairs they make, over all levels."""
    return sum(gap.n for group in family.groups if (gap := _gain(group, plain, value)))


def _settings(family: Family) -> Mapping[str, str]:
    return family.nets[0].settings


def _tweaks(family: Family) -> tuple[tuple[str, ...], dict[str, str]]:
    own = {key: value for key, value in _settings(family).items() if key.startswith("tweaks.")}
    return family.tweaks, own


def named(family: Family, plain: Family) -> str:
    """What the label of a family says beyond that of its plain one: swish; skip, kind=proj."""
    known = short(plain).split(", ")
    words = [word for word in short(family).split(", ") if word not in known]
    return ", ".join(words).removeprefix(f"{known[0]} + ")


def _gains(pairs: Sequence[Pair], value: Value) -> Gains:
    """Of the pruned, with the dense nets of the same tweak before them; of dense nets alone where nothing is pruned."""
    dense = [pair for pair in pairs if pair[0].is_dense]
    pruned = [pair for pair in pairs if not pair[0].is_dense]
    found: Gains = {}
    for family, plain in pruned or dense:
        name = named(family, plain)
        beside = [one for one in dense if plain.dense in one[1].groups and _tweaks(one[0]) == _tweaks(family)]
        gains = {
            group.density: gap
            for one, other in dict([*beside, (family, plain)]).items()
            for group in one.groups
            if (gap := _gain(group, other, value))
        }
        if gains:
            found[short(plain), name] = gains
    return found


def _gain(group: Group, plain: Family, value: Value) -> Paired | None:
    near = min(plain.groups, key=lambda one: abs(one.density - group.density))
    if abs(near.density - group.density) > CLOSE * group.density:
        return None
    return paired(by_seeds(group, value), by_seeds(near, value))


def _panels(gains: Gains) -> Iterator[Gains]:
    """As many panels, and series of each, as a sheet holds."""
    names = list(dict.fromkeys(panel for panel, _ in gains))
    for few in split(names, PANELS):
        longest = max((sum(panel == one for panel, _ in gains) for one in few), default=0)
        for first in range(0, longest, SERIES):
            shown = [
                key for one in few for key in [key for key in gains if key[0] == one][first : first + SERIES]
            ]
            yield {key: gains[key] for key in shown}


def _sheet(
    where: str, pairs: Sequence[Pair], gains: Gains, metric: str, part: str, notes: Sequence[str]
) -> Sheet:
    densities = sorted({density for one in gains.values() for density in one}, reverse=True)
    bars, several = len(densities) <= BARS, len({panel for panel, _ in gains}) > 1
    rows = [*_rows(gains, densities, bars, several)]
    unit = "percent points" if unit_of(metric) else ""
    said = metric.replace(".", " ")
    notes = [
        f"mean difference from the same ticket trained without tweaks, paired by seed, n = {counted(rows)} pairs",
        f"{'whiskers' if bars else 'band'}: 95 % interval, Student's t; none for one pair, or where all are equal",
        *notes,
    ]
    return Sheet(
        "gain", "bars" if bars else "lines", f"{where}: gain in {said} by tweaks",
        Axis("sparsity", "" if bars else "%", "linear" if bars else "sparsity"), Axis(f"gain in {said}", unit),
        tuple(rows), part, notes=tuple(notes), sources=ids(net for pair in pairs for one in pair for net in one.nets),
    )  # fmt: skip


def _rows(gains: Gains, densities: Sequence[float], bars: bool, several: bool) -> Iterator[tuple[Cell, ...]]:
    for panel in dict.fromkeys(panel for panel, _ in gains):
        shown = panel if several else ""
        zero = ("reference", None) if not bars else (None,)
        yield shown, NONE, *zero, 0.0, None, None, None
        mine = {name: one for (of, name), one in gains.items() if of == panel}
        for density in densities:
            for name, one in mine.items():
                gap = one.get(density)
                at = ("line", 100 * (1 - density)) if not bars else (_level(density),)
                if gap:
                    yield shown, name, *at, gap.mean, gap.low, gap.high, gap.n
                elif bars:  # the place of a bar, so that those of a series stand in one order
                    yield shown, name, *at, None, None, None, None


def _level(density: float) -> str:
    return "dense" if density == 1 else percent(density)
