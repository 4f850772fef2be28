"""Metrics by name: those that a run may have, and where the others are read from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ticketctl.errors import listed, near_miss
from ticketctl.plugins import plugins, wrong_command

_EXAMS = ("test", "val", "train", "train.eval", "permuted", "restored", "unpermuted")
LAST = (
    *(f"{exam}.{value}" for exam in _EXAMS for value in ("accuracy", "loss")),
    "train.objective", "distance.masked", "distance.full",
)  # fmt: skip
"""Of the last epoch."""
RECORDED = ("record.lambda_max",)
"""The last of what a spend wrote down along its training (`keep.lambda_max`)."""
COURSE = ("draw.epochs", "draw.overlap_at_60", "draw.overlap_before_last")
"""What the ticket says of the draw that found its mask (art)."""
MEASURED = (
    *LAST, *(f"best_val.{name}" for name in LAST), "best_val.epoch", "oracle.test.accuracy", *RECORDED, *COURSE,
)  # fmt: skip
"""Metrics that a run may have: those of the last epoch, and of the best one on validation images."""

AUDITED = ("audit", "ratio")
"""Beginnings of metrics that stand in an audit: a row of it, and that over the dense net's."""
EXPLORED = ("interpolate", "probe", "transfer")
"""Beginnings of metrics that stand in the report of such a command."""
REPORTED = (*AUDITED, *EXPLORED)

Of = Literal[
    "trained", "untrained", "permuted", "random-dense", "retrained", "twins", "levels", "before", "onset"
]  # fmt: skip
"""What was measured: the run; its ticket before training, with its mask permuted, or dense as it was initialised; a
dense net trained on the target of a transfer; twins of the ticket; the path from the ladder's level above to the run,
or from the net that it went on from; the onset of stability of the run's recipe."""
OF: dict[str, tuple[str, ...]] = {
    "audit": ("trained",),
    "probe": ("trained", "untrained", "permuted", "random-dense"),
    "transfer": ("trained", "untrained", "retrained"),
    "interpolate": ("trained", "untrained", "twins", "levels", "before", "onset"),
}
"""By kind of report."""


@dataclass(frozen=True)
class Reading:
    """Which reports a metric is read from."""

    kind: str
    """audit, probe, transfer or interpolate."""
    recipe: str | None
    """By whose keys they were taken; None: by any."""
    of: str = "trained"
    """Of which net."""
    to: str = ""
    """The data set that it was transferred to."""
    at: Fraction | None = None
    """Of a run the share of its training, in (0, 1), after which its weights are meant; None: all of it."""


_ROBUST = ("accuracy", "mce", "fgsm", "auroc")
WINNING = {
    "accuracy": ("accuracy",),
    "corruption": ("mce",),
    "adversarial": ("fgsm",),
    "ood": ("auroc",),
    "ece": ("ece",),
    "nll": ("nll",),
    "fidelity": ("fidelity",),
    "stability": ("stability",),
    "hessian_trace": ("hessian.trace",),
    "lth_pass": (*_ROBUST, "ece", "nll", "fidelity", "stability", "hessian.trace"),
    "low": _ROBUST,
    "high": _ROBUST,
    "uncertainty_low": ("ece", "nll"),
    "uncertainty_high": ("ece", "nll"),
}
"""`winning_sparsity.NAME` of paper 004, and the metrics of the verdict whose extreme sparsities it is taken from."""


def needs_audit(metric: str) -> bool:
    """Whether the metric is read from audits; the sparsity that wins in accuracy alone is not."""
    return metric.startswith(tuple(f"{name}." for name in AUDITED)) or (
        metric.startswith("winning_sparsity") and not metric.endswith(".accuracy")
    )


def needs_report(metric: str) -> bool:
    """Whether it is read from reports: audits, probes, transfers or interpolations."""
    return needs_audit(metric) or metric.partition(".")[0] in EXPLORED


def kind_of(metric: str) -> str | None:
    """The kind of report that it is read from, or held against; None: it stands in the runs."""
    begin = metric.partition(".")[0]
    if begin in EXPLORED:
        return begin
    return "audit" if begin in (*AUDITED, "winning_sparsity") else None


def needs_dense(metric: str) -> bool:
    """Whether the run's own dense net is needed, audited like it."""
    return metric == "audit.mce" or metric.startswith("ratio.")


def whole_name(name: str) -> str:
    """What is meant by a metric or curve alone, whose values stand in reports; "" if it is none."""
    for command in (*EXPLORED, "audit"):
        kind = "curves" if command == "interpolate" else "metrics"
        if name in plugins(kind) and (kind == "curves" or not wrong_command(name, command)):
            values = plugins(kind)[name].literals.get("BETTER", {})
            return f"did you mean '{command}.{name if name in values else next(iter(values), name)}'?"
    return ""


def wrong_metric(name: str, reading: Reading | None) -> str:
    """Why no cell of a table can report the metric, read from `reading`; "" if one can."""
    kind, _, rest = name.partition(".")
    if kind == "winning_sparsity" and rest not in WINNING:
        return f"no metric {name!r}; {near_miss(rest, WINNING)}"
    if name not in MEASURED and kind not in (*REPORTED, "winning_sparsity"):
        return f"no metric {name!r}; {near_miss(name, LAST)}"
    if needs_audit(name) and reading is None:
        return f'{name} is read from audits; say under which recipe: audit = "audit/lth-pass"'
    if kind in EXPLORED and reading is None:
        return f'{name} is read from reports of {kind}; say under which recipe: explore = "{kind}/…"'
    if reading is not None and reading.of not in OF[reading.kind]:
        return f"{name}: of must be {listed(OF[reading.kind])}, not {reading.of!r}"
    return ""
