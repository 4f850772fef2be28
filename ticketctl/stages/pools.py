"""Where jobs are done side by side: processes of this machine, or a Ray cluster. Nothing here imports torch.

A slot does one job at a time. Each slot of this machine is a `ProcessPoolExecutor` of one process, so that a process
that dies takes no other with it; its threads are settled before it imports torch.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from ticketctl.stages.job_run import LOOK, ORPHAN, STOPPED, Outcome, Site, at_work, do

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries below torch go by."""
HURRY = 5.0
"""Seconds that a process has to stop when its sweep is left; what it did since its last checkpoint is lost then."""


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
    """A place for one process."""

    device: str
    threads: int


def slots_of(devices: Sequence[str], each: int, cores: int) -> list[Slot]:
    """The slots of a machine.

    Args:
        devices: `cpu`, or its GPUs by name.
        each: processes for each device.
        cores: that may be used.

    Returns:
        On a CPU one thread for each process: bits then do not depend on how many run. Beside GPUs an equal share.
    """
    count = len(devices) * each
    threads = 1 if [*devices] == ["cpu"] else max(1, cores // count)
    return [Slot(device, threads) for device in devices for _ in range(each)]


class LocalPool:
    """Processes of this machine."""

    def __init__(self, slots: Sequence[Slot], site: Site, resolve: Callable[[str], Any]) -> None:
        self.slots, self.resolve = list(slots), resolve
        self.site = replace(site, parent=os.getpid())
        self._executors: list[ProcessPoolExecutor | None] = [None] * len(self.slots)
        self._busy: dict[str, int] = {}

    @property
    def free(self) -> int:
        """Slots without a job."""
        return len(self.slots) - len(self._busy)

    def begin(self, job: str) -> Future[Outcome]:
        """In the first slot that is free."""
        number = next(at for at in range(len(self.slots)) if at not in self._busy.values())
        slot = self.slots[number]
        site = replace(self.site, device=slot.device)
        with _threads(slot.threads):  # a process that is spawned takes them along
            try:
                future = self._executor(number).submit(do, site, job, self.resolve)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self._executors[number] = None
                future = self._executor(number).submit(do, site, job, self.resolve)
        self._busy[job] = number
        return future

    def _executor(self, number: int) -> ProcessPoolExecutor:
        executor = self._executors[number]
        if executor is None:
            executor = self._executors[number] = _executor(self.slots[number])
        return executor

    def ended(self, job: str) -> None:
        """Its slot is free; a process that vanished is replaced at the next job."""
        number = self._busy.pop(job)
        executor = self._executors[number]
        if executor is not None and _is_broken(executor):
            executor.shutdown(wait=False)
            self._executors[number] = None

    def close(self) -> None:
        """Processes without a job end at once; others are told to stop at their next step, and may not take long."""
        busy = [self._executors[number] for number in self._busy.values()]
        _end([one for executor in busy if executor for one in (executor._processes or {}).values()])
        for executor in self._executors:
            if executor is not None:
                executor.shutdown(cancel_futures=True)


def _executor(slot: Slot) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_settle, initargs=(slot.threads, os.getpid())
    )


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    until = time.monotonic() + HURRY
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        process.kill()


def _is_broken(executor: ProcessPoolExecutor) -> bool:
    with suppress(
        RuntimeError
    ):  # BrokenProcessPool is one, and so is what an executor says that was shut down
        executor.submit(os.getpid).cancel()
        return False
    return True


def _settle(threads: int, parent: int) -> None:
    """First of all in a new process: its threads, and that a terminal's Ctrl-C is the sweep's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    threading.Thread(target=_orphaned, args=(parent,), daemon=True, name="parent").start()


def _orphaned(parent: int) -> None:
    """End a process whose parent is gone: it would wait for a next job for ever."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    until = time.monotonic() + ORPHAN
    while (
        at_work() and time.monotonic() < until
    ):  # what it is at hears of it too, and stops with its checkpoint
        time.sleep(LOOK)
    os._exit(STOPPED)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(number)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
