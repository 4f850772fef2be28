"""The processes of a pool: one job at a time in each, or several in lanes. Nothing here imports torch.

A process settles its threads before it imports torch. One whose parent is gone stops what it is at, and ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from ticketctl.stages.job_run import LOOK, ORPHAN, STOPPED, Outcome, Site, at_work, do

if TYPE_CHECKING:
    import torch

    from ticketctl.stages.job_run import Resolve

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries below torch go by."""
HURRY = 5.0
"""Seconds that a process has to stop when its sweep is left; what it did since its last checkpoint is lost then."""


class Worker(Protocol):
    """A process of a pool."""

    @property
    def processes(self) -> Sequence[BaseProcess]:
        """It, once it is there."""

    @property
    def broken(self) -> bool:
        """Whether it vanished, or leaves, so that another has to take its place."""

    def begin(self, site: Site, job: str, resolve: Resolve) -> Future[Outcome]:
        """Begin a job.

        Raises:
            BrokenProcessPool: it vanished while it had nothing to do.
        """

    def close(self) -> None:
        """Let it end, once it has nothing to do. It is closed once."""


class Alone:
    """A process that does one job at a time."""

    def __init__(self, threads: int) -> None:
        self._executor = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_settle, initargs=(threads, os.getpid())
        )

    @property
    def processes(self) -> Sequence[BaseProcess]:
        """As the protocol says."""
        return list((self._executor._processes or {}).values())

    @property
    def broken(self) -> bool:
        """As the protocol says."""
        with suppress(
            RuntimeError
        ):  # BrokenProcessPool is one, and so is what an executor says that was shut down
            # not cancelled: should the process die now, Python 3.11 stumbles over what was, and tells of it
            self._executor.submit(os.getpid)
            return False
        return True

    def begin(self, site: Site, job: str, resolve: Resolve) -> Future[Outcome]:
        """As the protocol says."""
        return self._executor.submit(do, site, job, resolve)

    def close(self) -> None:
        """As the protocol says."""
        self._executor.shutdown(cancel_futures=True)


class Lanes:
    """A process that does several jobs at a time, each in a thread, and on a GPU on a stream of its own.

    Kernels of one process can run side by side on a GPU, those of several take turns. What kills the process takes all
    of its jobs along; they go on from their checkpoints.
    """

    def __init__(self, number: int, threads: int) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(number)]
        others = [theirs for _, theirs in pipes]
        # a daemon, which is told to end when this process does, should nobody have closed it
        self._process = context.Process(
            target=_serve, args=(others, threads, os.getpid()), name="lanes", daemon=True
        )
        self._process.start()
        self._lost = False
        self._free: SimpleQueue[Connection] = SimpleQueue()
        for ours, theirs in pipes:
            theirs.close()  # so that reading ends where the process does
            self._free.put(ours)
        self._waiters = ThreadPoolExecutor(number, "lane")

    @property
    def processes(self) -> Sequence[BaseProcess]:
        """As the protocol says."""
        return [self._process]

    @property
    def broken(self) -> bool:
        """As the protocol says; it may still be at jobs then."""
        return self._lost or not self._process.is_alive()

    def begin(self, site: Site, job: str, resolve: Resolve) -> Future[Outcome]:
        """As the protocol says."""
        pipe = self._free.get_nowait()
        if pipe.poll():  # nothing was asked: its other end is closed, for the process leaves
            self._lost = True
        if self.broken:
            self._free.put(pipe)
            raise BrokenProcessPool("the process vanished while it had nothing to do")
        return self._waiters.submit(self._ask, pipe, (do, site, job, resolve))

    def _ask(self, pipe: Connection, work: tuple[Any, ...]) -> Outcome:
        try:
            pipe.send(work)
            answer, leaving = pipe.recv()
        except (EOFError, OSError) as error:
            self._lost = True
            raise BrokenProcessPool("the process vanished at its jobs") from error
        finally:
            self._free.put(pipe)
        if leaving:  # somebody told it to end
            self._lost = True
        if isinstance(answer, Exception):
            raise answer
        found: Outcome = answer
        return found

    def close(self) -> None:
        """As the protocol says; what it is at all the same is stopped."""
        end([self._process])
        self._process.join()
        self._waiters.shutdown()  # nobody waits any more: the other ends of the pipes are closed
        while not self._free.empty():
            self._free.get().close()
        self._process.close()  # its descriptors too


def end(processes: Sequence[BaseProcess]) -> None:
    """Have them stop at their next step; those that do not are killed."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + HURRY
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        process.kill()


@contextmanager
def threads_of(number: int) -> Iterator[None]:
    """An environment for processes of so many threads."""
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


# ---------------------------------------------------------------------------------------------- inside of a process


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


def _serve(pipes: Sequence[Connection], threads: int, parent: int) -> None:
    """Serve every pipe from a thread of its own, until the process is told to end."""
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    _settle(threads, parent)
    os.environ.setdefault(
        "CUDA_DEVICE_MAX_CONNECTIONS", "32"
    )  # of 8, as it is else, some streams wait for others
    with suppress(ImportError):  # each job says what is missing
        # torch too, by one thread: several could meet half of a module
        import_module("ticketctl.stages.carry")
    streams = _Streams(len(pipes))
    lanes = [
        threading.Thread(target=_lane, args=(pipe, number, streams, leaving), name=f"lane {number}")
        for number, pipe in enumerate(pipes)
    ]
    for lane in lanes:
        lane.start()
    while any(lane.is_alive() for lane in lanes):
        if leaving.wait(LOOK):
            for stops in at_work():  # again and again: a job may just have begun
                stops.ask()
            time.sleep(LOOK / 10)


def _lane(pipe: Connection, number: int, streams: _Streams, leaving: threading.Event) -> None:
    with pipe, suppress(EOFError, OSError):  # the parent is gone
        while not leaving.is_set():
            if pipe.poll(LOOK):
                answer = _answer(pipe.recv(), number, streams)
                pipe.send((answer, leaving.is_set()))


def _answer(work: tuple[Any, ...], number: int, streams: _Streams) -> Outcome | Exception:
    run, site, job, resolve = work
    try:
        outcome: Outcome = run(site, job, partial(streams.resolved, number, resolve))
    except Exception as error:  # raised again by whoever waits; the other lanes go on
        return _fit_to_travel(error)
    return outcome


def _fit_to_travel(error: Exception) -> Exception:
    """The error, or what it says, if it could not be put together again on the other side."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # whatever its class makes of it
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _Streams:
    """A stream of the GPU for each lane. All are made at once: torch hands out 32 of them in turns, and then again."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._made: list[Any] = []
        self._lock = threading.Lock()

    def resolved(self, lane: int, resolve: Resolve, name: str) -> torch.device:
        """The device of a name; on a GPU the thread that asks is on its lane's stream from then on.

        It is the job that asks, so that what goes wrong here is in its outcome.
        """
        device = resolve(name)
        if device.type == "cuda":
            import torch

            with self._lock:
                self._made = self._made or [torch.cuda.Stream(device) for _ in range(self._number)]
            torch.cuda.set_stream(self._made[lane])
        return device
