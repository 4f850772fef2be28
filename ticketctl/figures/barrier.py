"""The error along straight paths between trained nets.

Between twins of one ticket (one panel for each family of runs, a line for each level, the dense net first, which
several draws may share); along a
ladder, from each trained level to the next; and between whatever nets were named to `interpolate`. Lines are means over
pairs of nets, bands one sample deviation over these pairs; the faint dotted line is the chord, straight between the
errors of the ends, above which a barrier rises (paper 003, equation 3). Alpha is the share of the first net of a pair,
as in that equation; a ladder is walked downwards on the axis of its sparsities, uprights at its tickets.

Paper 003 goes along ladders in its Figures 2 and 10 to 12, and between twins in 1, 3, 4, 8 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import (
    PathKeys,
    Walk,
    check_sparsities,
    chosen,
    ends_of,
    left_out,
    means,
    protocol,
    value_axis,
    walks,
)
from ticketctl.figures.rows import PANELS, SERIES, by_place, percent, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat
from ticketctl.figures.twins import between_twins, both, name_of, step_to, with_dense

FACTS = {"from": "interpolations", "papers": "003 Fig 1-4, 8-12"}
Rows = list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Params(PathKeys):
    """What is drawn."""

    between: Literal["any", "twins", "levels", "path"] = "any"
    """Twins of a ticket, successive levels of a ladder, nets that were named, or whichever are there."""
    sparsities: tuple[float, ...] = ()
    """Levels with twins, in percent, of each the nearest; none: at most 4 from the densest to the sparsest."""

    def __post_init__(self) -> None:
        check_sparsities("barrier", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and for what the paths lie between.

    Raises:
        NothingError: no such path was measured, or not this curve.
    """
    makers = {"twins": _twins, "levels": _levels, "path": _paths}
    wanted = makers if params.between == "any" else [params.between]
    sheets = [sheet for name in wanted for sheet in makers[name](shelf, params)]
    if not sheets:
        raise NothingError(_missing(shelf, params))
    yield from sheets


def _missing(shelf: Shelf, params: Params) -> str:
    known = [
        name
        for of in ("twins", "levels", "path")
        for report in shelf.read("interpolate", "line", of).by_net.values()
        for name in report.arrays
    ]
    if known and (params.set or params.policy or params.what == "loss"):
        there = sorted({one[5:] for one in known if f".{params.what}." in one and not one.endswith(".pairs")})
        return f"no path with {params.set or 'any set'}, {params.policy or 'any policy'}; there are {', '.join(there)}"
    return f"no path between {params.between} nets; run: ticketctl interpolate {shelf.ticket} --twins 3"


# ----------------------------------------------------------------------------------------------------------- the twins


def _twins(shelf: Shelf, params: Params) -> Iterator[Sheet]:
    read = between_twins(shelf)
    for part, where, families in by_place(one for one in shelf.families if not one.is_dense):
        known = {one.label: _measured(one, read.by_net, params) for one in families}
        mine = [one for one in families if known[one.label]]
        for number, few in enumerate(split(mine, PANELS)):
            rows, reports, notes = [], [], list[str]()
            for family in few:
                groups = known[family.label]
                shown = chosen(groups, params.sparsities)
                notes += left_out(len(shown), len(groups))
                found, used = _levels_of_twins(family, shown, read.by_net, params)
                rows += found
                reports += used
            more = slug("-".join(filter(None, ("twins", part, str(number) if number else ""))))
            yield _sheet(
                rows,
                more,
                f"{where}: {params.what} between twins of a ticket",
                reports,
                params,
                [*dict.fromkeys(notes), *read.notes],
            )


def _measured(family: Family, read: Mapping[Net, Report], params: Params) -> list[Group]:
    return with_dense(family, lambda net: net in read and bool(walks(read[net], params)))


def _levels_of_twins(
    family: Family, groups: Sequence[Group], read: Mapping[Net, Report], params: Params
) -> tuple[Rows, list[Report]]:
    rows, reports = Rows(), []
    for group in groups:
        mine = [read[net] for net in group.finite if net in read]
        paths = [walk for report in mine for walk in walks(report, params)]
        label = "dense" if group.density == 1 else percent(group.density)
        rows += _curve(short(family), label, paths)
        reports += mine
    return rows, reports


def _curve(panel: str, label: str, paths: Sequence[Walk]) -> Rows:
    """The mean of paths over alpha, and of their chords."""
    alphas = paths[0].alphas
    alike = [one for one in paths if one.alphas == alphas]
    rows = [
        row_of(label, alpha, stat, panel=panel)
        for alpha, stat in zip(alphas, means(one.values for one in alike), strict=True)
        if stat
    ]
    return rows + _chord(panel, label, (0.0, 1.0), means(one.chord for one in alike))


def _chord(panel: str, label: str, xs: tuple[float, float], ends: Sequence[Stat | None]) -> Rows:
    """A straight line between two ends; none where one is not known."""
    first, second = ends
    if first is None or second is None:
        return []
    return [
        (panel, label, "chord", x, end.mean, None, None, end.n)
        for x, end in zip(xs, (first, second), strict=True)
    ]


# ---------------------------------------------------------------------------------------------------------- the levels


def _levels(shelf: Shelf, params: Params) -> Iterator[Sheet]:
    read = shelf.read("interpolate", "line", "levels")
    for part, where, families in by_place(one for one in shelf.families if not one.is_dense):
        found = {family.label: _ladder(family, read.by_net, params) for family in families}
        mine = [one for one in families if found[one.label]]
        for number, few in enumerate(split(mine, PANELS)):
            rows = [row for family in few for row in found[family.label]]
            more = slug("-".join(filter(None, ("levels", part, str(number) if number else ""))))
            reports = [read.by_net[net] for family in few for net in family.nets if net in read.by_net]
            yield _sheet(
                rows, more, f"{where}: {params.what} from each level of a ladder to the next", reports, params,
                [*read.notes, "uprights: the ladder's tickets"], Axis("sparsity", "%", "sparsity"),
            )  # fmt: skip


def _ladder(family: Family, read: Mapping[Net, Report], params: Params) -> Rows:
    """Along the ladder: x between two levels goes as the logarithm of the density."""
    rows, marks, panel, above = Rows(), set[float](), short(family), 1.0
    for group in family.groups:
        pairs = [step_to(net, read[net], params) for net in group.finite if net in read]
        paths = [one for one in pairs if one]
        if paths:
            rows += _step(panel, above, group.density, paths)
            marks |= {100 * (1 - above), group.sparsity}
        above = group.density
    uprights = [(panel, "tickets", "mark", x, None, None, None, None) for x in sorted(marks)]
    return [*rows, *uprights]


def _step(panel: str, above: float, below: float, paths: Sequence[Walk]) -> Rows:
    share = [1 - alpha for alpha in paths[0].alphas]  # of the second net
    alike = [one for one in paths if one.alphas == paths[0].alphas]
    stats = means(one.values for one in alike)
    rows = [
        row_of("path", 100 * (1 - above ** (1 - at) * below**at), stat, panel=panel)
        for at, stat in zip(share, stats, strict=True)
        if stat
    ]
    tips = (100 * (1 - below), 100 * (1 - above))
    return rows[::-1] + _chord(panel, "chord", tips, means(one.chord for one in alike))[::-1]


# ------------------------------------------------------------------------------------------------------ what was named


def _paths(shelf: Shelf, params: Params) -> Iterator[Sheet]:
    told = {
        report.id
        for net in shelf.nets
        for of in ("twins", "levels", "before")
        for report in net.reports("interpolate", of)
    }
    for part, where, families in by_place(shelf.families):
        nets = [net for family in families for net in family.nets]
        every = {one.id: one for net in nets for one in net.reports("interpolate", "path")}
        mine = [one for name, one in every.items() if name not in told and walks(one, params)]
        for number, few in enumerate(split(mine, PANELS)):
            rows, notes = Rows(), list[str]()
            for at, report in enumerate(few):
                found = walks(report, params)
                notes += [f"{SERIES} of {len(found)} pairs"] if len(found) > SERIES else []
                names = [name_of(shelf, end) for end in ends_of(report)]
                panel = "" if len(few) == 1 else f"path {number * len(few) + at + 1}"
                for walk in found[:SERIES]:
                    rows += _curve(panel, both(names[walk.first], names[walk.second]), [walk])
            more = slug("-".join(filter(None, ("path", part, str(number) if number else ""))))
            yield _sheet(rows, more, f"{where}: {params.what} between nets", few, params, notes)


def _sheet(
    rows: Rows, part: str, title: str, reports: Sequence[Report], params: Params, notes: Sequence[str],
    x: Axis | None = None,
) -> Sheet:  # fmt: skip
    counts = sorted({row[-1] for row in rows if isinstance(row[-1], int)})
    n = "-".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    band = "; band: ± one sample deviation" if counts[-1] > 1 else ""
    means_of = "one pair of nets each" if n == "1" else f"mean over n = {n} pairs of nets{band}"
    said = [f"{means_of}; dotted: the chord between the ends"]
    return Sheet(
        "barrier", "lines", title, x or Axis("alpha", "share of the first net", low=0, high=1), value_axis(params),
        tuple(rows), part, notes=(*said, *protocol(reports, params), *notes),
        sources=tuple(dict.fromkeys(one.id for one in reports)),
    )  # fmt: skip
