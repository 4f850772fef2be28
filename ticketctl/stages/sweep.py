"""Carry out a plan: every job once those that it needs are done, as many at a time as the pool has slots. No torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ticketctl.errors import ResourceError, StoppedError, TicketctlError
from ticketctl.stages.finished import drawn
from ticketctl.stages.job_results import state_in
from ticketctl.stages.job_run import Outcome
from ticketctl.stages.job_state import (
    JOBS,
    OVER,
    WHOLE,
    JobState,
    clock,
    failure,
    job_folder,
    said,
    write_state,
)
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.pools import Pool

TICK = 0.5
"""Seconds between two looks around while nothing ends."""
AGAIN = 3.0
"""Seconds until a job is tried again that somebody else was at."""
ENOUGH = 3
"""Times that a process may vanish at a job."""
PATIENCE = 90.0
"""Seconds that those who are at work have to stop: a step, and a checkpoint."""


class Watcher(Protocol):
    """Sees what becomes of the jobs."""

    def begun(self, job: PlanJob) -> None:
        """A job begins."""

    def ended(self, job: PlanJob, state: JobState) -> None:
        """A job ended, or stopped."""

    def tick(self, swept: Swept) -> None:
        """Time goes by."""


@dataclass
class Swept:
    """What is known of every job."""

    plan: Plan
    states: dict[str, JobState] = field(default_factory=dict)
    under_way: dict[str, float] = field(default_factory=dict)
    """Jobs that the pool is at, and since when (`time.monotonic`)."""
    later: dict[str, float] = field(default_factory=dict)
    """Jobs that somebody else is at, and when they are looked at again."""
    began: float = field(default_factory=time.monotonic)
    vanished: dict[str, int] = field(default_factory=dict)
    """How often a process vanished at each."""
    done_now: int = 0
    """How many were done in this sweep."""

    def kind(self, name: str) -> str:
        """As in `JobState`; a job is blocked where one that it needs failed or is blocked."""
        state = self.states.get(name, JobState())
        if state.kind not in OVER and any(
            self.kind(need) in ("failed", "blocked") for need in self.plan.by_id[name].needs
        ):
            return "blocked"
        return "running" if name in self.under_way else state.kind

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        found: dict[str, int] = {}
        for job in self.plan.jobs:
            kind = self.kind(job.id)
            found[kind] = found.get(kind, 0) + 1
        return found

    @property
    def left(self) -> list[PlanJob]:
        """Jobs that something is still to be done for."""
        return [job for job in self.plan.jobs if self.kind(job.id) not in (*OVER, "blocked")]

    @property
    def failed(self) -> list[PlanJob]:
        """Those that could not be done."""
        return [job for job in self.plan.jobs if self.kind(job.id) == "failed"]

    def ready(self, now: float) -> list[PlanJob]:
        """Jobs that can begin, the one that most depends on first."""
        weights = self._weights()
        found = [
            job for job in self.left
            if job.id not in self.under_way and self.later.get(job.id, 0.0) <= now
            and all(self.states.get(need, JobState()).kind in WHOLE for need in job.needs)
        ]  # fmt: skip
        return sorted(found, key=lambda job: -weights[job.id])

    def _weights(self) -> Mapping[str, float]:
        """Epochs of the longest chain that begins with each job."""
        found: dict[str, float] = {}
        for job in reversed(self.plan.jobs):  # what needs it comes after
            found[job.id] = job.epochs + found.get(job.id, 0.0)
            for need in job.needs:
                found[need] = max(found.get(need, 0.0), found[job.id])
        return found


def check_drawn(plan: Plan, data_dir: Path | None) -> None:
    """Refuse a plan of which draws are there on other data than those that lie in their place now.

    Raises:
        MismatchError, UnavailableError: as `drawn`.
    """
    for draw in dict.fromkeys(job.draw for job in plan.jobs):
        drawn(draw.recipe, draw.seed, draw.folder, data_dir)


def survey_states(plan: Plan) -> Swept:
    """What the files say of every job, by one look at each and at what came of it."""
    now = clock(plan.workspace)
    return Swept(plan, {job.id: state_in(plan, job, now) for job in plan.jobs})


def sweep(
    plan: Plan, pool: Pool, watcher: Watcher, stop: Callable[[], int | None], ask: Callable[[], None]
) -> Swept:
    """Do all jobs that are left; what failed before is left as it is.

    Args:
        plan: the plan.
        pool: where they are done.
        watcher: sees it.
        stop: the exit code to leave with, if somebody asked.
        ask: asks everybody who is at a job of this sweep to stop.

    Returns:
        What became of each; nothing is left that could be done.

    Raises:
        StoppedError: somebody asked, and all that was under way has stopped with its checkpoint.
    """
    swept, futures = survey_states(plan), dict[Future[Outcome], str]()
    while True:
        if (code := stop()) is not None:
            ask()
            _settle(futures, swept, pool, watcher)
            raise StoppedError("stopped; the same command goes on from here", code)
        for job in swept.ready(time.monotonic())[: pool.free]:
            swept.under_way[job.id] = time.monotonic()
            watcher.begun(job)
            futures[pool.begin(job.id)] = job.id
        if not futures and not swept.left:
            return swept
        _wait(futures, swept, pool, watcher, TICK)
        watcher.tick(swept)


def _wait(
    futures: dict[Future[Outcome], str], swept: Swept, pool: Pool, watcher: Watcher, seconds: float
) -> None:
    """Take note of what ends within so many seconds."""
    if not futures:
        time.sleep(seconds)
        return
    for future in wait(futures, seconds, FIRST_COMPLETED).done:
        name = futures.pop(future)
        pool.ended(name)
        del swept.under_way[name]
        outcome = _outcome(future, name, swept)
        swept.states[name] = outcome.state
        if outcome.elsewhere:
            swept.later[name] = time.monotonic() + AGAIN
        else:
            swept.done_now += outcome.state.kind in WHOLE
            watcher.ended(swept.plan.by_id[name], outcome.state)


def _outcome(future: Future[Outcome], name: str, swept: Swept) -> Outcome:
    """What came of it; where the process vanished, what its files say."""
    try:
        return future.result()
    except TicketctlError as error:  # it could not even begin: a full disk, a plan that was taken away
        cause, message = failure(error)
        return _failed(name, replace(swept.states[name], cause=cause, message=message), swept)
    except (
        Exception
    ):  # a process that was killed, a node that was lost: the job's own errors are in its outcome
        return _vanished(name, swept)


def _vanished(name: str, swept: Swept) -> Outcome:
    """It is begun again, unless that happened too often: then the job is taken to be the reason."""
    plan = swept.plan
    state = state_in(plan, plan.by_id[name], clock(plan.workspace))
    if state.kind in OVER:
        return Outcome(name, state)
    times = swept.vanished[name] = swept.vanished.get(name, 0) + 1
    if times <= ENOUGH:
        return Outcome(name, state, elsewhere=True)
    return _failed(name, replace(state, cause="killed", message=_VANISHED), swept)


def _failed(name: str, state: JobState, swept: Swept) -> Outcome:
    """Put down if it can be: where nothing can be written, the next sweep finds the job as it was."""
    failed, workspace = replace(state, kind="failed"), swept.plan.workspace
    with suppress(ResourceError):
        if (workspace / JOBS).is_dir():  # else it was moved: nothing is left under its old name
            write_state(job_folder(workspace, name), failed)
    return Outcome(name, failed)


_VANISHED = (
    f"its process vanished {ENOUGH + 1} times (killed from outside, or out of the machine's memory); a smaller batch "
    "or fewer workers may help, then --retry killed"
)


def _settle(futures: dict[Future[Outcome], str], swept: Swept, pool: Pool, watcher: Watcher) -> None:
    """Wait until all that is under way has stopped."""
    until = time.monotonic() + PATIENCE
    while futures and time.monotonic() < until:
        _wait(futures, swept, pool, watcher, TICK)


def forget(plan: Plan, names: Iterable[str]) -> None:
    """Let failed jobs begin anew: their attempts are kept, and what they wrote is gone on with.

    A job that was done and whose result is damaged stays as it is: it begins anew once that is removed.
    """
    for name in names:
        folder = job_folder(plan.workspace, name)
        state = said(folder)
        if state.kind not in WHOLE:
            write_state(folder, replace(state, kind="waiting", cause="", message=""))
