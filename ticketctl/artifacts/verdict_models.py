"""verdict.json (formats/verdict/v1/spec.md) as strict, frozen models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ticketctl.artifacts.records import (
    Count,
    Decimal,
    Digest,
    Int,
    Metric,
    Parameter,
    Part,
    Record,
    ReportId,
    RunId,
    Size,
    Text,
    Version,
    Word,
)
from ticketctl.artifacts.report_models import ReportData

FEATURES = ("verdict.lth-pass",)
Name = Annotated[str, Field(min_length=1, max_length=300)]
VerdictId = Annotated[str, Field(pattern=r"^vd1[a-z2-7]{29}$")]
Share = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,29})/[1-9][0-9]{0,29}$")]
"""A density or sparsity, as a fraction."""
Rate = Annotated[
    str, Field(pattern=r"^(0(\.[0-9]+)?|1(\.0+)?|[1-9](\.[0-9]+)?e-0*[1-9][0-9]*|nan)$", max_length=40)
]
"""A share in [0, 1], or no number."""
Winning = Literal["s003", "s004"]
Outcome = Literal["fail", "incomplete", "pass"]
Side = Literal["dense", "net"]


class RulePart(Part):
    """By which rule: which papers' accuracy, the tolerance of the other metrics, what is required beside the nine."""

    winning: Winning
    tol_rel: Decimal
    compositional: bool
    corruptions: Literal[15, 19]
    """The standard ones, or also the four more of the released code of paper 004."""
    ood: Word | None
    """The set whose AUROC counts; None: the first by name that all reports have, `noise` where there is no other."""


class Facts(Part):
    """What the run's own files say of a net and its report does not: nobody can check it from the reports alone."""

    kept: Count
    prunable: Size
    classes: Size
    train_accuracy: Decimal | None
    """The last one of its training, a share."""
    collapsed: tuple[Parameter, ...]
    """Layers of which the mask keeps nothing."""


class StatedFacts(Facts):
    """The same in a document, where they must be possible."""

    train_accuracy: Rate | None

    @model_validator(mode="after")
    def _no_more_than_all(self) -> StatedFacts:
        if self.kept > self.prunable:
            raise ValueError(f"{self.kept} weights are kept of {self.prunable}")
        return self


class Entry(Part):
    """One net by its report."""

    report: ReportId
    run: RunId
    facts: StatedFacts


class PairPart(Part):
    """A net and the dense net that it is held against, of one seed and initialisation."""

    seed: Int
    init: Int
    net: Entry
    dense: Entry


class SeedPart(Part):
    """A run that has no partner."""

    seed: Int
    init: Int


class Flag(Part):
    """What is to be known of a net before its numbers are read."""

    kind: Literal["collapsed", "diverged", "nonconverged"]
    side: Side
    seed: Int
    init: Int


class RelativePart(Part):
    """Relative mCE: mCE of the errors less those on clean images."""

    mean: Decimal
    skipped: tuple[Metric, ...]
    """Corruptions that add nothing to the dense net's error."""


class Finding(Part):
    """One metric over the R pairs; `worse` is how far the net's mean lies on the wrong side of the dense mean."""

    metric: Metric
    row: Metric
    better: Literal["higher", "lower"] | None
    status: Literal["fail", "missing", "pass"]
    reason: Text
    mean: Decimal | None
    error: Decimal | None
    dense: Decimal | None
    dense_error: Decimal | None
    worse: Decimal | None
    pooled: Decimal | None
    allowed: Decimal | None
    skipped: tuple[Metric, ...]
    """Corruptions that the dense net makes no error on, of mCE."""
    absent: tuple[Metric, ...]
    """Corruptions that not both nets of a pair were shown, of mCE, which is missing then."""
    relative: RelativePart | None
    """Beside mCE; it decides nothing."""


class NetPart(Part):
    """The nets of one kind and density, and what was found of them."""

    name: Name
    ladder: Name
    level: Count
    density: Share
    pairs: Annotated[tuple[PairPart, ...], Field(min_length=1)]
    left_out: tuple[SeedPart, ...]
    flags: tuple[Flag, ...]
    indicative: bool
    metrics: tuple[Finding, ...]
    outcome: Outcome


class Extreme(Part):
    """Of one metric over a ladder: the largest sparsity that passes, the smallest that fails; how many are missing."""

    metric: Metric
    sparsity: Share | None
    first_failure: Share | None
    missing: Count


class LadderPart(Part):
    """The extreme sparsities of one ladder; `lth_pass` is the least of them, None if some metric has none."""

    ladder: Name
    metrics: tuple[Extreme, ...]
    lth_pass: Share | None


class Verdict(Part):
    """verdict.json."""

    format: Literal["ticketctl.verdict"]
    format_version: Version
    features: tuple[Literal["verdict.lth-pass"]]
    verdict_id: VerdictId
    rule: RulePart
    data: ReportData
    seeds: dict[Word, Int]
    env: Record
    nets: Annotated[tuple[NetPart, ...], Field(min_length=1)]
    ladders: tuple[LadderPart, ...]
    outcome: Outcome
    manifest_digest: Digest
