"""Failed jobs again: as they were, or, with other keys, as new jobs with ids of their own. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe_files import assignments, flat_draw, lay, parse_recipe
from ticketctl.stages.agenda import SPENT, Draw, Part, Use
from ticketctl.stages.cells import is_ladder
from ticketctl.stages.errands import spend_recipe_of
from ticketctl.stages.grid_keys import check_place
from ticketctl.stages.job_state import WHOLE, job_folder, said
from ticketctl.stages.jobs import Plan, PlanJob, plan_of
from ticketctl.stages.plan_faults import Checked, told_again
from ticketctl.stages.repeat import settings
from ticketctl.stages.request import run_folder
from ticketctl.stages.sweep import Swept
from ticketctl.stages.sweep_labels import MOVES, SEEDS, axis_of
from ticketctl.stages.tweaking import check_tweaks

ALL = "failed"
"""Every cause."""
DRAWN = ("model", "data", "train", "draw", "keep", "seeds")
"""Tables of a recipe that a draw reads."""
SAME = ("diverged",)
"""Causes that the same job would meet again, bit for bit."""


HELPS = ("train.lr=0.01", "train.warmup=1ep")
"""What a training that diverged may do better with."""
TITLES = 2
"""Retried jobs that are named."""
_ADVICE = re.compile(r"; [^;]*--set ((?:[\w-]+\.)*[\w-]+=[^\s;)]+)\)?")
"""A clause of a message that names a key to be set."""


def chosen(swept: Swept, cause: str, sets: Sequence[str] = ()) -> list[PlanJob]:
    """The failed jobs of a cause, one or more; "failed": all of them.

    Args:
        swept: what became of every job.
        cause: as `ticketctl status --failed` says.
        sets: `KEY=VALUE` that will be changed; looked at even where nothing failed.

    Raises:
        UsageError: no job failed for that, names what there is; a key that an axis says, or that no recipe has.
    """
    check_rows(swept.plan, sets)
    causes = {job.id: swept.states[job.id].cause for job in swept.failed}
    jobs = [job for job in swept.failed if cause in (ALL, causes[job.id])]
    if jobs:
        return jobs
    _check_keys(swept.plan, sets)
    if not causes:
        raise UsageError(f"--retry {cause}: no job failed; without --retry the sweep does what is left")
    raise UsageError(f"--retry {cause}: no job failed for that; {near_miss(cause, {*causes.values(), ALL})}")


def check_rows(plan: Plan, sets: Sequence[str]) -> None:
    """Refuse keys whose new value would stand under an old one in every table.

    Raises:
        UsageError: an axis of the sweep says one of them; or no KEY=VALUE.
    """
    if (found := axis_of(plan, sets)) is None:
        return
    key, axis = found
    what = "an axis of the sweep" if key == axis else f"what the axis {axis} of the sweep says"
    where = "seeds of the grid" if axis == SEEDS else f"axes.{axis} of the grid"
    if key in MOVES.get(axis, ()):  # no value of that axis: a key of its own
        where = "sets, or on an axis of its own, of the grid"
    way = "name the new one with --seed" if "table" in plan.about else f"put the new one into {where}"
    raise UsageError(
        f"--set {' '.join(sets)}: {key} is {what}, and the row would keep the name of the old value; {way} and sweep "
        "again: what is done is found"
    )


def _check_keys(plan: Plan, sets: Sequence[str]) -> None:
    """Refuse keys that none of the plan's draws could have; raises UsageError."""
    fault: UsageError | None = None
    for recipe in {job.draw.folder.parent: job.draw.recipe for job in plan.jobs if sets}.values():
        try:
            parse_recipe(lay(flat_draw(recipe.record()), assignments(sets)), where=f"--set {' '.join(sets)}")
        except UsageError as error:
            fault = fault or error
        else:
            return
    if fault is not None:
        raise fault


def check_same(jobs: Sequence[PlanJob], swept: Swept) -> list[PlanJob]:
    """Those that may end otherwise without another recipe.

    Raises:
        UsageError: none of them.
    """
    left = [job for job in jobs if swept.states[job.id].cause not in SAME]
    if jobs and not left:
        raise UsageError(
            f"--retry: {many(jobs)} diverged, and would again, bit for bit; change something: {another(swept.plan)}"
        )
    return left


def many(jobs: Sequence[PlanJob]) -> str:
    """How many they are."""
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}"


def another(plan: Plan) -> str:
    """A key that may be set for jobs that diverged: none that an axis says."""
    return f"--set {next((text for text in HELPS if axis_of(plan, [text]) is None), 'KEY=VALUE')}"


def way_on(swept: Swept) -> str:
    """What does failed jobs again."""
    if all(said(job_folder(swept.plan.workspace, job.id)).kind in WHOLE for job in swept.failed):
        return "what is damaged is to be removed first"
    if all(swept.states[job.id].cause in SAME for job in swept.failed):
        return f"--retry diverged {another(swept.plan)} does them otherwise"
    return "--retry failed does them again"


def advised(message: str, plan: Plan) -> str:
    """The message of a failed job, without the advice to set what is an axis here."""
    return _ADVICE.sub(lambda found: found[0] if axis_of(plan, [found[1]]) is None else "", message)


def retried(plan: Plan) -> list[str]:
    """Which jobs of it have other keys than it began with, the first `TITLES` by name."""
    found = []
    for one in plan.about.get("retried") or ():
        count, titles = len(one["jobs"]), [f"[{title}]" for title in one.get("titles", ())]
        jobs = "1 job was" if count == 1 else f"{count} jobs were"
        more = f" and {count - len(titles)} more" if count > len(titles) else ""
        named = f": {', '.join(titles)}{more}" if titles else ""  # plans of before have none
        found.append(f"{jobs} retried with {' '.join(one['set'])}{named}")
    return found


def changed(plan: Plan, jobs: Sequence[PlanJob], sets: Sequence[str]) -> Plan:
    """The plan with other keys for these jobs, and so for all that needs them: they are new jobs, the old ones stay.

    Args:
        plan: the plan.
        jobs: draws, spends; a report's keys are those of its recipe, and no recipe's of a run.
        sets: `KEY=VALUE`, none of which an axis says (`chosen`).

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
    titles = [job.title for job in jobs[:TITLES]]
    told = {"plan": plan.id, "jobs": [job.id for job in jobs], "titles": titles, "set": list(sets)}
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
