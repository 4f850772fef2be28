"""What a pair of reports says of each metric of the verdict: the values of the net and of its dense net."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.errors import listed
from ticketctl.metrics import _corruption

MODULES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "mce": "corruption",
    "fgsm": "fgsm",
    "auroc": "ood",
    "ece": "ece",
    "nll": "nll",
    "fidelity": "lime",
    "stability": "lime",
    "hessian.trace": "hessian",
    "compositional": "compositional",
}
"""The metrics of the verdict, and the module that measures each; the last is required on request."""
OPTIONAL = "compositional"
REQUIRED = tuple(name for name in MODULES if name != OPTIONAL)
NOISE = "noise"
LARGEST = 1e150
"""Of a value or its error: what lies beyond is no measurement, and its square no number."""
STANDARD = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The corruptions that mCE is over (Hendrycks and Dietterich 2019)."""
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The four more of the released code of paper 004."""
UNPAIRED = "its error takes both nets for independent: not both reports have the errors of each image"
_SCORES = (".energy", ".entropy", ".maxlogit")
"""Other scores than MSP, which is the verdict's."""


@dataclass(frozen=True)
class Relative:
    """Relative mCE, which stands beside mCE and is never required; the dense net's own is 1."""

    value: Fraction
    skipped: tuple[str, ...] = ()
    """Corruptions that add nothing to the dense net's error."""


@dataclass(frozen=True)
class Reading:
    """One metric of one net; `value` None: it is missing, and `reason` says why. `error` is its standard error or 0.

    Of a value that is there, `reason` says what is to be known of its error.
    """

    row: str
    better: str
    value: Fraction | None
    error: float = 0.0
    reason: str = ""
    skipped: tuple[str, ...] = ()
    """Corruptions without an error of the dense net."""
    absent: tuple[str, ...] = ()
    """Corruptions that not both nets were shown."""
    fewer: str = ""
    """Of an mCE over fewer sets than are wanted, what is not there: for a verdict it is missing."""
    relative: Relative | None = None
    """Of mCE."""


def exact(value: float) -> Fraction:
    """The decimal number that `value` is printed as: a verdict hangs on it."""
    return Fraction(repr(value))


@dataclass(frozen=True)
class Sets:
    """Which sets of images count."""

    ood: str | None
    """Of AUROC; None if the reports share none."""
    corruptions: tuple[str, ...] = STANDARD
    """Of mCE."""


def read_pair(net: Report, dense: Report, metric: str, sets: Sets) -> tuple[Reading, Reading]:
    """The metric of a net and of its dense net.

    Args:
        net: the net's report.
        dense: that of the dense net of the same seed.
        metric: one of `MODULES`.
        sets: which sets count.
    """
    if metric == "mce":
        return _mce(net, dense, sets.corruptions)
    row = metric if metric != "auroc" else f"auroc.{sets.ood}" if sets.ood else "auroc"
    return _reading(net, row, MODULES[metric]), _reading(dense, row, MODULES[metric])


def ood_set(reports: Iterable[Report]) -> str | None:
    """The first set by name whose AUROC stands in all reports that have any (a diverged net's has none), noise where
    there is no other; None: there is none.
    """
    found = [
        {
            row.name.partition(".")[2]
            for row in report.metrics
            if row.metric == "ood" and row.name.startswith("auroc.") and not row.name.endswith(_SCORES)
        }
        for report in reports
    ]
    known = [names for names in found if names]
    common = set.intersection(*known) if known else set()
    return min(common, key=lambda name: (name == NOISE, name), default=None)


def rows_of(report: Report, metric: str, sets: Sets) -> list[MetricRow]:
    """The rows that a metric of the verdict is read from."""
    if metric == "mce":
        return list(_corruptions(report, sets.corruptions).values())
    row = _row(report, metric if metric != "auroc" else f"auroc.{sets.ood}")
    return [] if row is None else [row]


def _row(report: Report, name: str) -> MetricRow | None:
    return next((row for row in report.metrics if row.name == name), None)


def _reading(report: Report, name: str, module: str) -> Reading:
    row = _row(report, name)
    if row is None or row.value is None or row.better == "none":
        return Reading(name, "", None, reason=_why(report, row, module))
    if abs(row.value) > LARGEST or (row.error or 0.0) > LARGEST:
        return Reading(name, row.better, None, reason=f"{row.value} is too large to be compared")
    return Reading(name, row.better, exact(row.value), row.error or 0.0)


def _why(report: Report, row: MetricRow | None, module: str) -> str:
    """Why a value is missing: what its row says, or that of the whole module."""
    said = row or _row(report, module)
    if said is None or said.status == "done":
        return f"{module} was not measured"
    return said.reason


# --------------------------------------------------------------------------------------------------------------- mCE


def _corruptions(report: Report, wanted: Sequence[str]) -> dict[str, MetricRow]:
    rows = {row.name: row for row in report.metrics if row.metric == "corruption"}
    return {name: rows[f"corruption.{name}"] for name in wanted if f"corruption.{name}" in rows}


def _mce(net: Report, dense: Report, wanted: Sequence[str]) -> tuple[Reading, Reading]:
    """mCE against the dense net of the same seed (paper 004 section 4.1), and relative mCE; the dense net's own is 1.

    Over fewer corruptions than are wanted, or not all five severities of each, it is another number, and the reading
    says so. Its error is that of pairs of answers to one image (`mce_variance`) where both reports say of each image
    how often its answers were wrong; else that of a mean of ratios of independent numbers, and the reading says so.
    """
    ours, theirs = _corruptions(net, wanted), _corruptions(dense, wanted)
    fewer = _fewer(net, wanted) or _fewer(dense, wanted)
    names = sorted(ours.keys() & theirs.keys())
    absent = tuple(sorted({*wanted} - {*names}))
    lost = next((name for name in names if _lacks(ours[name]) or _lacks(theirs[name])), None)
    if lost is not None or not names or ours.keys() != theirs.keys():
        why = fewer if lost is None else f"no error on {lost}"
        return _no_mce(why, absent), _no_mce(why, absent)
    errors, base = ({name: exact(_value(rows[name])) for name in names} for rows in (ours, theirs))
    mean, left_out = _corruption.mce(errors, base)
    skipped = tuple(left_out)
    if mean is None:
        why, skipped = fewer or "the dense net makes no error on any corruption", () if fewer else skipped
        return _no_mce(why, absent, skipped), _no_mce(why, absent, skipped)
    kept = [name for name in names if name not in left_out]
    variance, why = _paired(net, dense, kept), ""
    if variance is None:
        variance, why = _unpaired(ours, theirs, kept), UNPAIRED
    if max(mean, variance) > LARGEST:
        return _no_mce("it is too large to be compared", absent), _no_mce("", absent)
    relative, error = _relative(net, dense, errors, base), math.sqrt(variance)
    return (
        Reading("mce", "lower", mean, error, why, skipped, absent, fewer, relative),
        Reading("mce", "lower", Fraction(1), 0.0, "", skipped, absent, fewer),
    )


def _fewer(report: Report, wanted: Sequence[str]) -> str:
    """Which corrupted sets the report is not of, and what would be right; or ""."""
    rows = _corruptions(report, wanted)
    if not any(row.metric == "corruption" and row.status == "done" for row in report.metrics):
        return _why(report, None, "corruption")
    if lost := [name for name in wanted if name not in rows]:
        return f"{len(lost)} of {len(wanted)} corruptions not shown: {listed(lost, 2)}; {_way(wanted)}"
    said = [row.protocol.get("missing") for row in rows.values()]
    if not all(isinstance(one, list | tuple) for one in said):
        return f"the report does not say which severities were shown; {_way(wanted)}"
    gaps = sorted({str(gap) for one in said for gap in one or () if str(gap).partition("/")[0] in wanted})
    if gaps:
        return f"{len(gaps)} of {5 * len(wanted)} corrupted sets not shown: {listed(gaps, 2)}; {_way(wanted)}"
    return ""


def _way(wanted: Sequence[str]) -> str:
    word = "standard" if len(wanted) == len(STANDARD) else "all"
    return f"audit all: --set audit.corruptions={word}, all five severities"


def _paired(net: Report, dense: Report, kept: Sequence[str]) -> Fraction | None:
    """The squared error of mCE over the images that both nets were shown; None: the reports do not say enough."""
    counts = [_counts(report, kept) for report in (net, dense)]
    if counts[0] is None or counts[1] is None:
        return None
    return _corruption.mce_variance(counts[0], counts[1])


def _unpaired(
    ours: Mapping[str, MetricRow], theirs: Mapping[str, MetricRow], kept: Sequence[str]
) -> Fraction:
    """The squared error of a mean of ratios of independent means, to first order."""
    found = Fraction(0)
    for name in kept:
        value, base = exact(_value(ours[name])), exact(_value(theirs[name]))
        errors = [exact(row.error or 0.0) for row in (ours[name], theirs[name])]
        found += (errors[0] / base) ** 2 + (value * errors[1] / base**2) ** 2
    return found / len(kept) ** 2


def _counts(report: Report, kept: Sequence[str]) -> _corruption.Counts | None:
    """At how many severities of these corruptions each image is wrong, if the report says so of all of them."""
    found = report.arrays.get("corruption/wrong")
    row = _row(report, f"corruption.{kept[0]}")
    names = row.protocol.get("corruptions") if row is not None else None
    if (
        found is None
        or found.dtype != np.uint8
        or not isinstance(names, list | tuple)
        or {*kept} - {*map(str, names)}
    ):
        return None
    if found.ndim != 2 or len(found) != len(names):
        return None
    return found[[names.index(name) for name in kept]]


def _relative(
    net: Report, dense: Report, errors: _corruption.Errors, base: _corruption.Errors
) -> Relative | None:
    """None where the accuracy on clean images is not there, or no corruption adds to the dense net's error."""
    rows = [_reading(report, "accuracy", "accuracy") for report in (net, dense)]
    if rows[0].value is None or rows[1].value is None:
        return None
    found, skipped = _corruption.relative_mce(errors, base, (1 - rows[0].value, 1 - rows[1].value))
    return None if found is None or abs(found) > LARGEST else Relative(found, tuple(skipped))


def _no_mce(reason: str, absent: tuple[str, ...], skipped: tuple[str, ...] = ()) -> Reading:
    return Reading("mce", "lower", None, reason=reason, skipped=skipped, absent=absent)


def _lacks(row: MetricRow) -> bool:
    return row.value is None or max(abs(row.value), row.error or 0.0) > LARGEST


def _value(row: MetricRow) -> float:
    assert row.value is not None
    return row.value
