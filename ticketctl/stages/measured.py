"""Metrics by name: those that a run may have, and those that nothing here measures yet."""

from __future__ import annotations

from ticketctl.errors import near_miss

MISSING = {
    "probe": "a probe",
    "transfer": "a transfer",
    "interpolate": "an interpolation",
    "draw": "the course of a draw, which no run records",
}
"""Beginnings of metrics that ticketctl cannot measure yet, and what they need."""

_EXAMS = ("test", "val", "train", "train.eval", "permuted", "restored", "unpermuted")
LAST = (
    *(f"{exam}.{value}" for exam in _EXAMS for value in ("accuracy", "loss")),
    "train.objective", "distance.masked", "distance.full",
)  # fmt: skip
"""Of the last epoch."""
RECORDED = ("record.lambda_max",)
"""The last of what a spend wrote down along its training (`keep.lambda_max`)."""
MEASURED = (
    *LAST, *(f"best_val.{name}" for name in LAST), "best_val.epoch", "oracle.test.accuracy", *RECORDED,
)  # fmt: skip
"""Metrics that a run may have: those of the last epoch, and of the best one on validation images."""

AUDITED = ("audit", "ratio")
"""Beginnings of metrics that stand in an audit: a row of it, and that over the dense net's."""

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


def needs_dense(metric: str) -> bool:
    """Whether the run's own dense net is needed, audited like it."""
    return metric == "audit.mce" or metric.startswith("ratio.")


def wrong_metric(name: str, audit: str | None) -> str:
    """Why no cell of a table can report the metric, with `audit` the recipe that it is audited by; "" if one can."""
    kind, _, rest = name.partition(".")
    if kind == "winning_sparsity" and rest not in WINNING:
        return f"no metric {name!r}; {near_miss(rest, WINNING)}"
    if name not in MEASURED and kind not in (*MISSING, *AUDITED, "winning_sparsity"):
        return f"no metric {name!r}; {near_miss(name, LAST)}"
    if needs_audit(name) and audit is None:
        return f'{name} is read from audits; say under which recipe: audit = "audit/lth-pass"'
    return ""
