"""What is trained for the measurements of a table: twins, the nets of an onset, dense nets on a transfer's target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketctl.artifacts.ticket import open_ticket
from ticketctl.data.load import form_of
from ticketctl.recipe import Recipe, TrainSpec
from ticketctl.recipe_data import DataSpec
from ticketctl.recipe_explore import InterpolateRecipe, TransferRecipe
from ticketctl.recipe_files import merge
from ticketctl.stages.agenda import Agenda, Draw, Use
from ticketctl.stages.auditing import Exam
from ticketctl.stages.beginning import restarts
from ticketctl.stages.errands import Task, delivered, spend_recipe_of
from ticketctl.stages.finished import CONTROLS, drawn
from ticketctl.stages.onset_due import most_of
from ticketctl.stages.price import price_in
from ticketctl.stages.report_wants import TWINS, explore_wants
from ticketctl.stages.request import Typed
from ticketctl.stages.transfer_target import target_tables
from ticketctl.stages.tweaking import epochs_of
from ticketctl.stages.twins import planned_twins


@dataclass(frozen=True)
class Need:
    """Trainings that a measurement takes before it."""

    exam: Exam
    """The first that takes them."""
    recipe: Recipe
    """Of each of them."""
    trainings: int
    epochs: float
    """Of all together; where `late`, what lies before the rewind point counted in."""
    late: bool = False
    """Whether each begins at the rewind point."""
    at_most: bool = False


def needs(planned: Agenda, todo: Sequence[Task], asked: Sequence[Exam]) -> list[Need]:
    """What is still to be trained for reports that are not there, each training once.

    Args:
        planned: the table.
        todo: as `errands.tasks` gives them.
        asked: as `auditing.exams` gives them.

    Raises:
        UsageError: twins that could only be one net; a data set or key that is not there.
        ArtifactError: a ticket is damaged.
    """
    found: dict[Any, Need] = {}
    for exam in asked:
        if not exam.there and exam.reading.of in _KINDS:
            key, make = _KINDS[exam.reading.of]
            place = (exam.reading.of, exam.draw.folder, key(exam))
            if place not in found:
                found[place] = make(exam, planned, todo)
    return [one for one in found.values() if one.trainings]


# -------------------------------------------------------------------------------------------------------------- twins


def _twins(exam: Exam, planned: Agenda, todo: Sequence[Task]) -> Need:
    """The first is the draw's own, or one of the table's runs."""
    draw, use = exam.draw, Use(exam.draw, exam.use.control, (), exam.use.level, ())
    if drawn(draw.recipe, draw.seed, draw.folder) is not None:
        return _left(exam, use, planned, todo)
    recipe = spend_recipe_of(use)
    count = TWINS - (delivered(use) or any(task.use == use for task in todo))
    late = use.level != 0 and not restarts(recipe) and recipe.spend.start == "ticket"
    return Need(exam, recipe, count, float(count * epochs_of(recipe)), late)


def _left(exam: Exam, use: Use, planned: Agenda, todo: Sequence[Task]) -> Need:
    ticket = open_ticket(_ticket(exam.draw, use.control))
    level = ticket.manifest.level if use.level is None else use.level
    typed = Typed(data=exam.draw.recipe.data.name, sets=exam.trusted)
    twins = planned_twins(ticket, [level], TWINS, typed, planned.workspace)
    counted = {task.folder for task in todo}
    left = [job for job in twins.left if job.folder not in counted]
    cost = price_in(left, None)
    return Need(exam, twins.chosen.recipe, cost.trainings, cost.epochs)


def _ticket(draw: Draw, control: str) -> Path:
    return draw.folder / CONTROLS / control / "ticket" if control else draw.folder / "ticket"


# -------------------------------------------------------------------------------------------- onsets, retrained nets


def _onset(exam: Exam, planned: Agenda, todo: Sequence[Task]) -> Need:
    """The whole search: evaluations that lie there are still counted."""
    del planned, todo
    recipe = explore_wants(exam.audit, "interpolate").recipe
    assert isinstance(recipe, InterpolateRecipe)
    assert recipe.onset is not None
    most = most_of(exam.recipe.train.epochs, recipe.onset, {})
    inits = recipe.onset.inits
    return Need(exam, exam.recipe, inits * most.trainings, inits * most.epochs, at_most=True)


def _retrained(exam: Exam, planned: Agenda, todo: Sequence[Task]) -> Need:
    """One dense net under each seed; where a run may lie there from before, at most."""
    del planned, todo
    recipe = _on_target(exam)
    return Need(exam, recipe, 1, float(recipe.train.epochs), at_most=exam.folder is not None)


def _on_target(exam: Exam) -> Recipe:
    """The run's recipe on the target's images in the form of its own; where that form is not known, in theirs."""
    wanted = explore_wants(exam.audit, "transfer").recipe
    assert isinstance(wanted, TransferRecipe)
    own, to = exam.recipe, exam.reading.to
    known = form_of(own.data.name)
    form = own.data.form or (known[0] if known else None)
    train = merge(own.train.model_dump(mode="json", exclude_none=True), wanted.train)
    return own.model_copy(
        update={
            "data": DataSpec.model_validate(target_tables(to, own.model.name, form)),
            "train": TrainSpec.model_validate(train),
            "draw": None,
            "tweaks": {},
            "spend": own.spend.model_copy(update={"tweaks": (), "attribution": False}),
        }
    )


_Key = Callable[[Exam], Any]
_KINDS: Mapping[str, tuple[_Key, Callable[[Exam, Agenda, Sequence[Task]], Need]]] = {
    "twins": (lambda exam: (exam.use.control, exam.use.level), _twins),
    "onset": (lambda exam: (exam.audit, exam.recipe.fingerprint), _onset),
    "retrained": (lambda exam: (exam.audit, exam.reading.to, exam.recipe.fingerprint), _retrained),
}
