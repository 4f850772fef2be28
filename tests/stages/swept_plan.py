"""Plans of made-up jobs for tests of whoever carries them out: nothing of them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import Draw, Use
from ticketctl.stages.job_state import JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan, PlanJob

RECIPE = Recipe.model_validate({
    "model": {"name": "lenet-300-100"}, "data": {"name": "digits"}, "train": {"epochs": 1},
    "draw": {"method": "snip", "density": "1/2"},
})  # fmt: skip


def plan(workspace: Path, needs: Mapping[str, str], epochs: Mapping[str, float] | None = None) -> Plan:
    """Jobs in an order in which they can be done.

    Args:
        workspace: of the plan.
        needs: by name, with the names of those that each needs in one text: `{"a": "", "b": "a"}`.
        epochs: of each; 1 where nothing is said.
    """
    jobs = []
    for name, before in needs.items():
        draw = Draw(workspace / name, 0, name, RECIPE)
        use = Use(draw, "", (), None, ()) if before else None
        long = (epochs or {}).get(name, 1.0)
        jobs.append(
            PlanJob(
                name,
                "spend" if before else "draw",
                f"job {name}",
                tuple(before.split()),
                draw,
                use,
                epochs=long,
            )
        )
    return Plan("made up", workspace, tuple(jobs), ())


def say(whole: Plan, states: Mapping[str, str], **more: object) -> None:
    """Put down what became of jobs."""
    for name, kind in states.items():
        state = replace(JobState(), kind=kind, **more)
        write_state(job_folder(whole.workspace, name), state)


def kinds(states: Mapping[str, JobState], names: Sequence[str]) -> list[str]:
    """What is said of each."""
    return [states[name].kind for name in names]
