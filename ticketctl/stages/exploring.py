"""Make the probe, transfer or interpolation that a table's cell is read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ticketctl.artifacts.run import MANIFEST, Run, open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import UsageError
from ticketctl.recipe_explore import InterpolateRecipe, TransferRecipe
from ticketctl.seeds import Seeds
from ticketctl.stages.audit import audit
from ticketctl.stages.auditing import Exam
from ticketctl.stages.between import Between, between, of_twins
from ticketctl.stages.explored import Explored, explored
from ticketctl.stages.interpolate import interpolate, interpolation
from ticketctl.stages.kept import epoch_near
from ticketctl.stages.measured import Reading
from ticketctl.stages.named import Named, at_epoch, of_run, of_ticket
from ticketctl.stages.onset import onset, searches
from ticketctl.stages.probe import asked_of
from ticketctl.stages.report_wants import FORM, TWINS
from ticketctl.stages.request import Typed
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.subject import Opener
from ticketctl.stages.subjects import ticket_beside
from ticketctl.stages.transfer import Errand, frozen, opened
from ticketctl.stages.transfer_fit import reported, tuned, tuning
from ticketctl.stages.transfer_target import Target
from ticketctl.stages.twins import planned_twins, trained_twins
from ticketctl.stages.whereabouts import level_beside, went_on_from

SEEDS = Seeds(0)
"""Of what is drawn for a measurement."""


def explore(exam: Exam, folder: Path, workspace: Path, around: Surroundings) -> None:
    """Write the report.

    Args:
        exam: what is wanted.
        folder: the run's; its ticket lies beside it.
        workspace: where twins are trained.
        around: where it runs, who watches.

    Raises:
        DivergedError: a net that it needs left the finite numbers.
        UsageError, MismatchError, LockedError, StoppedError, UnavailableError, ResourceError: as their names say.
    """
    reading = exam.reading
    work = _Work(exam, folder, workspace, around)
    at = "" if work.epoch is None else f" after epoch {work.epoch}"
    around.reporter.note(f"{reading.kind} {folder} by {exam.audit}: {reading.of}{at}")
    _MAKERS[reading.kind](work)


@dataclass(frozen=True)
class _Work:
    """What a report is made of."""

    exam: Exam
    folder: Path
    workspace: Path
    around: Surroundings

    @property
    def reading(self) -> Reading:
        """What is wanted."""
        return self.exam.reading

    @cached_property
    def asked(self) -> Explored:
        """The recipe, under which the table's own says net and data."""
        data, epoch = self.exam.draw.recipe.data.name, self.epoch
        sets = () if epoch is None else (f"{self.reading.kind}.epoch={epoch}",)
        return explored(self.reading.kind, None, (*self.exam.trusted, *sets), data, self.exam.audit)

    @property
    def epoch(self) -> int | None:
        """Of the weights that are measured; None: the last.

        Raises:
            UsageError: the run kept none at that share of its training.
        """
        at = self.reading.at
        epoch = None if at is None else epoch_near(self.run.manifest, at)
        if at is not None and epoch is None:
            raise UsageError(f"{self.folder}: kept no weights after {float(100 * at):.3g} % of its training")
        return epoch

    @property
    def sets(self) -> Mapping[str, Any]:
        """Of the nets' own recipes."""
        return self.asked.sets

    @cached_property
    def run(self) -> Run:
        """The run that the cell reports, or whose ticket it does."""
        return open_run(self.folder)

    @cached_property
    def ticket(self) -> Ticket:
        """Beside it."""
        return open_ticket(ticket_beside(self.folder))

    @property
    def level(self) -> int:
        """Of both."""
        return self.run.manifest.level

    @property
    def net(self) -> Named:
        """What is measured, where it is one net."""
        of = self.reading.of
        if of in ("untrained", "twins"):
            return of_ticket(self.ticket, self.level, self.sets)
        if of == "permuted":
            return of_ticket(self.ticket, self.level, self.sets, "permuted")
        if of == "random-dense":
            return of_ticket(self.ticket, 0, self.sets, "random-dense")
        return at_epoch(of_run(self.run, self.sets), self.epoch)


def _probe(work: _Work) -> None:
    audit(asked_of(Opener(work.around).open(work.net), work.asked, SEEDS, work.around))


def _transfer(work: _Work) -> None:
    assert isinstance(work.asked.recipe, TransferRecipe)
    errand = Errand(work.net, retrained=work.reading.of == "retrained")
    # a net that is initialised and trained here is another under each seed, as the draws are
    seeds = Seeds(work.exam.draw.seed) if errand.retrained else SEEDS
    target = Target(work.reading.to, work.asked.recipe, seeds, work.around)
    subject = opened(errand, Opener(work.around))
    if errand.retrained:
        one = tuning(subject, target, keep=FORM)
        reported(one, tuned(one), work.sets)
    else:
        audit(frozen(subject, target, work.asked))


def _interpolate(work: _Work) -> None:
    if work.reading.of == "onset":
        for search in searches([work.net], work.asked):
            onset(search, work.around)
        return
    opener = Opener(work.around)
    for pair in _between(work):
        interpolate(interpolation(pair, work.asked, SEEDS, opener))


def _between(work: _Work) -> list[Between]:
    if work.reading.of == "twins":
        typed = Typed(data=work.exam.draw.recipe.data.name, sets=work.exam.trusted)
        planned = planned_twins(work.ticket, [work.level], TWINS, typed, work.workspace)
        if planned.remark:
            work.around.reporter.remark(planned.remark)
        return [of_twins(work.net, trained_twins(planned, work.around)[work.level], work.sets)]
    recipe = work.asked.recipe
    assert isinstance(recipe, InterpolateRecipe)
    spec = recipe.interpolate.model_copy(
        update={"of": "untrained" if work.reading.of == "untrained" else "trained"}
    )
    return between(_ends(work), recipe.chosen, spec, work.sets)


def _ends(work: _Work) -> list[Named]:
    if work.reading.of == "levels":
        return [of_ticket(work.ticket, level, work.sets) for level in (work.level - 1, work.level)]
    if work.reading.of == "before":
        return [of_run(_before(work), work.sets), work.net]
    return [work.net]


def _before(work: _Work) -> Run:
    """The run from whose end this one went on: of the same level and seeds, without tweaks."""
    mine = work.run.manifest
    for folder in level_beside(work.folder, work.level):
        run = open_run(folder) if (folder / MANIFEST).is_file() else None
        if run is not None and went_on_from(mine, run.manifest.weights.digest):
            return run
    raise UsageError(f"{work.folder}: the run from whose end it went on does not lie beside it")


_MAKERS: Mapping[str, Callable[[_Work], None]] = {
    "probe": _probe,
    "transfer": _transfer,
    "interpolate": _interpolate,
}
