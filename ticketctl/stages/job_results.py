"""Whether what came of a job is still there, and whole: artifacts are the truth, and what is said of them is not.

Only manifests are read. No torch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ticketctl.artifacts.manifest import read_manifest
from ticketctl.artifacts.models import RunManifest
from ticketctl.artifacts.run import MANIFEST
from ticketctl.errors import ArtifactError
from ticketctl.stages.errands import own_run
from ticketctl.stages.job_state import WHOLE, JobState, gone, job_folder, state_of
from ticketctl.stages.jobs import Plan, PlanJob

NEWER = ("E_VERSION", "E_FEATURE")
"""Faults of what is whole, but of a newer version."""


def state_in(plan: Plan, job: PlanJob, now: float) -> JobState:
    """As `state_of`; of a job that was done, waiting where a result is gone, and failed where one is damaged.

    Args:
        plan: which says what is wanted of a draw: a level that no place wants is nobody's loss.
        job: one of its jobs.
        now: by the clock of the workspace's machine (`clock`).
    """
    state = state_of(job_folder(plan.workspace, job.id), now)
    if state.kind not in WHOLE:
        return state
    try:
        found = [_is_whole(run) for run in _results(plan, job, state)]
    except ArtifactError as error:
        way = "" if error.code in NEWER else "; remove it, and the same command trains it anew"
        return replace(state, kind="failed", cause="artifact", message=f"{error.said}{way}")
    return state if all(found) else gone(state)


def _results(plan: Plan, job: PlanJob, state: JobState) -> list[Path]:
    """The runs that others look for."""
    if job.kind == "draw":
        return [own_run(use) for use in plan.delivered.get(job.id, ())]
    return [plan.workspace / run for run in state.runs[-1:] if job.kind == "spend"]


def _is_whole(folder: Path) -> bool:
    """Whether there is a run.

    Raises:
        ArtifactError: its manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        found = path.stat()
    except OSError:
        return False
    _judge(path, found.st_mtime_ns, found.st_size)
    return True


@lru_cache(maxsize=1 << 16)
def _judge(path: Path, *_: int) -> None:
    """Each version of a file once: whoever waits for a sweep looks again and again."""
    read_manifest(path, RunManifest)
