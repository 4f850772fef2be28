"""`sweep --engine slurm`: a plan as job arrays, through submitit; what is queued or done is not submitted again.

Nothing here imports torch: a login node does no work. submitit's files (scripts, logs, and the pickles in which it
carries a task to its node: names of the plan's jobs and where they lie, never an artifact) lie in
`<workspace>/.sweeps/<id>/slurm/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.errors import LockedError, MissingExtraError, StoppedError, UsageError
from ticketctl.stages.code_snapshot import keep_snapshot
from ticketctl.stages.job_run import Site
from ticketctl.stages.job_state import OVER
from ticketctl.stages.jobs import Plan
from ticketctl.stages.plan_files import sweep_folder
from ticketctl.stages.slurm_arrays import Array, arrays_of
from ticketctl.stages.slurm_asked import SlurmAsked
from ticketctl.stages.slurm_queue import (
    FOLDER,
    Submitted,
    has_slurm,
    need_slurm,
    queued,
    remember,
    remembered,
)
from ticketctl.stages.slurm_task import Task
from ticketctl.stages.sweep import Swept, Watcher, survey_states
from ticketctl.store.leases import take

if TYPE_CHECKING:
    from submitit import SlurmExecutor

LOG = "log"
"""submitit's folder, in that of the sweep's Slurm files."""
EVERY = 10.0
"""Seconds between two looks while one waits."""


@dataclass(frozen=True)
class Order:
    """What is wanted of Slurm, and for what."""

    plan: Plan
    site: Site
    """`device` is not looked at: what the nodes have stands in `asked`."""
    asked: SlurmAsked
    resolve: Callable[[str], Any]
    """Finds the device of a name, on the node."""

    @property
    def folder(self) -> Path:
        """Of the sweep's Slurm files."""
        return sweep_folder(self.plan) / FOLDER

    def name(self, array: Array) -> str:
        """As Slurm shows it."""
        return f"ticketctl-{self.plan.id[:6]}-{array.depth}"


@dataclass(frozen=True)
class Sent:
    """What was submitted now, and what was found."""

    arrays: tuple[Submitted, ...] = ()
    queued: Mapping[str, str] = field(default_factory=dict)
    """State of each task that was in the queue before, by its id."""
    elsewhere: int = 0
    """Jobs that somebody was at who is not in the queue: another engine, or a task that was killed a minute ago."""


def need_submitit() -> None:
    """Slurm needs the extra `cluster`.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("submitit") is None:
        raise MissingExtraError("--engine slurm needs submitit: pip install 'ticketctl[cluster]'")


def scripts(order: Order) -> Iterator[tuple[Array, str]]:
    """The script of each array that `submit` would submit: submitit's own text, but for the ids that Slurm gives.

    Raises:
        MissingExtraError: submitit is not installed.
        UnavailableError: there is a Slurm here, and it does not answer.
    """
    need_submitit()
    arrays, _ = _arrays(order, remembered(order.folder))
    for number, array in enumerate(arrays):
        before = [
            f"ARRAY{at + 1}" for at, one in enumerate(arrays[:number]) if not array.needs.isdisjoint(one.jobs)
        ]
        executor = _executor(order, array, before, dry=True)
        if len(array.tasks) > 1:
            executor.parameters["map_count"] = len(array.tasks)
        yield array, executor._make_submission_file_text(executor._submitit_command_str, "dry")


def submit(order: Order) -> Sent:
    """Submit what is neither over nor queued nor under way.

    Raises:
        MissingExtraError: submitit is not installed.
        UnavailableError: no Slurm here, or it does not answer.
        UsageError: it refuses what is asked.
        LockedError: somebody submits the same plan at this moment.
    """
    need_submitit()
    need_slurm()
    with _alone(order.folder):
        began = keep_snapshot(order.folder.parent)
        known = remembered(order.folder)
        arrays, alive = _arrays(order, known)
        sent: list[Submitted] = []
        for array in arrays:
            holding = [one for one in known if not alive.keys().isdisjoint(one.tasks)]
            before = dict.fromkeys(one.array for one in [*holding, *sent] if one.holds(array.needs))
            sent.append(_submitted(order, array, tuple(before), began))
            remember(order.folder, sent[-1])
        return Sent(tuple(sent), alive, _elsewhere(order.plan, known, alive))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lease = take(folder / "submit", lambda: None)
    if lease is None:
        raise LockedError(f"{folder}: this plan is being submitted at this moment by another command")
    with lease:
        yield


def _arrays(order: Order, known: Sequence[Submitted]) -> tuple[list[Array], Mapping[str, str]]:
    """What there is to submit, and what is in the queue."""
    alive = queued(known) if has_slurm() else {}
    busy = _busy(known, alive)
    swept = survey_states(order.plan)
    wanted = {job.id for job in swept.left if job.id not in busy and swept.kind(job.id) != "running"}
    return arrays_of(order.plan, wanted, order.asked.per_task), alive


def _busy(known: Sequence[Submitted], alive: Mapping[str, str]) -> dict[str, str]:
    """State in the queue of each job that is there."""
    return {
        job: alive[task] for one in known for task, jobs in one.tasks.items() if task in alive for job in jobs
    }


def _elsewhere(plan: Plan, known: Sequence[Submitted], alive: Mapping[str, str]) -> int:
    swept, busy = survey_states(plan), _busy(known, alive)
    return sum(swept.kind(job.id) == "running" and job.id not in busy for job in plan.jobs)


def queue_of(plan: Plan) -> dict[str, str]:
    """For each job of the plan that is in the queue what Slurm says of it: PENDING, RUNNING; empty without Slurm.

    Raises:
        UnavailableError: there is a Slurm, and it does not answer.
    """
    known = remembered(sweep_folder(plan) / FOLDER)
    return _busy(known, queued(known)) if known and has_slurm() else {}


def _submitted(order: Order, array: Array, before: Sequence[str], began: Mapping[str, Any]) -> Submitted:
    from submitit.core.utils import FailedJobError

    executor = _executor(order, array, before)
    asked = order.asked
    tasks = [
        Task(
            order.site,
            jobs,
            order.resolve,
            str(Path.cwd()),
            asked.gpus,
            asked.cpus,
            asked.per_gpu,
            began,
            asked.streams,
        )
        for jobs in array.tasks
    ]
    try:
        with executor.batch():
            found = [executor.submit(task) for task in tasks]
    except (FailedJobError, OSError) as error:
        said = " ".join(str(error).split())
        more = "; --device cpu asks for no GPU" if asked.gpus else ""
        raise UsageError(f"sbatch refuses array {order.name(array)}: {said}{more}") from None
    pairs = zip(found, array.tasks, strict=True)
    return Submitted(order.name(array), {str(one.job_id): jobs for one, jobs in pairs}, tuple(before))


def _executor(order: Order, array: Array, before: Collection[str], *, dry: bool = False) -> SlurmExecutor:
    from submitit import SlurmExecutor

    class Anywhere(SlurmExecutor):
        """Needs no Slurm, as long as nothing is submitted."""

        @classmethod
        def affinity(cls) -> int:
            return 1

    # what was queued again by the time's end is counted by submitit too, wrongly for times below 10 minutes
    kind = Anywhere if dry else SlurmExecutor
    executor = kind(folder=order.folder / LOG, max_num_timeout=10**6)
    dependency = f"afterany:{':'.join(before)}" if before else None
    executor.update_parameters(**order.asked.parameters(order.name(array), dependency))
    return executor


def told(sent: Sent) -> list[str]:
    """A line for each array, and one for all."""
    lines = []
    for one in sent.arrays:
        jobs = sum(map(len, one.tasks.values()))
        after = f", after {', '.join(one.after)}" if one.after else ""
        lines.append(f"array {one.array}: {_many(len(one.tasks), 'task')}, {_many(jobs, 'job')}{after}")
    there = [f"{_many(len(sent.queued), 'task')} in the queue before"] if sent.queued else []
    there += [f"{_many(sent.elsewhere, 'job')} under way elsewhere"] if sent.elsewhere else []
    if not lines:
        return [f"nothing to submit: {'; '.join(there) or 'nothing is left to do'}"]
    return [*lines, "; ".join([f"submitted {_many(len(lines), 'array')}", *there])]


def sent_record(sent: Sent) -> dict[str, Any]:
    """As JSON."""
    arrays = [
        {
            "id": one.array,
            "after": list(one.after),
            "tasks": {name: list(jobs) for name, jobs in one.tasks.items()},
        }
        for one in sent.arrays
    ]
    return {"arrays": arrays, "queued": dict(sent.queued), "elsewhere": sent.elsewhere}


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def follow(
    order: Order, sent: Sent, watcher: Watcher, stop: Callable[[], int | None], every: float = EVERY
) -> Swept:
    """Watch until nothing of the plan is queued or running.

    Args:
        order: as it was submitted.
        sent: what came of that.
        watcher: sees what becomes of the jobs.
        stop: the exit code to leave with, if somebody asked; the cluster goes on by itself.
        every: seconds between two looks.

    Raises:
        StoppedError: somebody asked.
        UnavailableError: Slurm does not answer.
    """
    known = remembered(order.folder)
    swept = survey_states(order.plan)
    while True:
        alive = queued(known)
        swept = _seen(swept, survey_states(order.plan), watcher)
        watcher.tick(swept)
        if not alive:
            return swept
        until = time.monotonic() + every
        while time.monotonic() < until:
            if (code := stop()) is not None:
                raise StoppedError("left; the cluster goes on: ticketctl status tells how far it is", code)
            time.sleep(min(0.2, every))


def _seen(before: Swept, now: Swept, watcher: Watcher) -> Swept:
    """Tell of what changed; when a job began is kept."""
    for job in now.plan.jobs:
        was, state = before.states[job.id], now.states[job.id]
        if state.kind == "running":
            if was.kind != "running" or job.id not in before.under_way:
                watcher.begun(job)
            now.under_way[job.id] = before.under_way.get(job.id, time.monotonic())
        elif state.kind in OVER and was.kind not in OVER:
            now.done_now += 1
            watcher.ended(job, state)
    now.began, now.done_now = before.began, now.done_now + before.done_now
    return now
