"""How many outputs of the activations are next to nothing: from layer to layer, and against sparsity.

The share of outputs a with |a| up to a threshold, 0.01 in paper 001, Table A1, or of those that are exactly 0. One
sheet runs along the activations of the net in the order in which it computes them, a line for each level that is
drawn; the other along the ladder, a line for each stage (the last activation of its last block, as in that table), or
for each layer where the net has no stages. Families have panels of their own. Means over nets, bands one sample
deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ticketctl.artifacts.report import Report
from ticketctl.figures.paths import check_sparsities, chosen, left_out, means
from ticketctl.figures.rows import PANELS, SERIES, averaged, by_place, percent, row_of, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, slug
from ticketctl.figures.shelf import Family, Group, Read, Shelf

FACTS = {"from": "probes", "papers": "001 Table A1"}
MODULE = "activation-sparsity"
Rows = list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    share: Literal["small", "zero"] = "small"
    """Of outputs up to the threshold of the probe, or of those that are exactly 0."""
    of: Literal["trained", "untrained", "permuted"] = "trained"
    """The trained nets, or their tickets before training, with their own mask or a permuted one."""
    sparsities: tuple[float, ...] = ()
    """Levels of the sheet by layer, in percent, of each the nearest; none: at most 4."""

    def __post_init__(self) -> None:
        check_sparsities("activation-sparsity", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set a sheet by layer and one by sparsity.

    Raises:
        NothingError: no such probe.
    """
    read = shelf.read("probe", MODULE, params.of)
    if not read.by_net:
        raise NothingError(
            f"no activation of a {params.of} net; run: ticketctl probe {shelf.run} --recipe probe/activations"
        )
    for part, where, families in by_place(shelf.families):
        ladders = [one for one in families if any(net in read.by_net for net in one.nets)]
        # a dense family stands in the panels of its ladders, and alone where there are none
        mine = [one for one in ladders if not one.is_dense] or ladders
        for at, few in enumerate(split(mine, PANELS)):
            more = "-".join(filter(None, (part, str(at) if at else "")))
            yield _by_layer(few, read, params, where, more)
            rows = [row for family in few for row in _ladder(family, read, params)]
            if len({row[3] for row in rows}) > 1:
                yield _sheet(few, read, params, f"{where}: {_said(params)} against sparsity",
                             Axis("sparsity", "%", "sparsity"), rows, slug(f"sparsity-{more}"), [])  # fmt: skip


def _by_layer(families: Sequence[Family], read: Read, params: Params, where: str, more: str) -> Sheet:
    rows, notes = Rows(), list[str]()
    for family in families:
        groups = [one for one in _groups(family) if any(net in read.by_net for net in one.finite)]
        shown = chosen(groups, params.sparsities)
        notes += left_out(len(shown), len(groups))
        for group in shown:
            columns = [
                shares
                for net in group.finite
                if net in read.by_net
                for shares in [_shares(read.by_net[net], params)]
            ]
            alike = [one for one in columns if len(one) == len(columns[0])]
            label = "dense" if group.density == 1 else percent(group.density)
            for place, stat in enumerate(means(alike), 1):
                if stat:
                    rows.append(row_of(label, place, stat, panel=short(family)))
    title = f"{where}: {_said(params)} by layer"
    axis = Axis("activation", "in the order of the net")
    return _sheet(families, read, params, title, axis, rows, slug(f"layers-{more}"), notes)


def _groups(family: Family) -> list[Group]:
    """The levels, the dense nets of the same training before them."""
    dense = [family.dense] if family.dense and not family.is_dense else []
    return [*dense, *family.groups]


def _shares(report: Report, params: Params) -> list[float]:
    """Of each activation, in percent."""
    return [100 * float(one) for one in report.arrays.get(f"{MODULE}/{params.share}", ())]


def _ladder(family: Family, read: Read, params: Params) -> Iterator[tuple[Cell, ...]]:
    """A line for each stage, or each of the first layers."""
    for group in _groups(family):
        mine = [read.by_net[net] for net in group.finite if net in read.by_net]
        named = [_lines(report, params) for report in mine]
        for label in dict.fromkeys(label for one in named for label in one):
            for stat in means([[one[label]] for one in named if label in one]):
                if stat:
                    yield row_of(label, group.sparsity, stat, panel=short(family))


def _lines(report: Report, params: Params) -> dict[str, float]:
    """Of each stage its share in percent; of each layer, at most 12, where there are no stages; and of all."""
    told = _protocol(report)
    layers, stages = _list(told, "layers"), told.get("stages")
    shares = dict(zip(layers, _shares(report, params), strict=False))
    if isinstance(stages, Mapping) and stages:
        named = {f"stage {stage}": shares.get(str(name)) for stage, name in stages.items()}
    else:
        named = dict([*shares.items()][:SERIES])
    return {name: share for name, share in named.items() if share is not None}


def _protocol(report: Report) -> Mapping[str, Any]:
    return next((row.protocol for row in report.metrics if row.name == MODULE), {})


def _list(told: Mapping[str, Any], name: str) -> list[str]:
    found = told.get(name)
    return [str(one) for one in found] if isinstance(found, list | tuple) else []


def _said(params: Params) -> str:
    return "small activations" if params.share == "small" else "activations at 0"


def _sheet(
    families: Sequence[Family], read: Read, params: Params, title: str, axis: Axis, rows: Rows, part: str,
    notes: Sequence[str],
) -> Sheet:  # fmt: skip
    nets = [net for one in families for group in _groups(one) for net in group.nets if net in read.by_net]
    reports = list({read.by_net[net].id: read.by_net[net] for net in nets}.values())
    keys = [
        one.recipe["keys"].get(MODULE, {}) for one in reports if isinstance(one.recipe.get("keys"), Mapping)
    ]
    limits = " or ".join(dict.fromkeys(str(one["threshold"]) for one in keys if "threshold" in one))
    norms = " or ".join(dict.fromkeys(str(one["bn"]) for one in keys if "bn" in one))
    said = [f"{averaged(rows, f'{params.of} nets')}; test images"]
    said += [f"small: up to {limits}"] if params.share == "small" and limits else []
    said += [f"BatchNorm's statistics where a net has any: {norms}"] if norms else []
    layers = ", ".join(_list(_protocol(reports[0]), "layers"))
    said += [f"activations: {layers}"] if axis.scale == "linear" and layers else []
    many = len(_list(_protocol(reports[0]), "layers"))
    alone = axis.scale == "sparsity" and not _protocol(reports[0]).get("stages")
    said += [f"the first {SERIES} of {many} activations"] if alone and many > SERIES else []
    return Sheet(
        MODULE, "lines", title, axis, Axis("share of outputs", "%"), tuple(rows), part,
        notes=(*said, *dict.fromkeys(notes), *read.notes), sources=tuple(one.id for one in reports),
    )  # fmt: skip
