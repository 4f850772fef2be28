"""The audits behind a planned table: which runs are audited by which recipe, and what of it is there. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketctl.stages.audit_wants import wants_of
from ticketctl.stages.audits import Audits, reports_of
from ticketctl.stages.errands import batches
from ticketctl.stages.examined import wanted
from ticketctl.stages.finished import drawn
from ticketctl.stages.reproduce import Draw, Planned, Use
from ticketctl.stages.subjects import opened


@dataclass(frozen=True)
class Exam:
    """A run that is audited by a recipe."""

    audit: str
    draw: Draw
    folder: Path | None
    """None while it is not trained."""
    there: bool
    """Whether it has such an audit."""


def check_audits(planned: Planned) -> None:
    """Refuse audits that cannot be taken here, before anything is trained.

    Raises:
        UsageError: there is no such recipe.
        MissingExtraError: a package is not here that one of its metrics needs.
    """
    for audit in dict.fromkeys(audit for audit, _ in planned.audits):
        wanted(None, (), None, audit)


def exams(planned: Planned) -> list[Exam]:
    """All audits that the table needs, in its order.

    Raises:
        ArtifactError: a ticket, run or report is damaged.
    """
    found: list[Exam] = []
    for audit, draw in dict.fromkeys((audit, use.draw) for audit, use in planned.audits):
        uses = [use for one, use in planned.audits if (one, use.draw) == (audit, draw)]
        found += _exams(audit, draw, uses, planned.asked.workspace)
    return found


def _exams(audit: str, draw: Draw, uses: Sequence[Use], workspace: Path) -> Iterator[Exam]:
    if drawn(draw.recipe, draw.seed, draw.folder) is None:
        yield from (Exam(audit, draw, None, False) for _ in uses)
        return
    jobs = [job for batch in batches(draw, uses, workspace) for job in batch.asked]
    for job in jobs:
        yield Exam(audit, draw, job.found, job.found is not None and _is_audited(job.found, audit))


def _is_audited(folder: Path, audit: str) -> bool:
    (run,) = opened([folder])
    return Audits(folder, reports_of(run), wants_of(audit)).whole() is not None
