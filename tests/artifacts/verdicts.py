"""Verdicts and the audits that they are taken from, small and fixed, for tests and for the golden files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject, decode_report, encode_report
from ticketctl.artifacts.verdict import Verdict, write_verdict
from ticketctl.artifacts.verdict_models import Facts
from ticketctl.stages.verdict import Rule, judge
from ticketctl.stages.verdict_inputs import Audited, Net, Pair
from ticketctl.stages.verdict_values import STANDARD

GOOD: Mapping[str, float] = {
    "accuracy": 0.9, **{f"corruption.{name}": 0.25 for name in STANDARD}, "corruption.fog": 0.2, "corruption.snow": 0.4,
    "fgsm": 0.3, "auroc.svhn": 0.8, "ece": 0.05, "nll": 0.4, "fidelity": 0.01, "stability": 0.02,
    "hessian.trace": 120.0,
}  # fmt: skip
"""Of a dense net."""
MODULE = {"auroc": "ood", "fidelity": "lime", "stability": "lime"}
HIGHER = ("accuracy", "fgsm", "auroc", "compositional")
DATA = ReportData(name="digits", fingerprint="sha256:" + "0" * 64)
ENV = {"ticketctl": "0.1.0", "torch": "2.11.0", "device": "cpu", "device_name": "a chip", "tf32": False}
SETS = {name: ["digits", "0", name, {}] for name in ("train", "test")}
RECIPE = {"keys": {"ece": {"bins": 15}}, "sets": SETS, "metrics": ["ece"], "audit": {"images": None}}
PATTERN = (2, 1, 0, 0, 1, 0, 0, 3)
"""Of the corruptions that a test does not count, the severities at which images are wrong."""


def ident(prefix: str, name: str) -> str:
    """An id of a name."""
    return prefix + base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()[:29]


def row(name: str, value: float | None, error: float | None = 0.0, **more: Any) -> MetricRow:
    """A value as its metric writes it; None is no number."""
    first = name.partition(".")[0]
    fields: dict[str, Any] = {
        "metric": MODULE.get(first, first),
        "better": "higher" if first in HIGHER else "lower",
        "n": 100,
        **({"protocol": {"missing": []}} if first == "corruption" else {}),
        **({} if value is not None else {"status": "nan", "reason": "came out as nan"}),
    }
    return MetricRow(name=name, value=value, error=error if value is not None else None, **{**fields, **more})


def audit(
    run: str,
    changes: Mapping[str, float | None] | None = None,
    *,
    without: Sequence[str] = (),
    rows: Iterable[MetricRow] = (),
    status: Any = "done",
    **more: Any,
) -> Report:
    """The audit of the run of that name, as it is read from its file; `changes` to the values of `GOOD`."""
    values = {**GOOD, **(changes or {})}
    mine = {name: row(name, value) for name, value in values.items() if name not in without}
    mine |= {one.name: one for one in rows}
    subject = Subject(
        run_id=ident("rn1", run),
        ticket="dense" if run.startswith("dense") else ident("tk1", run),
        level=0 if run.startswith("dense") else 3,
        weights="sha256:" + hashlib.sha256(run.encode()).hexdigest(),
        status=status,
    )
    fields: dict[str, Any] = {"data": DATA, "seeds": {"root": 0}, "env": ENV, "recipe": RECIPE, **more}
    report = Report(kind="audit", subject=subject, metrics=tuple(mine.values()), **fields)
    return decode_report(encode_report(report), where=run)


def facts(kept: int = 100, **more: Any) -> Facts:
    """Of a net of a thousand weights and ten classes."""
    fields = {"kept": kept, "prunable": 1000, "classes": 10, "train_accuracy": "1.0", "collapsed": (), **more}
    return Facts.model_validate(fields)


def net(
    ours: Sequence[Report],
    theirs: Sequence[Report],
    *,
    name: str = "imp at 90.00 %",
    ladder: str = "imp",
    density: str = "1/10",
    ours_facts: Facts | None = None,
    theirs_facts: Facts | None = None,
    left_out: Sequence[tuple[int, int]] = (),
) -> Net:
    """The nets of these reports beside their dense nets, seeds 0, 1, ..."""
    pairs = [
        Pair(seed, seed, Audited(a, ours_facts or facts()), Audited(b, theirs_facts or facts(1000)))
        for seed, (a, b) in enumerate(zip(ours, theirs, strict=True))
    ]
    return Net(name, ladder, density, pairs, left_out)


BETTER = {"accuracy": 0.895, "nll": 0.39, "hessian.trace": 100.0}
WORSE = {"accuracy": 0.885, "nll": 0.5}
DENSE = [audit("dense-0"), audit("dense-1", {"accuracy": 0.904, "nll": 0.41})]


def passing() -> list[Net]:
    """Two seeds of one net, which passes."""
    return [net([audit("imp-0", BETTER), audit("imp-1", {**BETTER, "accuracy": 0.9})], DENSE)]


def small() -> list[Net]:
    """One seed, which passes."""
    return [net([audit("imp-0", BETTER)], DENSE[:1])]


def ladder() -> list[Net]:
    """Three nets: one passes, one fails, one lacks a metric and is collapsed; a run left out."""
    sparse = net(
        [audit("imp-2", WORSE), audit("imp-3", WORSE)], DENSE, name="imp at 98.00 %", density="1/50",
        left_out=[(7, 7)],
    )  # fmt: skip
    lost = [audit("random-0", {"fgsm": None}), audit("random-1", {"fgsm": None})]
    flagged = net(
        lost, DENSE, name="random at 90.00 %", ladder="random", ours_facts=facts(collapsed=("conv.weight",))
    )
    return [*passing(), sparse, flagged]


def counted(
    run: str, counts: Mapping[str, Sequence[int]], errors: Mapping[str, float] | None = None
) -> Report:
    """The audit of a run that says of each image at how many of 5 severities of each corruption it was wrong.

    Corruptions that are not in `counts` have `PATTERN`; `errors` are those of other values.
    """
    images = len(next(iter(counts.values())))
    every = {**counts, **{name: PATTERN[:images] for name in STANDARD if name not in counts}}
    kinds = {"corruptions": [*every], "missing": []}
    wrong = np.array([*every.values()], dtype=np.uint8)
    parts = zip(every, wrong.mean(axis=1) / 5, wrong.std(axis=1, ddof=1) / 5, strict=True)
    rows = [
        row(f"corruption.{name}", float(mean), float(spread / wrong.shape[1] ** 0.5), protocol=kinds)
        for name, mean, spread in parts
    ]
    rows += [row(name, GOOD[name], error) for name, error in (errors or {}).items()]
    report = audit(run, rows=rows)
    return decode_report(encode_report(replace(report, arrays={"corruption/wrong": wrong})), where=run)


def single() -> list[Net]:
    """One seed, of which every value has an error; corrupted images that are hard for the one are for the other."""
    errors = {name: 0.01 for name in GOOD if not name.startswith("corruption.")}
    counts = {"snow": (5, 4, 2, 0, 3, 0, 1, 0), "fog": (3, 2, 2, 0, 1, 0, 0, 0)}
    ours = {"snow": (5, 4, 3, 0, 3, 0, 0, 0), "fog": (3, 3, 1, 0, 2, 0, 0, 0)}
    reports = [counted(run, wrong, errors) for run, wrong in (("imp-0", ours), ("dense-0", counts))]
    return [net(reports[:1], reports[1:])]


def written(root: Path, nets: Sequence[Net], rule: Rule | None = None) -> Path:
    """The folder of the verdict on `nets` below `root`."""
    verdict: Verdict = judge(nets, rule or Rule())
    return write_verdict(root, verdict, [report for one in nets for report in one.reports()])
