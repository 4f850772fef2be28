"""Failed jobs again: as they were, or, with other keys, as new jobs with ids of their own. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe_files import assignments, flat_draw, lay, parse_recipe
from ticketctl.stages.agenda import SPENT, Draw, Part, Use
from ticketctl.stages.jobs import Plan, PlanJob, plan_of
from ticketctl.stages.repeat import settings
from ticketctl.stages.request import run_folder
from ticketctl.stages.sweep import Swept
from ticketctl.stages.tweaking import check_tweaks

ALL = "failed"
"""Every cause."""
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
        UsageError: a key or value that cannot be; a report; keys of `[draw]` for a spend.
    """
    report = next((job for job in jobs if job.reading is not None), None)
    if report is not None:
        raise UsageError(
            f"--set: {report.title} is a report, and has no recipe of a run; --retry takes it as it is"
        )
    draws = {job.draw: _other_draw(job.draw, sets, plan) for job in jobs if job.kind == "draw"}
    uses = {job.use: _other_use(job.use, sets) for job in jobs if job.use is not None}

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
    return found


def _other_draw(draw: Draw, sets: Sequence[str], plan: Plan) -> Draw:
    tables = lay(flat_draw(draw.recipe.record()), assignments(sets))
    recipe = parse_recipe(tables, where=draw.name)
    check_tweaks(recipe)
    if recipe.changed() == draw.recipe.changed():
        raise UsageError(f"--set {' '.join(sets)}: changes nothing of {draw.name}")
    return Draw(run_folder(recipe, draw.seed, None, plan.workspace), draw.seed, draw.name, recipe)


def _other_use(use: Use, sets: Sequence[str]) -> Use:
    if any(text.startswith("draw.") for text in sets):
        raise UsageError("--set draw…: among these jobs are spends, whose tickets are drawn already")
    given = use.draw.recipe.record(*SPENT)
    tables = lay(lay(flat_draw(use.draw.recipe.record()), assignments(use.sets)), assignments(sets))
    wanted = parse_recipe(tables, where=use.draw.name).record(*SPENT)
    found = tuple(settings(given, wanted))
    if found == use.sets:
        raise UsageError(f"--set {' '.join(sets)}: changes nothing of a spend of {use.draw.name}")
    return replace(use, sets=found)
