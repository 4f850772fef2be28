"""Failed jobs again: as they were, or, with other keys, as new jobs with ids of their own. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe_files import assignments, flat_draw, lay, parse_recipe
from ticketctl.stages.agenda import SPENT, Draw, Part, Use
from ticketctl.stages.cells import is_ladder
from ticketctl.stages.errands import spend_recipe_of
from ticketctl.stages.grid_keys import check_place
from ticketctl.stages.jobs import Plan, PlanJob, plan_of
from ticketctl.stages.plan_faults import Checked, told_again
from ticketctl.stages.repeat import settings
from ticketctl.stages.request import run_folder
from ticketctl.stages.sweep import Swept
from ticketctl.stages.tweaking import check_tweaks

ALL = "failed"
"""Every cause."""
DRAWN = ("model", "data", "train", "draw", "keep", "seeds")
"""Tables of a recipe that a draw reads."""
SAME = ("diverged",)
"""Causes that the same job would meet again, bit for bit."""


def chosen(swept: Swept, cause: str) -> list[PlanJob]:
    """The failed jobs of a cause; "failed": all of them, but for those that the very same job would meet again.

    Raises:
        UsageError: no job failed for that; names what there is.
    """
    causes = {job.id: swept.states[job.id].cause for job in swept.failed}
    known = sorted({*causes.values()})
    if cause not in (ALL, *known):
        what = f"; {near_miss(cause, [*known, ALL])}" if known else ": none failed at all"
        raise UsageError(f"--retry {cause}: no job failed for that{what}")
    return [job for job in swept.failed if cause in (ALL, causes[job.id])]


def check_same(jobs: Sequence[PlanJob], swept: Swept) -> list[PlanJob]:
    """Those that may end otherwise without another recipe.

    Raises:
        UsageError: none of them.
    """
    left = [job for job in jobs if swept.states[job.id].cause not in SAME]
    if jobs and not left:
        raise UsageError(
            f"--retry: all {len(jobs)} diverged, and would again, bit for bit; change something: --set train.lr=0.01"
        )
    return left


def changed(plan: Plan, jobs: Sequence[PlanJob], sets: Sequence[str]) -> Plan:
    """The plan with other keys for these jobs, and so for all that needs them: they are new jobs, the old ones stay.

    Args:
        plan: the plan.
        jobs: draws, spends; a report's keys are those of its recipe, and no recipe's of a run.
        sets: `KEY=VALUE`.

    Raises:
        UsageError: a key or value that cannot be, or by which a job could not begin; a report; keys of `[draw]` for a
            spend. Names the jobs.
        MissingExtraError: a metric needs a package that is not here.
    """
    report = next((job for job in jobs if job.reading is not None), None)
    if report is not None:
        raise UsageError(
            f"--set: {report.title} is a report, and has no recipe of a run; --retry takes it as it is"
        )
    draws, uses = _others(plan, jobs, sets)

    def moved(use: Use) -> Use:
        other = uses.get(use, use)
        return replace(other, draw=draws.get(use.draw, use.draw))

    agenda = plan.agenda
    part = Part(
        plan.workspace,
        tuple(dict.fromkeys(draws.get(draw, draw) for draw in agenda.draws)),
        tuple(dict.fromkeys(moved(use) for use in agenda.uses)),
        tuple(dict.fromkeys((reading, moved(use)) for reading, use in agenda.audits)),
    )
    places = [replace(place, use=moved(place.use)) for place in plan.places]
    before: list[Any] = list(plan.about.get("retried", []))
    told = {"plan": plan.id, "jobs": [job.id for job in jobs], "set": list(sets)}
    found = plan_of(part, places, plan.title, {**plan.about, "retried": [*before, told]})
    stuck = next((job for job in jobs if job.id in found.by_id), None)
    if stuck is not None:
        raise UsageError(f"--set: {stuck.title} is needed as it is by other jobs; change it in the grid")
    _check_new(found, plan, sets)
    return found


def _others(
    plan: Plan, jobs: Sequence[PlanJob], sets: Sequence[str]
) -> tuple[dict[Draw, Draw], dict[Use, Use]]:
    """What stands in the place of their draws and of their uses; raises UsageError, with all that cannot be."""
    assignments(sets)
    draws, uses = dict[Draw, Draw](), dict[Use, Use]()
    faults = dict[PlanJob, str]()
    for job in jobs:
        try:
            if job.use is None:
                draws[job.draw] = _other_draw(job.draw, sets, plan)
            else:
                uses[job.use] = _other_use(job.use, sets)
        except UsageError as error:
            faults[job] = str(error)
    if faults:
        raise UsageError(told_again(sets, faults, plan))
    return draws, uses


def _check_new(found: Plan, plan: Plan, sets: Sequence[str]) -> None:
    """Ask the jobs that are new in `found` what combinations of a grid are asked; raises UsageError."""
    checked, faults = Checked(), dict[PlanJob, str]()
    pairs = [(found.of_use[place.use], place.use) for place in found.places]  # a draw comes with some of them
    for job, use in [*((job, None) for job in found.jobs), *pairs]:
        if job.id not in plan.by_id and job not in faults:
            why = checked.why_job(job) if use is None else checked.why(use)
            faults |= {job: why} if why else {}
    if faults:
        raise UsageError(told_again(sets, faults, found))


def _other_draw(draw: Draw, sets: Sequence[str], plan: Plan) -> Draw:
    tables = lay(flat_draw(draw.recipe.record()), assignments(sets))
    recipe = parse_recipe(tables, where=draw.name)
    check_tweaks(recipe)
    if recipe.changed() == draw.recipe.changed():
        raise UsageError(f"changes nothing of {draw.name}")
    if recipe.record(*DRAWN) == draw.recipe.record(*DRAWN):
        raise UsageError(
            f"changes nothing of {draw.name}, which is a draw: [spend] and [tweaks] are of spends"
        )
    once = is_ladder(draw.recipe) and not is_ladder(recipe)
    if once and any(use.level for use in plan.agenda.uses if use.draw == draw):
        raise UsageError(f"{draw.name} is drawn in levels, which others want; change it in the grid")
    if recipe.data.name != draw.recipe.data.name:
        check_place(recipe.data.name)
    return Draw(run_folder(recipe, draw.seed, None, plan.workspace), draw.seed, draw.name, recipe)


def _other_use(use: Use, sets: Sequence[str]) -> Use:
    said = assignments(sets)
    if "draw" in said:
        raise UsageError("draw…: among these jobs are spends, whose tickets are drawn already")
    tables = lay(lay(flat_draw(use.draw.recipe.record()), assignments(use.sets)), said)
    recipe = parse_recipe(tables, where=use.draw.name)
    if "tweaks" in said.get("spend", {}):
        raise UsageError("spend.tweaks: which tweaks are spent the plan says; change it in the grid")
    given = use.draw.recipe.record(*SPENT)
    found = tuple(settings(given, recipe.record(*SPENT)))
    if found == use.sets:
        raise UsageError(f"changes nothing of a spend of {use.draw.name}")
    other = replace(use, sets=found)
    spend_recipe_of(other)  # refuses keys that no tweak has
    return other
