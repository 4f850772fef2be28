"""Attributes of a report's root group (formats/report/v1/spec.md), as strict, frozen models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ticketctl.artifacts.records import (
    Count,
    Digest,
    Int,
    Metric,
    Parent,
    Part,
    Record,
    ReportId,
    RunId,
    Text,
    Version,
    Word,
)
from ticketctl.artifacts.samples import SetName

FEATURES = ("report.values",)
SEAL = "attributes_digest"
Kind = Literal["audit", "interpolate", "probe", "transfer"]
Better = Literal["higher", "lower", "none"]
Status = Literal["absent", "done", "nan"]


class Subject(Part):
    """The run that was measured; `weights` are those that were, of a kept state perhaps."""

    run_id: RunId
    ticket: Parent
    level: Count
    weights: Digest
    status: Literal["diverged", "done"]


class ReportData(Part):
    """The data set that the run was trained on."""

    name: Word
    fingerprint: Text


class Source(Part):
    """Answers that values were taken from: a samples file, by its set and its digest."""

    set: SetName
    digest: Digest


class MetricEntry(Part):
    """What the attributes say of one value; the value and its error stand in the arrays."""

    name: Metric
    metric: Word
    better: Better
    n: Count
    status: Status
    reason: Annotated[str, Field(max_length=1000)]
    protocol: Record


class ReportAttributes(Part):
    """Attributes of the root group."""

    format: Literal["ticketctl.report"]
    format_version: Version
    features: tuple[Literal["report.values"]]
    kind: Kind
    report_id: ReportId
    subject: Subject
    data: ReportData
    seeds: dict[Word, Int]
    env: Record
    recipe: Record
    recipe_digest: Digest
    sources: tuple[Source, ...]
    metrics: tuple[MetricEntry, ...]
    digest: Digest
    attributes_digest: Digest
