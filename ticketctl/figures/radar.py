"""Every metric of several nets on a scale of its own, from the worst of them to the best, raw values below.

(x - min) / (max - min) over the nets, and (max - x) / (max - min) where lower is better, so that outward is better; 1
where all nets have the same (paper 004 Fig 1 and 11). It shows ranks among the nets that were chosen and nothing else,
so the raw values stand in a table below.

From a verdict, if one is there: its nets and what they are held against, with the metrics that it judges, a chart for
each sparsity. Otherwise from audits: of each recipe the level of one sparsity, mean over seeds, and the dense net; with
`corruption`, the mean error under corruption, in the place of mCE, which only a verdict has.

Choices: of OoD the AUROC on the first set by name that all these nets were shown, on noise only if there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ticketctl.artifacts.verdict import Verdict
from ticketctl.artifacts.verdict_models import NetPart
from ticketctl.figures.ladders import at_density, check_sparsity, ends, left_behind, nearest, numbered
from ticketctl.figures.ranks import means, radar
from ticketctl.figures.rows import by_place, parts, percent, short, split
from ticketctl.figures.sheet import Axis, NothingError, Sheet, counted, slug
from ticketctl.figures.shelf import Family, Group, Net, Shelf, Stat

FACTS = {"from": "audits", "papers": "004 Fig 1, 11"}
MODULES = {
    "accuracy": ("accuracy", "higher"),
    "corruption": ("corruption", "lower"),
    "fgsm": ("fgsm", "higher"),
    "auroc": ("ood", "higher"),
    "ece": ("ece", "lower"),
    "nll": ("nll", "lower"),
    "fidelity": ("lime", "lower"),
    "stability": ("lime", "lower"),
    "hessian.trace": ("hessian", "lower"),
}
"""Rows of audits, the module that measures each, and which way is better."""
WORDS = {
    "corruption": "corruption error", "mce": "mCE", "fgsm": "FGSM accuracy", "auroc": "OoD AUROC", "ece": "ECE",
    "nll": "NLL", "fidelity": "LIME fidelity", "stability": "LIME stability", "hessian.trace": "Hessian trace",
    "compositional": "concept IoU",
}  # fmt: skip
ARROWS = {"higher": "↑", "lower": "↓"}
MOST = 8
"""Nets of a chart."""
Values = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Params:
    """Which nets are compared."""

    sparsity: float | None = None
    """In percent. Of audits, nothing: the largest that most recipes come near; of a verdict: a chart for each."""

    def __post_init__(self) -> None:
        check_sparsity("radar", self.sparsity)


@dataclass(frozen=True)
class _Nets:
    """What is compared."""

    values: Values
    """Raw ones, by net and metric."""
    better: Mapping[str, str]
    counts: Mapping[tuple[str, str], int]
    """Runs behind each value, by net and metric, where that is known."""
    dense: Sequence[str]
    """Those that stand in every chart."""
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each verdict and sparsity; where there is no verdict, for each net and data set.

    Raises:
        NothingError: no verdict, and no net with three metrics of an audit; or none near the sparsity.
    """
    found = [*(_judged(shelf, params) if shelf.verdicts else _audited(shelf, params))]
    if not found:
        near = "" if params.sparsity is None else f" near {params.sparsity:g} % sparsity"
        raise NothingError(f"no two nets{near} with three metrics each; run: ticketctl audit {shelf.place}")
    names = parts(one.part or "1" for one in found)
    yield from (replace(one, part=name) if one.part else one for one, name in zip(found, names, strict=True))


def _judged(shelf: Shelf, params: Params) -> Iterator[Sheet]:
    for at, verdict in enumerate(shelf.verdicts):
        charts = [*_charts(_as_families(shelf, verdict), params.sparsity)]
        for word, one in charts:
            values, better = means(one)
            counts = {(net.name, metric): len(net.pairs) for net in one.nets for metric in better}
            dense = [name for name in values if name not in {net.name for net in one.nets}]
            here = word.removeprefix(" at ") if len(charts) > 1 else ""
            part = " ".join(filter(None, (numbered("", at, len(shelf.verdicts)), here)))
            nets = _Nets(values, better, counts, dense, (verdict.verdict_id,))
            yield from _chart(part, f"{_place(shelf, verdict)}: measures of tickets{word}", nets)


def _place(shelf: Shelf, verdict: Verdict) -> str:
    """Net and data, where the runs of a verdict are on the shelf; else the data alone."""
    judged = {pair.net.run for net in verdict.nets for pair in net.pairs}
    names = {family.net for family in shelf.families for net in family.nets if net.id in judged}
    return f"{names.pop()} on {verdict.data.name}" if len(names) == 1 else verdict.data.name


def _as_families(shelf: Shelf, verdict: Verdict) -> Verdict:
    """Its nets called as the families that their runs belong to; where two would be called alike, as they are."""
    names = [_called(shelf, net) for net in verdict.nets]
    if len({*names}) < len(names):
        return verdict
    named = zip(verdict.nets, names, strict=True)
    return verdict.model_copy(
        update={"nets": tuple(net.model_copy(update={"name": name}) for net, name in named)}
    )


def _called(shelf: Shelf, net: NetPart) -> str:
    runs = {pair.net.run for pair in net.pairs}
    mine = [one for one in shelf.families if runs <= {each.id for each in one.nets}]
    if len(mine) != 1 or not net.name.startswith(net.ladder):
        return net.name
    return short(mine[0]) + net.name.removeprefix(net.ladder)


def _charts(verdict: Verdict, sparsity: float | None) -> Iterator[tuple[str, Verdict]]:
    """The nets that go together: those of one sparsity, or all where they are few; and in words at which."""
    left = sorted(verdict.nets, key=lambda net: -_density(net))
    if sparsity is None and len(left) < MOST:
        yield "", verdict
        return
    while left:
        wanted = _density(left[0]) if sparsity is None else 1 - sparsity / 100
        mine = [net for net in left if nearest([_density(net)], wanted) is not None]
        left = [net for net in left if net not in mine] if sparsity is None else []
        if mine:
            yield f" at {percent(wanted)} sparsity", verdict.model_copy(update={"nets": tuple(mine)})


def _density(net: NetPart) -> float:
    """More than 0: of a net of which nothing is left there is a logarithm too."""
    return max(1e-12, float(Fraction(net.density)))


def _audited(shelf: Shelf, params: Params) -> Iterator[Sheet]:
    for part, title, families in by_place(one for one in shelf.families if not one.is_dense):
        levels = at_density(families, params.sparsity, lambda group: _known(shelf, group))
        if levels:
            groups = _with_dense(shelf, levels)
            row = _auroc(shelf, [net for group in groups.values() for net in group.finite])
            found = {name: _means(shelf, group, row) for name, group in groups.items()}
            values: Values = {
                name: {metric: one.mean if one else None for metric, one in stats.items()}
                for name, stats in found.items()
            }
            better = {name: way for name, (_, way) in MODULES.items()}
            counts = {
                (name, metric): one.n for name, stats in found.items() for metric, one in stats.items() if one
            }
            known = [group.density for group in levels.values()]
            at = " to ".join(dict.fromkeys(map(percent, (max(known), min(known)))))
            dense = [name for name in groups if name not in map(short, levels)]
            sources = tuple(dict.fromkeys(net.id for group in groups.values() for net in group.nets))
            audited = [one for one in families if any(_known(shelf, group) for group in one.groups)]
            notes = (*left_behind(audited, groups), *_others(shelf))
            nets = _Nets(values, better, counts, dense, sources, notes)
            yield from _chart(part, f"{title}: measures at {at} sparsity", nets)


def _known(shelf: Shelf, group: Group) -> bool:
    """Whether an audit measured something of a net of it that stayed finite."""
    return any(
        net in shelf.read("audit", module).by_net for module, _ in MODULES.values() for net in group.finite
    )


def _with_dense(shelf: Shelf, levels: Mapping[Family, Group]) -> dict[str, Group]:
    """The dense nets first, then the level of each family, by what they are called."""
    dense = dict.fromkeys(family.dense for family in levels if family.dense)
    found = {
        next((short(one) for one in shelf.families if group in one.groups), "dense"): group
        for group in dense if _known(shelf, group)
    }  # fmt: skip
    return found | {short(family): group for family, group in levels.items()}


def _others(shelf: Shelf) -> list[str]:
    """Of which metrics nets were left out."""
    reads = {
        module: shelf.read("audit", module) for module in dict.fromkeys(one for one, _ in MODULES.values())
    }
    return [f"{module}: {note}" for module, read in reads.items() for note in read.notes]


def _means(shelf: Shelf, group: Group, auroc: str) -> dict[str, Stat | None]:
    found = {}
    for name, (module, _) in MODULES.items():
        read, row = shelf.read("audit", module), auroc if name == "auroc" else name
        found[name] = Stat.of(read.value(net, row) for net in group.finite)
    return found


def _auroc(shelf: Shelf, nets: Sequence[Net]) -> str:
    """The row of the AUROC that all nets with one have: of softmax, on the first set by name but for noise."""
    read = shelf.read("audit", MODULES["auroc"][0])
    rows = [
        {
            row.name
            for row in read.by_net[net].metrics
            if row.name.startswith("auroc.") and row.name.count(".") == 1
        }
        for net in nets
        if net in read.by_net
    ]
    shared = set.intersection(*rows) if rows else set()
    return min(shared, key=lambda row: (row == "auroc.noise", row), default="auroc")


def _chart(part: str, title: str, nets: _Nets) -> Iterator[Sheet]:
    """Charts of these nets, the dense ones in each."""
    values, better, dense = nets.values, nets.better, nets.dense
    known = [one for one in better if any(row.get(one) is not None for row in values.values())]
    if len(known) < 3 or len(values) < 2:
        return
    several = split([name for name in values if name not in dense], max(1, MOST - len(dense)))
    for mine in several:
        names = [*dense, *mine]
        shares = radar({name: values[name] for name in names}, better)
        rows = [
            (name, _said(one, better), shares[name][one], values[name].get(one), nets.counts.get((name, one)))
            for name in names
            for one in known
        ]
        yield Sheet(
            "radar", "radar", title, Axis("metric"), Axis("share of the way from worst to best"), tuple(rows),
            slug(" ".join([part, *(ends(mine) if len(several) > 1 else [])])) if part or len(several) > 1 else "",
            notes=(
                "from the worst to the best of these nets: ranks among them and nothing else; below: raw values",
                f"mean over n = {counted(rows)} runs",
                *nets.notes,
            ),
            sources=nets.sources,
        )  # fmt: skip


def _said(metric: str, better: Mapping[str, str]) -> str:
    return f"{WORDS.get(metric, metric)} {ARROWS[better[metric]]}"
