"""Small reports for tests and for the golden files: every number is fixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject
from ticketctl.artifacts.report_models import UNTRAINED

SUBJECT = Subject(
    run_id="rn1" + "a" * 29, ticket="tk1" + "b" * 29, level=3, weights="sha256:" + "3" * 64, status="done"
)
ENV = {"torch": "2.11.0", "device": "cpu", "precision": "float32", "tf32": False}
RECIPE = {"metrics": ["accuracy", "ece", "nll"], "ece": {"bins": 15}, "skip": 0.1}
SOURCES = {"test": "sha256:" + "4" * 64, "corrupt-fog-3": "sha256:" + "5" * 64}
ROWS = (
    MetricRow("accuracy", "accuracy", "higher", 0.90625, 0.015625, 200),
    MetricRow("ece", "ece", "lower", 0.1, None, 200, protocol={"bins": 15, "norm": 1.5, "ties": "first"}),
    MetricRow("mce", "mce", "lower", None, None, 0, "absent", "no corrupted images of digits"),
    MetricRow(
        "nll", "nll", "lower", None, None, 200, "nan", "2 of 200 images have logits that are not finite"
    ),
)


def audit() -> Report:
    """A small audit: done with and without an error, absent, and no number; two arrays."""
    arrays = {
        "ece/bins": np.array([[0.0, np.nan, 0.5], [0.25, -np.inf, 1.0]]),
        "accuracy/right": np.array([1, 0, 1, 1], "u1"),
    }
    return Report(
        "audit", SUBJECT, ReportData(name="digits", fingerprint="sha256:" + "0" * 64), {"root": 0, "order": 7},
        ENV, RECIPE, ROWS, SOURCES, arrays,
    )  # fmt: skip


def empty() -> Report:
    """Nothing was asked of a diverged dense net."""
    dense = Subject(
        run_id=SUBJECT.run_id, ticket="dense", level=0, weights=SUBJECT.weights, status="diverged"
    )
    return replace(audit(), kind="probe", subject=dense, metrics=(), sources={}, arrays={}, env={}, recipe={})


def untrained() -> Report:
    """A probe of a ticket from which nothing was trained yet."""
    subject = SUBJECT.model_copy(update={"run_id": UNTRAINED})
    return replace(audit(), kind="probe", subject=subject, sources={})


def shapes() -> Report:
    """Every type of an array; no dimension, none of a size, eight, and more rows than a chunk holds."""
    arrays = {
        "ece/scalar": np.array(0.5, "f4"),
        "ece/none": np.zeros((0, 3), "i8"),
        "ece/eight": np.arange(4, dtype="i8").reshape(1, 1, 2, 1, 1, 2, 1, 1),
        "nll/long": np.arange(5, dtype="u1").repeat(1 << 20).reshape(5, 1 << 20),
        "nll/c": np.array([np.inf, np.nan], "f4"),
    }
    return replace(audit(), kind="transfer", arrays=arrays)


def small() -> Report:
    """Small enough to flip each of its bits."""
    return replace(audit(), metrics=ROWS[1:3], arrays={"ece/bins": np.array([0.5, np.nan], "f4")}, sources={})
