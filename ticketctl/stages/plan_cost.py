"""What a plan costs: trainings, epochs, hours on this machine, bytes on its disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import Use
from ticketctl.stages.auditing import exams
from ticketctl.stages.bill import Bill, Item, bill_of, key_of, survey
from ticketctl.stages.errands import Task, batches, lost, spend_recipe_of
from ticketctl.stages.estimate import PATIENCE
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.method import plan as method_plan
from ticketctl.stages.pace import START, Pace
from ticketctl.stages.plan_faults import check_net, published, refuse
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.sound import Unsound, form_here
from ticketctl.stages.sweep import check_drawn

WEIGHT = 4
"""Bytes of a parameter."""
SMALL = 60_000
"""Bytes of a run or ticket besides its weights: manifest, series, samples; measured on nets of the digits."""


@dataclass(frozen=True)
class PlanCost:
    """What is left of a plan."""

    jobs: Mapping[str, tuple[int, int]]
    """By kind of job: how many, and how many of them are there."""
    bill: Bill
    seconds: Mapping[str, float | None]
    """Of each job that trains, with the machine to itself; None where it is not known."""
    bytes: int | None
    """To be written; None where some net is not known."""
    unknown: tuple[str, ...] = ()
    """Data that would have to be fetched to know more."""

    def hours(self, plan: Plan, slots: int) -> tuple[float | None, float | None]:
        """Hours of work in all, and on the wall with so many jobs at a time.

        The second is the larger of an equal share and of the longest chain of jobs that wait for one another.
        """
        known = [value for value in self.seconds.values() if value is not None]
        if len(known) < len(self.seconds):
            return None, None
        chain: dict[str, float] = {}
        for job in plan.jobs:
            before = max((chain[need] for need in job.needs), default=0.0)
            chain[job.id] = before + (self.seconds.get(job.id) or 0.0)
        longest = max(chain.values(), default=0.0)
        start = START if known else 0.0  # that of the processes, which start together
        return (start + sum(known)) / 3600, (start + max(sum(known) / slots, longest)) / 3600


def is_done(job: PlanJob, workspace: Path) -> bool:
    """Whether what comes of a job lies there, whoever made it."""
    if not job.draw.done:
        return False
    if job.use is None:
        return True
    part = job.part(workspace)
    if job.reading is not None:
        return all(exam.there for exam in exams(part))
    return all(batch.done for batch in batches(job.draw, part.uses, workspace))


def cost_of(plan: Plan, around: Surroundings, *, timed: float = PATIENCE, lenient: bool = False) -> PlanCost:
    """Build every net on its data once, let each training refuse what it must as it begins, and count.

    Args:
        plan: the plan.
        around: where; nothing is fetched where it says offline.
        timed: seconds, about, in which a few steps of each are trained; 0: none is.
        lenient: whether data that are not there leave what is on them unknown.

    Raises:
        UsageError: a recipe, tweak or key that cannot be, or does not fit net or data; names the combinations.
        OfflineError: data that would have to be fetched, where not `lenient`.
        UnavailableError: data that cannot be had.
        MismatchError: data were changed since a draw began on them.
        StoppedError: somebody asked to stop.
    """
    check_drawn(plan, around.data_dir)
    gone = _gone(plan)
    done = {job.id for job in plan.jobs if job.id not in gone and is_done(job, plan.workspace)}
    again = [Task(use.draw, use, spend_recipe_of(use), None, False) for uses in gone.values() for use in uses]
    todo = [*(_task(job, job.id in done) for job in plan.jobs if job.kind == "spend"), *again]
    faults, unsound = list[str]() if lenient else None, [*_unsound(plan), *_misfits(todo, around)]
    paces = survey(plan.agenda, todo, around, timed=timed > 0, faults=faults, patience=timed, unsound=unsound)
    refuse(plan, unsound)
    bill = _of_draws(bill_of(plan.agenda, todo, paces), again)
    known = bill.draws
    spends = {(task.draw, task.use): item for task, item in bill.spends}
    seconds = {}
    for job in plan.jobs:
        item = (
            known.get(job.draw)
            if job.kind == "draw"
            else spends.get((job.draw, job.use))
            if job.use
            else None
        )
        if item is not None and job.id not in done and job.reading is None:
            seconds[job.id] = item.seconds
    kinds = dict.fromkeys(job.kind for job in plan.jobs)
    counts = {kind: [job.id in done for job in plan.jobs if job.kind == kind] for kind in kinds}
    jobs = {kind: (len(own), sum(own)) for kind, own in counts.items()}
    left = (job for job in plan.jobs if job.id not in done and job.reading is None)
    return PlanCost(jobs, bill, seconds, _bytes(left, gone, paces), tuple(dict.fromkeys(faults or ())))


def _gone(plan: Plan) -> dict[str, list[Use]]:
    """Runs that came with a draw, that are wanted, and that are gone, by the draw's id: they are trained anew."""
    own = {
        job.id: plan.delivered.get(job.id, ()) for job in plan.jobs if job.kind == "draw" and job.draw.done
    }
    found = {name: lost(uses) for name, uses in own.items()}
    return {name: uses for name, uses in found.items() if uses}


def _of_draws(bill: Bill, again: Sequence[Task]) -> Bill:
    """The bill with these trainings counted to their draws, with which they once came."""
    draws, keys = dict(bill.draws), {(task.draw, task.use) for task in again}
    for task, item in bill.spends:
        if (task.draw, task.use) in keys:
            draws[task.draw] = _sum(draws[task.draw], item)
    spends = [(task, item) for task, item in bill.spends if (task.draw, task.use) not in keys]
    return replace(bill, draws=draws, spends=spends)


def _sum(one: Item, other: Item) -> Item:
    steps, seconds, busy = (
        None if mine is None or theirs is None else mine + theirs
        for mine, theirs in (
            (one.steps, other.steps), (one.seconds, other.seconds), (one.as_busy, other.as_busy),
        )
    )  # fmt: skip
    both = one.trainings + other.trainings, one.epochs + other.epochs
    return Item(*both, None if steps is None else int(steps), seconds, busy, one.at_most or other.at_most)


def _unsound(plan: Plan) -> list[Unsound]:
    """Draws whose keys or target their method does not take."""
    found = []
    for draw in {draw.folder.parent: draw for draw in plan.agenda.draws if not draw.done}.values():
        try:
            method_plan(draw.recipe)
        except UsageError as error:
            found.append((draw.recipe, str(error)))
    return found


def _misfits(todo: Iterable[Task], around: Surroundings) -> list[Unsound]:
    """Spends of another net than their ticket's, where that depends on somebody's own data."""
    found, known = list[Unsound](), dict[str, str]()
    for task in todo:
        drawn, own = task.draw.recipe, task.recipe
        if task.there or (drawn.model, drawn.data) == (own.model, own.data):
            continue
        key = repr((drawn.record("model", "data"), own.record("model", "data")))
        if key not in known:
            known[key] = _misfit(drawn, own, around)
        found += [(own, known[key])] if known[key] else []
    return found


def _misfit(drawn: Recipe, own: Recipe, around: Surroundings) -> str:
    try:
        check_net(drawn, own, lambda spec: published(spec) or form_here(spec, around))
    except UsageError as error:
        return str(error)
    return ""


def _task(job: PlanJob, there: bool) -> Task:
    assert job.use is not None
    return Task(job.draw, job.use, spend_recipe_of(job.use), None, there)


def _bytes(
    jobs: Iterable[PlanJob], gone: Mapping[str, Sequence[Use]], paces: Mapping[str, Pace]
) -> int | None:
    total = 0
    for job in jobs:
        uses = gone.get(job.id) or ([job.use] if job.use else [])
        for recipe in map(spend_recipe_of, uses) if uses else [job.draw.recipe]:
            pace = paces.get(key_of(recipe))
            if pace is None:
                return None
            total += _of_run(recipe, pace) if uses else _of_draw(recipe, pace)
    return total


def _of_run(recipe: Recipe, pace: Pace) -> int:
    """The last weights, those with the best validation accuracy, and those kept at named epochs."""
    nets = 1 + (recipe.data.validation != "none") + len(recipe.keep.epochs)
    return SMALL + nets * WEIGHT * pace.parameters


def _of_draw(recipe: Recipe, pace: Pace) -> int:
    """The weights that it starts from, and a run for every level."""
    trainings = method_plan(recipe).trainings if recipe.draw and recipe.draw.keep == "all" else 0
    return SMALL + WEIGHT * pace.parameters + trainings * _of_run(recipe, pace)


def cost_record(cost: PlanCost, plan: Plan, slots: int) -> dict[str, Any]:
    """For `--json`; None where it is not known."""
    work, wall = cost.hours(plan, slots)
    return {
        "jobs": {kind: {"all": many, "there": there} for kind, (many, there) in cost.jobs.items()},
        **{
            key: value
            for key, value in cost.bill.record().items()
            if key in ("trainings", "epochs", "steps", "at_most")
        },
        "hours": work,
        "slots": slots,
        "hours_on_the_wall": wall,
        "bytes": cost.bytes,
        "unknown": list(cost.unknown),
    }
