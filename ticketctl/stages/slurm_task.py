"""What a task of an array does on its node: some jobs of a plan, by the driver and the pool that serve one machine.

A signal from Slurm, ahead of the end of its time or of a preemption, stops the jobs at their next step with their
checkpoints, and has the task queued again. Nothing depends on the signal: checkpoints follow the clock as well, and a
task that is begun again, on whatever node, goes on from the last. No torch: that is for the pool's processes.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ticketctl.errors import StoppedError
from ticketctl.stages.code_snapshot import differences
from ticketctl.stages.job_run import STOPPED, Outcome, Site, plan_in
from ticketctl.stages.job_state import WHOLE, JobState, clock, job_folder, state_of
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.pools import LocalPool, Slot, slots_of
from ticketctl.stages.slurm_queue import own_id, queue_again
from ticketctl.stages.sweep import Swept, sweep
from ticketctl.store.leases import GONE

SEEN = 75.0
"""Seconds after which what another node wrote is seen here: network file systems remember names for up to a minute."""
IDLE = 2 * GONE
"""Seconds that a task waits while others are at all of its jobs."""
BRIEF = 20.0
"""Seconds that a process may take to find that another is at a job."""
LOGGER = "ticketctl.task"
LOOK = 3.0
"""Seconds between two looks at what a task waits for."""


class Heard:
    """Signals of Slurm, which reach this process and all that it began.

    USR2 is `--signal` of the script; TERM comes with preemption, cancelling and the end of the time.
    """

    def __init__(self) -> None:
        self.name = ""
        """Of the first that came."""
        self.left = False
        """Whether it left something undone."""

    def __enter__(self) -> Heard:
        self._before = {
            one: signal.signal(one, self._note) for one in (signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number != signal.SIGCONT:  # which comes along with SIGTERM, and means nothing
            self.name = self.name or signal.Signals(number).name


class TaskPool(LocalPool):
    """Processes that do not hear Slurm's USR2: its default is to end them. They are told by the stop file and TERM."""

    def begin(self, job: str) -> Future[Outcome]:
        """As the pool of a machine."""
        with _deaf():
            return super().begin(job)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are begun here are born with USR2 blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class Log:
    """Writes what becomes of the jobs to the task's log, and sees when there is nothing to do but to wait."""

    busy: float = field(default_factory=time.monotonic)
    """When something was under way last."""

    @property
    def idle(self) -> bool:
        """Whether others have been at all that is left for long."""
        return time.monotonic() - self.busy > IDLE

    def begun(self, job: PlanJob) -> None:
        """A line."""
        say(f"begin {job.id}  {job.title}")

    def ended(self, job: PlanJob, state: JobState) -> None:
        """A line."""
        self.busy = time.monotonic()
        why = f": {state.message}" if state.message else ""
        say(f"{state.kind} {job.id}  {job.title}, {state.seconds:.0f} s in all{why}")

    def tick(self, swept: Swept) -> None:
        """A job that others are at is left within seconds."""
        now = time.monotonic()
        if any(now - since > BRIEF for since in swept.under_way.values()):
            self.busy = now


def say(text: str) -> None:
    """A line for the task's log."""
    logging.getLogger(LOGGER).info(text)


def _begin_log() -> None:
    """Lines with their time; Slurm keeps them in the task's file."""
    logger, handler = logging.getLogger(LOGGER), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s ticketctl: %(message)s", "%H:%M:%S"))
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


@dataclass(frozen=True)
class Task:
    """Some jobs of a plan; submitit carries it to the node."""

    site: Site
    """Where; paths as they were typed, for they may stand in recipes."""
    jobs: tuple[str, ...]
    resolve: Callable[[str], Any]
    folder: str
    """Where the command was typed."""
    gpus: int = 0
    cpus: int = 1
    per_gpu: int = 1
    began: Mapping[str, Any] = field(default_factory=dict)
    """The code that the sweep began with."""
    streams: bool = False
    """Whether the jobs of a GPU are lanes of one process."""

    def __call__(self) -> dict[str, str]:
        """Do them; answers with the kind of state that each is left in."""
        _begin_log()
        with Heard() as heard:
            os.chdir(self.folder)
            for text in self.notes:
                say(text)
            plan = plan_in(self.site.plan, self.site.workspace)
            say(f"task {own_id() or '-'}, begun for the {_times()}. time: {', '.join(self.jobs)}")
            todo = waited_for(plan, self.jobs, lambda: bool(heard.name))
            if todo and not heard.name:
                self._do(plan, todo, heard)
            elif heard.name:
                _leave(plan, self.jobs, heard)
            if heard.left:
                raise SystemExit(STOPPED)
            return _kinds(plan, self.jobs)

    def checkpoint(self) -> Any:
        """For submitit, where a signal comes before ours are heard: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of all that is done on this node."""
        return differences(self.began)

    def _do(self, plan: Plan, todo: Sequence[PlanJob], heard: Heard) -> None:
        """The driver over what can be done; what it needs is there, and no longer asked for."""
        part = replace(plan, jobs=tuple(replace(job, needs=()) for job in todo), places=())
        log = Log()
        with tempfile.TemporaryDirectory(prefix="ticketctl-") as folder:
            halt = Path(folder) / "stop"
            site = replace(self.site, stop=str(halt), notes=self.notes)
            pool = TaskPool(self.slots(), site, self.resolve)
            try:
                sweep(part, pool, log, lambda: STOPPED if heard.name or log.idle else None, halt.touch)
            except StoppedError:
                say(f"stopped by {heard.name or 'others who are at all that is left'}")
                _leave(plan, self.jobs, heard)
            finally:  # processes take seconds to end, and Slurm may not have them
                pool.close()

    def slots(self) -> list[Slot]:
        """On a CPU one thread each, as everywhere; beside GPUs a share of the cores."""
        if not self.gpus:
            return slots_of(["cpu"], self.cpus, self.cpus)
        names = [f"cuda:{number}" for number in range(self.gpus)]
        return slots_of(names, self.per_gpu, self.cpus, streams=self.streams)


def _leave(plan: Plan, names: Sequence[str], heard: Heard) -> None:
    """Where a signal left something undone, be queued again, if Slurm does not see to it."""
    kinds = _kinds(plan, names).values()
    heard.left = bool(heard.name) and any(kind not in (*WHOLE, "failed", "blocked") for kind in kinds)
    if heard.left:
        again = bool(own_id()) and queue_again(own_id())
        say(f"{heard.name}: {'queued again' if again else 'left to Slurm'}")


def waited_for(
    plan: Plan, names: Sequence[str], stop: Callable[[], bool], seconds: float = SEEN
) -> list[PlanJob]:
    """Those jobs whose needs are there; such needs as may have ended on another node a moment ago are waited for.

    Args:
        plan: the plan.
        names: ids of the jobs.
        stop: asks whether to give up.
        seconds: to wait for at most.
    """
    until = time.monotonic() + seconds
    while True:
        now = clock(plan.workspace)
        wanted = {need for name in names for need in plan.by_id[name].needs}
        kinds = {need: state_of(job_folder(plan.workspace, need), now).kind for need in wanted}
        open_ = [need for need, kind in kinds.items() if kind not in (*WHOLE, "failed")]
        if not open_ or stop() or time.monotonic() > until:
            break
        time.sleep(min(LOOK, seconds))
    found = []
    for job in map(plan.by_id.__getitem__, names):
        missing = [f"{need} is {kinds[need]}" for need in job.needs if kinds[need] not in WHOLE]
        if missing:
            say(f"not done: {job.id}  {job.title}: {'; '.join(missing)}")
        else:
            found.append(job)
    return found


def _kinds(plan: Plan, names: Sequence[str]) -> dict[str, str]:
    now = clock(plan.workspace)
    found: dict[str, str] = {}
    for name in names:
        kind = state_of(job_folder(plan.workspace, name), now).kind
        needs = [state_of(job_folder(plan.workspace, need), now).kind for need in plan.by_id[name].needs]
        found[name] = "blocked" if kind == "waiting" and "failed" in needs else kind
    return found


def _times() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) + 1
