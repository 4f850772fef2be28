"""Where tickets win: whether the nets of a level match their dense nets in a metric of an audit (paper 004)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ticketctl.artifacts.report import MetricRow
from ticketctl.artifacts.verdict import Verdict
from ticketctl.figures.shelf import Family, Group, Net, Read, Shelf

MODULES = {
    "accuracy": "accuracy", "mce": "corruption", "fgsm": "fgsm", "auroc": "ood", "ece": "ece", "nll": "nll",
    "fidelity": "lime", "stability": "lime", "hessian.trace": "hessian", "compositional": "compositional",
}  # fmt: skip
"""The metrics of the LTH-PASS verdict, the last on request, and the module that measures each."""
STANDARD = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The corruptions that mCE is over (Hendrycks and Dietterich 2019)."""
POINT = 0.01
"""By how much the mean accuracy may lie below that of the dense nets."""
_CLOSE = 1e-12
_SCORES = (".energy", ".entropy", ".maxlogit")


@dataclass(frozen=True)
class Measured:
    """A metric of nets, and of the dense net of the same seeds."""

    metric: str
    better: Literal["higher", "lower", "none"]
    row: str
    read: Read
    dense: dict[Net, Net]
    """By net that one of its seeds."""

    def value(self, net: Net) -> float | None:
        """Shares in [0, 1], mCE over that of the dense net, whose own is 1."""
        return self.mce(net) if self.metric == "mce" else self.read.value(net, self.row)

    def mce(self, net: Net) -> float | None:
        """The mean ratio of errors over the standard corruptions on which the dense net errs at all."""
        base = self.dense.get(net)
        ratios = [
            ours / theirs
            for name in STANDARD
            if base is not None
            and (ours := self.read.value(net, f"corruption.{name}")) is not None
            and (theirs := self.read.value(base, f"corruption.{name}"))
        ]
        return statistics.fmean(ratios) if ratios else None

    def known(self, net: Net) -> MetricRow | None:
        """The row that the value is read from."""
        return self.read.row(net, "corruption" if self.metric == "mce" else self.row)


def measured(shelf: Shelf, metric: str) -> Measured | None:
    """A metric by its name in the verdict, or a row of audits; None where no net has it.

    Args:
        shelf: any.
        metric: as auroc or ece.rmsce.
    """
    module = MODULES.get(metric) or _module(shelf, metric)
    read = shelf.read("audit", module) if module else None
    if read is None or not read.by_net:
        return None
    row = _auroc(read) if metric == "auroc" else metric
    found = Measured(metric, "none", row, read, _partners(shelf.families))
    known = next((one for net in read.by_net if (one := found.known(net))), None)
    return Measured(metric, known.better, row, read, found.dense) if known else None


def _module(shelf: Shelf, metric: str) -> str:
    rows = (row for net in shelf.nets for one in net.reports("audit", "trained") for row in one.metrics)
    return next((row.metric for row in rows if row.name == metric), "")


def _auroc(read: Read) -> str:
    """Of the first set by name that all have, noise where there is no other: as the verdict chooses."""
    sets = [
        {row.name for row in one.metrics if row.name.startswith("auroc.") and not row.name.endswith(_SCORES)}
        for one in read.by_net.values()
    ]
    common = set.intersection(*(one for one in sets if one)) if any(sets) else set()
    return min(common, key=lambda name: (name == "auroc.noise", name), default="auroc")


def _partners(families: Sequence[Family]) -> dict[Net, Net]:
    return {
        net: base
        for family in families
        for net in (*family.nets, *(family.dense.nets if family.dense else ()))
        for base in (family.dense.finite if family.dense else ())
        if base.seeds == net.seeds
    }


def by_verdict(verdicts: Sequence[Verdict], group: Group, metric: Measured) -> bool | None:
    """What a verdict says of these very nets, those that were measured; that with the most of them; None: none does."""
    own = {net.id for net in group.finite if metric.known(net)}
    found = [
        (len(net.pairs), finding.status == "pass")
        for verdict in verdicts
        for net in verdict.nets
        if {pair.net.run for pair in net.pairs} == own
        for finding in net.metrics
        if finding.metric == metric.metric and finding.status != "missing"
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


def by_means(group: Group, metric: Measured) -> bool | None:
    """Better than the dense nets, equal, or worse by no more than is allowed; None where there is nothing to compare.

    Allowed are one point of accuracy, and one pooled standard error of other metrics: sqrt((s1^2 + s2^2) / R) over R
    pairs of one seed, of a single pair the errors of its two values (LTH-PASS of paper 004).
    """
    pairs = [pair for net in group.finite if (pair := _pair(net, metric))]
    if not pairs or metric.better == "none":
        return None
    ours, theirs = ([pair[at] for pair in pairs] for at in (0, 1))
    worse = statistics.fmean(theirs) - statistics.fmean(ours)
    if metric.better == "lower":
        worse = -worse
    allowed = POINT if metric.metric == "accuracy" else _pooled(ours, theirs, group, metric)
    return worse <= allowed + _CLOSE


def _pair(net: Net, metric: Measured) -> tuple[float, float] | None:
    base = metric.dense.get(net)
    ours, theirs = metric.value(net), metric.value(base) if base else None
    return (ours, theirs) if ours is not None and theirs is not None else None


def _pooled(ours: Sequence[float], theirs: Sequence[float], group: Group, metric: Measured) -> float:
    if len(ours) > 1:
        return math.sqrt((statistics.variance(ours) + statistics.variance(theirs)) / len(ours))
    return math.sqrt(sum(error**2 for error in _errors(group, metric)))


def _errors(group: Group, metric: Measured) -> Iterator[float]:
    """Of a single pair; of a ratio its own is not known from one report."""
    net = next((one for one in group.finite if _pair(one, metric)), None)
    if net is None or metric.metric == "mce":
        return
    for one in (net, metric.dense[net]):
        row = metric.known(one)
        yield (row.error if row else None) or 0.0
