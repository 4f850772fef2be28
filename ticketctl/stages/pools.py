"""Where jobs are done side by side: processes of this machine, or a Ray cluster. Nothing here imports torch.

A slot does one job at a time. Each slot of this machine is a process, so that one that dies takes no other with it;
where it was asked for, the slots of a GPU are lanes of one process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ticketctl.errors import UsageError
from ticketctl.stages.errands import spend_recipe_of
from ticketctl.stages.job_run import Outcome, Site
from ticketctl.stages.jobs import Plan
from ticketctl.stages.workers import Alone, Lanes, Worker, end, threads_of


class Pool(Protocol):
    """A number of slots, and jobs that are under way in them."""

    @property
    def free(self) -> int:
        """How many jobs it would begin at once."""

    def begin(self, job: str) -> Future[Outcome]:
        """Begin a job; a future that raises means that its process vanished."""

    def ended(self, job: str) -> None:
        """The future of this job is done."""

    def close(self) -> None:
        """Let go of everything; what is still under way stops soon."""


@dataclass(frozen=True)
class Slot:
    """A place for one job."""

    device: str
    threads: int
    """Of its job: each thread that works for torch has helpers of its own."""
    process: int
    """Number of the process that it is in, from 0."""


def slots_of(devices: Sequence[str], each: int, cores: int, *, streams: bool = False) -> list[Slot]:
    """The slots of a machine.

    Args:
        devices: `cpu`, or its GPUs by name.
        each: slots for each device.
        cores: that may be used.
        streams: whether the slots of a device are lanes of one process, rather than processes.

    Returns:
        On a CPU one thread for each: bits then do not depend on how many run. Beside GPUs an equal share.
    """
    threads = 1 if [*devices] == ["cpu"] else max(1, cores // (len(devices) * each))
    names = [device for device in devices for _ in range(each)]
    return [Slot(name, threads, at // each if streams else at) for at, name in enumerate(names)]


@dataclass(frozen=True)
class _UnderWay:
    """A job, and where it is done."""

    number: int
    """Of its slot."""
    process: int
    """That of its slot; below 0: one for this job alone."""
    worker: Worker
    future: Future[Outcome]


def check_lanes(plan: Plan) -> None:
    """Refuse lanes of one process for jobs that want torch itself otherwise than others.

    Raises:
        UsageError: some of its trainings are deterministic, and some are not.
    """
    uses = {job.use for job in plan.jobs if job.use}
    recipes = [*(job.draw.recipe for job in plan.jobs), *map(spend_recipe_of, uses)]
    if len({recipe.train.deterministic for recipe in recipes}) > 1:
        raise UsageError(
            "--streams: train.deterministic holds for a process, and of these jobs some have it and some have not; "
            "leave --streams out"
        )


class LocalPool:
    """Processes of this machine.

    Of the jobs of a process that vanished any may be the reason. Each is done in a process of its own next, so that
    the one takes the others with it no more.
    """

    def __init__(self, slots: Sequence[Slot], site: Site, resolve: Callable[[str], Any]) -> None:
        self.slots, self.resolve = list(slots), resolve
        self.site = replace(site, parent=os.getpid())
        self._workers: dict[int, Worker] = {}
        self._busy: dict[str, _UnderWay] = {}
        self._suspects: set[str] = set()

    @property
    def free(self) -> int:
        """Slots without a job."""
        return len(self.slots) - len(self._busy)

    def begin(self, job: str) -> Future[Outcome]:
        """In a slot of the device that is at the fewest jobs."""
        number = self._next()
        slot = self.slots[number]
        if job in self._suspects:
            slot = replace(slot, process=-1 - number)
        site = replace(self.site, device=slot.device)
        with threads_of(slot.threads):  # a process that is spawned takes them along
            try:
                future = self._worker(slot).begin(site, job, self.resolve)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self._let_go(slot.process, self._workers[slot.process])
                future = self._worker(slot).begin(site, job, self.resolve)
        self._busy[job] = _UnderWay(number, slot.process, self._workers[slot.process], future)
        return future

    def _next(self) -> int:
        taken = {one.number for one in self._busy.values()}
        jobs = Counter(self.slots[number].device for number in taken)
        free = (at for at in range(len(self.slots)) if at not in taken)
        return min(free, key=lambda at: jobs[self.slots[at].device])

    def _worker(self, slot: Slot) -> Worker:
        if slot.process not in self._workers:
            lanes = sum(one.process == slot.process for one in self.slots)
            self._workers[slot.process] = Lanes(lanes, slot.threads) if lanes > 1 else Alone(slot.threads)
        return self._workers[slot.process]

    def ended(self, job: str) -> None:
        """Its slot is free; a process that vanished is replaced at the next job."""
        was = self._busy.pop(job)
        if isinstance(was.worker, Lanes) and isinstance(was.future.exception(), BrokenProcessPool):
            self._suspects.add(job)
        if was.worker.broken or was.process < 0:
            self._let_go(was.process, was.worker)

    def _let_go(self, process: int, worker: Worker) -> None:
        """Another takes the jobs that come; it is closed after those that it is at."""
        if self._workers.get(process) is worker:
            del self._workers[process]
        if all(one.worker is not worker for one in self._busy.values()):
            worker.close()

    def close(self) -> None:
        """Processes without a job end at once; others are told to stop at their next step, and may not take long."""
        busy = {one.worker for one in self._busy.values()}
        # told at once, not in turns
        several = {one for one in self._workers.values() if isinstance(one, Lanes)}
        end([process for worker in busy | several for process in worker.processes])
        for worker in busy | {*self._workers.values()}:
            worker.close()
        self._workers.clear()
        self._busy.clear()
