"""Attributes of a report's root group (formats/report/v1/spec.md), as strict, frozen models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
    Text,
    Version,
    Word,
)
from ticketctl.artifacts.samples import SetName

UNTRAINED = "untrained"
"""In the place of a run's id, where what was measured are weights that nothing was trained from yet."""
FEATURES = ("report.untrained", "report.values")
"""The first where the subject is untrained, from version 1.1 on; the second always."""
SEAL = "attributes_digest"
Kind = Literal["audit", "interpolate", "probe", "transfer"]
Better = Literal["higher", "lower", "none"]
Status = Literal["absent", "done", "nan"]


class Subject(Part):
    """The net that was measured: of a run, or a ticket's untrained; `weights` are those that were measured."""

    run_id: Annotated[str, Field(pattern=rf"^(rn1[a-z2-7]{{29}}|{UNTRAINED})$")]
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
    features: tuple[Literal["report.untrained", "report.values"], ...]
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


def version_of(subject: Subject) -> dict[str, Any]:
    """The lowest version that holds a report of this subject, and its features."""
    untrained = subject.run_id == UNTRAINED
    return {
        "format_version": "1.1" if untrained else "1.0",
        "features": list(FEATURES if untrained else FEATURES[1:]),
    }


def odd_subject(found: ReportAttributes) -> str | None:
    """What the version, the features and the subject do not say alike, or None."""
    subject = found.subject
    if list(found.features) != version_of(subject)["features"]:
        return f"its features are not those of a report of {subject.run_id}"
    if subject.run_id == UNTRAINED and (found.format_version == "1.0" or subject.status != "done"):
        return "an untrained net belongs to version 1.1, and never diverged"
    return None
