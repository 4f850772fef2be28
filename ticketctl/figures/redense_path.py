"""The error along the path from a sparse net to the re-dense one that was trained from it.

theta(s) = (1 - s) theta_sparse + s theta_dense, s from 0, the sparse net, to 1, its re-dense one (paper 002, section
3.3): the claim is that the error falls all the way. Each set of images has a panel, each level a line; families have
sheets of their own. So do nets that any other tweak trained on from a net of their level. Means over pairs of nets,
bands one sample deviation; `falls`, the share of falling steps, is a row of the reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import (
    PathKeys,
    check_sparsities,
    chosen,
    curve_of,
    left_out,
    means,
    value_axis,
    walks,
)
from ticketctl.figures.rows import averaged, by_place, parts, percent, row_of, short
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

FACTS = {"from": "interpolations", "papers": "002 Fig 5, 14"}
SETS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Params(PathKeys):
    """What is drawn; no set: a panel for each that was measured."""

    sparsities: tuple[float, ...] = ()
    """Of the sparse nets, in percent, of each the nearest; none: at most 4 from the densest to the sparsest."""

    def __post_init__(self) -> None:
        check_sparsities("redense-path", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each family of nets that went on from others.

    Raises:
        NothingError: no such path was measured, or not this curve.
    """
    read = shelf.read("interpolate", "line", "before")
    mine = {net: report for net, report in read.by_net.items() if _panels(report, params)}
    found = [
        (part, where, family)
        for part, where, families in by_place(shelf.families)
        for family in families
        if any(net in mine for net in family.nets)
    ]
    if not found:
        raise NothingError(
            "no path from a sparse net to its re-dense one; run: ticketctl spend TICKET --tweaks redense, "
            "then ticketctl interpolate SPARSE REDENSE --recipe interpolate/redense"
        )
    names = parts("-".join(filter(None, (part, short(family)))) for part, _, family in found)
    for name, (_, where, family) in zip(names, found, strict=True):
        one = _sheet(family, mine, params, where, "" if len(found) == 1 else name)
        yield replace(one, notes=(*one.notes, *read.notes))


def _panels(report: Report, params: Params) -> dict[str, PathKeys]:
    """The sets of which there is a curve."""
    keys = {name: replace(params, set=name) for name in SETS if params.set in ("", name)}
    return {f"{name} images": key for name, key in keys.items() if curve_of(report, key)}


def _sheet(family: Family, read: Mapping[Net, Report], params: Params, where: str, part: str) -> Sheet:
    groups = [one for one in family.groups if any(net in read for net in one.finite)]
    shown = chosen(groups, params.sparsities)
    nets = [net for group in shown for net in group.finite if net in read]
    rows = [row for panel in _every([read[net] for net in nets], params) for group in shown
            for row in _line(group, read, params, panel)]  # fmt: skip
    policy = params.policy or curve_of(read[nets[0]], params).rpartition(".")[2]
    notes = [averaged(rows, "pairs of nets")]
    notes += [f"BatchNorm's statistics where a net has any: {policy}"] if policy else []
    notes += [f"sparse net at {percent(shown[0].density)}"] if len(shown) == 1 else []
    notes += list(_falls([read[net] for net in nets], params))
    return Sheet(
        "redense-path", "lines", f"{where}, {short(family)}: {params.what} from the sparse net to this one",
        Axis("share of the re-dense net", low=0, high=1), value_axis(params), tuple(rows), part,
        notes=(*notes, *left_out(len(shown), len(groups))),
        sources=tuple(dict.fromkeys(read[net].id for net in nets)),
    )  # fmt: skip


def _every(reports: Sequence[Report], params: Params) -> list[str]:
    """The panels of a sheet, in the order of `SETS`."""
    there = {panel for report in reports for panel in _panels(report, params)}
    return [panel for name in SETS if (panel := f"{name} images") in there]


def _line(group: Group, read: Mapping[Net, Report], params: Params, panel: str) -> Iterator[tuple[Cell, ...]]:
    """The mean over the nets of a level, from the sparse one to the re-dense one."""
    paths = [
        walk
        for net in group.finite
        if net in read and panel in (keys := _panels(read[net], params))
        for walk in walks(read[net], keys[panel])[:1]
    ]
    alike = [one for one in paths if one.alphas == paths[0].alphas]
    for alpha, stat in zip(paths[0].alphas if paths else (), means(one.values for one in alike), strict=True):
        if stat:  # alpha is the share of the first, the sparse net
            yield row_of(percent(group.density), 1 - alpha, stat, panel=panel)


def _falls(reports: Sequence[Report], params: Params) -> Iterator[str]:
    """The share of steps at which the error falls, by set."""
    for panel in _every(reports, params):
        names = [
            (f"{curve_of(one, keys[panel]).removeprefix('line/')}.falls", one)
            for one in reports
            if panel in (keys := _panels(one, params))
        ]
        rows = [row.value for name, report in names for row in report.metrics if row.name == name]
        stat = Stat.of(rows)
        if stat:
            yield f"{panel}: {params.what} falls at {100 * stat.mean:.0f} % of the steps"
