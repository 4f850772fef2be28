"""Metrics by name: those that a run may have, and those that nothing here measures yet. Imports nothing."""

from __future__ import annotations

MISSING = {
    "winning_sparsity": "an audit",
    "audit": "an audit",
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
MEASURED = (*LAST, *(f"best_val.{name}" for name in LAST), "best_val.epoch", "oracle.test.accuracy")
"""Metrics that a run may have: those of the last epoch, and of the best one on validation images."""
