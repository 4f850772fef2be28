"""The reports behind a planned table: what is audited, probed, transferred or interpolated by which recipe, and what of
it is there. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketctl.errors import MissingExtraError
from ticketctl.plugins import is_own
from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import Agenda, Draw, Use
from ticketctl.stages.audit_wants import wants_of
from ticketctl.stages.audits import Audits, reports_of
from ticketctl.stages.errands import batches, spend_recipe_of, use_of
from ticketctl.stages.examined import wanted
from ticketctl.stages.explorations import with_explorations
from ticketctl.stages.explored import explored
from ticketctl.stages.finished import drawn
from ticketctl.stages.measured import EXPLORED, Reading
from ticketctl.stages.subjects import opened


@dataclass(frozen=True)
class Exam:
    """A run, or the ticket behind it, of which a report is wanted."""

    reading: Reading
    draw: Draw
    use: Use
    recipe: Recipe
    """Of the run."""
    folder: Path | None
    """The run's; None while it is not trained."""
    there: bool
    """Whether there is such a report."""

    @property
    def audit(self) -> str:
        """The recipe."""
        assert self.reading.recipe is not None
        return self.reading.recipe

    @property
    def trusted(self) -> tuple[str, ...]:
        """What is typed of a net that is somebody's own code: who names the table names its net."""
        name = self.draw.recipe.model.name
        return (f"model.name={name}",) if is_own("nets", name) else ()


def check_audits(planned: Agenda) -> None:
    """Refuse reports that cannot be made here, before anything is trained.

    Raises:
        UsageError: there is no such recipe.
        MissingExtraError: a package is not here that one of its metrics needs.
    """
    for reading in dict.fromkeys(reading for reading, _ in planned.audits):
        if reading.kind not in EXPLORED:
            wanted(None, (), None, reading.recipe)
        elif gone := explored(reading.kind, None, (), None, reading.recipe).missing:
            raise MissingExtraError("; ".join(f"{name} {why}" for name, why in gone.items()))


def exams(planned: Agenda) -> list[Exam]:
    """All reports that the table needs, in its order.

    Raises:
        ArtifactError: a ticket, run or report is damaged.
    """
    found: list[Exam] = []
    for reading, draw in dict.fromkeys((reading, use.draw) for reading, use in planned.audits):
        uses = [use for one, use in planned.audits if (one, use.draw) == (reading, draw)]
        found += _exams(reading, draw, uses, planned.workspace)
    return found


def _exams(reading: Reading, draw: Draw, uses: Sequence[Use], workspace: Path) -> Iterator[Exam]:
    if drawn(draw.recipe, draw.seed, draw.folder) is None:
        yield from (Exam(reading, draw, use, spend_recipe_of(use), None, False) for use in uses)
        return
    jobs = [job for batch in batches(draw, uses, workspace) for job in batch.asked]
    for job in jobs:
        there = job.found is not None and _is_there(job.found, reading)
        yield Exam(reading, draw, use_of(draw, job), job.recipe, job.found, there)


def _is_there(folder: Path, reading: Reading) -> bool:
    (run,) = opened([folder])
    if reading.kind in EXPLORED:
        stored = with_explorations([run], reading)[0].stored
        return stored is not None and stored.whole() is not None
    assert reading.recipe is not None
    return Audits(folder, reports_of(run), wants_of(reading.recipe)).whole() is not None
