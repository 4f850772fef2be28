"""Every metric of an audit against sparsity: the levels that win solid, the others dashed, the dense nets across.

Small multiples of the metrics of paper 004's LTH-PASS (mCE is relative to the dense net of the same seed), or of any
rows of audits. Means over nets, bands one sample deviation. A level wins in a metric where its nets are better than
their dense nets or equal: at most one point of accuracy below, in others at most one pooled standard error worse (paper
004, sections 4.1 to 4.5). Its marks are filled, those of a level that loses hollow, and the line is solid
between two that win. What a verdict on the shelf says of these very nets counts; where none does, it is worked out here
from the means. What cannot be judged, for no dense net was trained alike, has half filled marks on a thin line. Notes
tell of each family the sparsest level that wins in each metric, and the first that fails, which may be a denser one;
LTH-PASS is the least of the former.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ticketctl.figures.rows import PANELS, SERIES, averaged, by_place, parts, row_of, short, split
from ticketctl.figures.sheet import FORMS, Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Group, Net, Shelf
from ticketctl.figures.winning import MODULES, Measured, by_means, by_verdict, measured

FACTS = {"from": "audits", "papers": "004 Fig 2-6, 8-10"}
COLUMNS = (*FORMS["lines"], "wins", "judged")
SHARES = ("accuracy", "fgsm")
"""In percent."""
TOLD = 6
"""Families whose extremes are told in notes; the CSV tells of all which levels win."""
_WORDS = {True: "yes", False: "no", None: "not judged"}
_ROLES = {True: "line", False: "lost", None: "unjudged"}


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    metrics: tuple[str, ...] = ()
    """Metrics of the verdict (auroc, mce) or rows of audits (rmsce); none: those of LTH-PASS that are there."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no audited ticket, or none has one of the metrics.
    """
    names = dict.fromkeys(params.metrics or MODULES)
    known = [one for name in names if (one := measured(shelf, name))]
    lost = {*params.metrics} - {one.metric for one in known}
    if lost:
        raise NothingError(f"no audit measured {min(lost)!r}; run: {_command(shelf, min(lost))}")
    sheets = []
    for part, where, families in by_place(one for one in shelf.families if not one.is_dense):
        mine = [one for one in families if any(_nets(one, metric) for metric in known)]
        for few in split(mine, SERIES):
            for some in split([one for one in known if any(_nets(family, one) for family in few)], PANELS):
                sheets.append((part, where, few, some))
    if not sheets:
        raise NothingError(f"no audited ticket; run: ticketctl audit {shelf.place} --against dense")
    titles = parts(one[0] or "1" for one in sheets)
    for name, (part, where, few, some) in zip(titles, sheets, strict=True):
        yield _sheet(shelf, few, some, where, name if part or len(sheets) > 1 else "")


def _command(shelf: Shelf, metric: str) -> str:
    """Which measures it, or lists what can be measured."""
    module = MODULES.get(metric)
    return f"ticketctl audit {shelf.place} --metrics {module}" if module else "ticketctl list metrics"


def _nets(family: Family, metric: Measured) -> list[Net]:
    return [net for group in family.groups for net in group.finite if metric.value(net) is not None]


def _sheet(
    shelf: Shelf, families: Sequence[Family], metrics: Sequence[Measured], where: str, part: str
) -> Sheet:
    rows, judged = list[tuple[Cell, ...]](), list[tuple[str, Cell, Cell]]()
    extremes: dict[str, list[str]] = {}
    for metric in metrics:
        rows += _dense(shelf, families, metric)
        for family in families:
            levels = {id(group): _judged(shelf, family, group, metric) for group in family.groups}
            found = list(_line(family, metric, levels))
            rows += found
            judged += [(short(family), row[-2], row[-1]) for row in found]
            if {row[-2] for row in found} & {"yes", "no"}:
                extremes.setdefault(short(family), []).append(_extreme(metric, found))
    reports = [
        metric.read.by_net[net].id for metric in metrics for one in families for net in _nets(one, metric)
    ]
    used = [metric.read for metric in metrics]
    notes = [averaged([row[:-2] for row in rows]), *_how(judged)]
    if extremes:
        notes += ["of each family the sparsest level that wins / the densest that fails, in percent:"]
        notes += [f"{name}: {', '.join(told)}" for name, told in [*extremes.items()][:TOLD]]
    notes += [note for read in used for note in read.notes]
    return Sheet(
        "audit-sparsity", "lines", f"{where}: audited metrics against sparsity", Axis("sparsity", "%", "sparsity"),
        Axis(""), tuple(rows), part, COLUMNS, notes=tuple(dict.fromkeys(notes)), sources=tuple(dict.fromkeys(reports)),
    )  # fmt: skip


def _how(judged: Sequence[tuple[str, Cell, Cell]]) -> Iterator[str]:
    """By what levels are judged, and which are not, and why; of each the family, the answer, and how or why."""
    rule = "accuracy at most 1 point below dense, others at most one pooled standard error worse"
    ways = {"verdict": "a verdict", "means": f"the means ({rule})"}
    how = {way for _, word, way in judged if word != _WORDS[None]}
    if how:
        by = " or ".join(said for way, said in ways.items() if way in how)
        yield f"filled: the level wins, hollow: it does not; judged by {by}"
    left: dict[Cell, dict[str, None]] = {}
    for name, word, why in judged:
        if word == _WORDS[None]:
            left.setdefault(why, {})[name] = None
    for why, names in left.items():
        yield f"half filled, thin line: not judged: {why}: {', '.join([*names][:TOLD])}"


def _judged(shelf: Shelf, family: Family, group: Group, metric: Measured) -> tuple[bool | None, str]:
    """Whether a level wins, and how that is known; or None, and why it is not."""
    told = by_verdict(shelf.verdicts, group, metric)
    if told is not None:
        return told, "verdict"
    found = by_means(group, metric)
    if found is not None:
        return found, "means"
    if metric.better == "none":
        return None, f"of {metric.metric} neither more nor less is better"
    of = "dense net of the same training" if family.dense is None else "audited dense net of the same seeds"
    return None, f"no {of}"


def _title(metric: Measured) -> str:
    """Of a panel: the metric, its unit, and which way is better."""
    arrow = {"higher": " ↑", "lower": " ↓", "none": ""}[metric.better]
    name = {"mce": "mCE, dense = 1", "auroc": metric.row.replace(".", " ", 1)}.get(
        metric.metric, metric.metric
    )
    return f"{name}{' [%]' if metric.metric in SHARES else ''}{arrow}"


def _line(
    family: Family, metric: Measured, levels: Mapping[int, tuple[bool | None, str]]
) -> Iterator[tuple[Cell, ...]]:
    scale = 100.0 if metric.metric in SHARES else 1.0
    for group in family.groups:
        stat = group.stat(lambda net: None if (value := metric.value(net)) is None else scale * value)
        if stat:
            wins, how = levels[id(group)]
            row = row_of(short(family), group.sparsity, stat, role=_ROLES[wins], panel=_title(metric))
            yield (*row, _WORDS[wins], how)


def _dense(shelf: Shelf, families: Sequence[Family], metric: Measured) -> Iterator[tuple[Cell, ...]]:
    """The dense nets of these families, each once."""
    scale = 100.0 if metric.metric in SHARES else 1.0
    for group in dict.fromkeys(family.dense for family in families):
        stat = (
            group.stat(lambda net: None if (value := metric.value(net)) is None else scale * value)
            if group
            else None
        )
        if group and stat:
            label = next((short(one) for one in shelf.families if group in one.groups), "dense")
            yield (*row_of(label, None, stat, role="reference", panel=_title(metric)), None, None)


def _extreme(metric: Measured, rows: Sequence[tuple[Cell, ...]]) -> str:
    """The sparsest level that wins and the first that fails, in percent."""
    told = {
        word: [float(row[3]) for row in rows if row[-2] == word and row[3] is not None]
        for word in ("yes", "no")
    }
    best = f"{max(told['yes']):.4g}" if told["yes"] else "–"
    lost = f"{min(told['no']):.4g}" if told["no"] else "–"
    return f"{metric.metric} {best}/{lost}"
