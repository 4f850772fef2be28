"""Carry out a planned table: every draw, what is spent of it, its reports; what lies there is not made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ticketctl.artifacts.run import open_run
from ticketctl.errors import DivergedError
from ticketctl.progress import Reporter
from ticketctl.seeds import Seeds
from ticketctl.stages.agenda import Agenda, Draw
from ticketctl.stages.audit import Audit, audit
from ticketctl.stages.auditing import Exam, exams
from ticketctl.stages.draw import draw as make
from ticketctl.stages.errands import Batch, batches, uses_of
from ticketctl.stages.examined import wanted
from ticketctl.stages.exploring import explore
from ticketctl.stages.finished import finished_draw
from ticketctl.stages.measured import EXPLORED
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.shown import shown
from ticketctl.stages.spend import spend
from ticketctl.stages.subject import subject_of
from ticketctl.train.bench import poll


class Whole:
    """Passes progress on as that of one job of so many trainings, whatever smaller jobs say of themselves."""

    def __init__(self, reporter: Reporter, title: str, fits: int) -> None:
        self.reporter = reporter
        reporter.job(title, fits)

    # what each method is told stands in the protocol, hence no docstrings (D102)

    def job(self, title: str, fits: int) -> None:  # noqa: D102
        del fits
        self.reporter.note(title)

    def phase(self, name: str, epochs: float, done: float) -> None:  # noqa: D102
        self.reporter.phase(name, epochs, done)

    def epochs(self, done: float, values: Mapping[str, float]) -> None:  # noqa: D102
        self.reporter.epochs(done, values)

    def note(self, text: str) -> None:  # noqa: D102
        self.reporter.note(text)

    def remark(self, text: str) -> None:  # noqa: D102
        self.reporter.remark(text)

    def download(self, name: str, done: int, total: int | None) -> None:  # noqa: D102
        self.reporter.download(name, done, total)

    def work(self, name: str, done: float, total: float) -> None:  # noqa: D102
        self.reporter.work(name, done, total)

    def alive(self) -> None:  # noqa: D102
        self.reporter.alive()


@dataclass
class Carried:
    """What came of it."""

    runs: dict[Path, None] = field(default_factory=dict)
    """Folders of the runs that the table reports, and of those that they began from, in order."""
    trained: int = 0
    """How many spends were trained now."""
    drawn: int = 0
    """How many draws were made now."""
    audited: int = 0
    """How many reports were made now."""
    faults: list[str] = field(default_factory=list)
    """Draws and spends that could not come to their end because something diverged."""


def carry_out(planned: Agenda, fits: int, around: Surroundings, title: str) -> Carried:
    """Draw and spend, in the agenda's order, then audit; a run that diverges is kept, and the rest goes on.

    The same call again goes on where the last one stopped.

    Args:
        planned: the agenda.
        fits: about how many trainings that will be, for the time left.
        around: where it runs, who watches.
        title: what the work is called.

    Raises:
        MismatchError, LockedError, StoppedError, UnavailableError, UsageError, ResourceError: as their names say.
    """
    whole = Whole(around.reporter, title, fits)
    around, found = replace(around, reporter=whole), Carried()
    for draw in planned.draws:
        poll(around.stop)
        try:
            found.drawn += _make(draw, around)
        except DivergedError as error:
            _keep_fault(found, around, error)
            continue
        for batch in batches(draw, uses_of(planned, draw), planned.workspace):
            _spend(batch, found, around)
    for exam in exams(planned):
        if exam.folder is not None and not exam.there:
            found.audited += _reported(exam, exam.folder, planned, around, found)
    return found


def _reported(exam: Exam, folder: Path, planned: Agenda, around: Surroundings, found: Carried) -> bool:
    """Whether there is such a report now: of nets that diverged there may be none."""
    poll(around.stop)
    try:
        if exam.reading.kind in EXPLORED:
            explore(exam, folder, planned.workspace, around)
        else:
            _audit(exam, folder, around)
    except DivergedError as error:
        _keep_fault(found, around, error)
        return False
    return True


def _audit(exam: Exam, folder: Path, around: Surroundings) -> None:
    around.reporter.note(f"audit {folder} by {exam.audit}")
    asked, seeds = wanted(None, exam.trusted, exam.draw.recipe.data.name, exam.audit), Seeds(0)
    subject = subject_of(open_run(folder), asked.sets, around)
    audit(Audit(subject, asked, shown(subject, asked.recipe.audit, seeds, around, None, asked.needs), seeds))


def _make(draw: Draw, around: Surroundings) -> bool:
    if finished_draw(draw.recipe, draw.seed, draw.folder, around.data_dir) is not None:
        return False
    make(draw.recipe, draw.seed, draw.folder, around)
    return True


def _spend(batch: Batch, found: Carried, around: Surroundings) -> None:
    if batch.done:
        found.runs |= dict.fromkeys(batch.folders)
        return
    chosen = batch.chosen
    for spent in spend(
        batch.jobs, chosen.recipe, chosen.draw_seeds, around, partial(_keep_fault, found, around)
    ):
        found.runs[spent.run.folder] = None
        found.trained += spent.trained


def _keep_fault(found: Carried, around: Surroundings, error: DivergedError) -> None:
    found.faults.append(str(error))
    around.reporter.note(f"{error}; the rest goes on")
