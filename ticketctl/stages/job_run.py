"""Do one job of a plan in this process, whoever asked: a pool on this machine, a node of a cluster. No torch above.

Whoever does a job holds its claim. A stop, be it SIGTERM, the sweep's stop file or a parent that is gone, ends it at
the next step with its checkpoint; it goes on from there wherever it is done next.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ticketctl.errors import LockedError, ResourceError, StoppedError
from ticketctl.progress import Silent
from ticketctl.stages.agenda import Part
from ticketctl.stages.errands import check_anew, lost
from ticketctl.stages.job_results import state_in
from ticketctl.stages.job_state import OVER, WHOLE, JobState, Kind, failure, job_folder, said, write_state
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.plan_files import read_plan
from ticketctl.store.leases import Lease, take

if TYPE_CHECKING:
    import torch

    Resolve = Callable[[str], torch.device]

LOOK = 0.5
"""Seconds between two looks for a reason to stop."""
TELL = 2.0
"""Seconds between two lines of progress in the job's state."""
ORPHAN = 90.0
"""Seconds that a process without its parent has to stop what it is at."""
STOPPED = 75


@dataclass(frozen=True)
class Site:
    """Where jobs are done; paths as text, for it travels between processes."""

    plan: str
    """File of the plan."""
    workspace: str
    device: str = "cpu"
    data_dir: str | None = None
    offline: bool = False
    stop: str = ""
    """A file that, once it is there, asks everybody to stop."""
    argv: tuple[str, ...] = ()
    """The command that the work belongs to, for provenance."""
    parent: int = 0
    """Process without which nobody wants the work; 0: none."""
    notes: tuple[str, ...] = ()
    """What is to be said of all that is done here."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt."""

    job: str
    state: JobState
    elsewhere: bool = False
    """Whether somebody else was at it, so that nothing was done."""


class Stops:
    """Every reason to stop, asked at each step."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.code: int | None = None
        self._over = threading.Event()
        self._before: dict[int, Any] = {}

    def __call__(self) -> int | None:
        """The exit code to leave with, if anybody asked."""
        return self.code

    def ask(self) -> None:
        """Ask the job to stop at its next step."""
        self.code = STOPPED

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            for number, answer in ((signal.SIGTERM, self._heard), (signal.SIGINT, signal.SIG_IGN)):
                self._before[number] = signal.signal(
                    number, answer
                )  # Ctrl-C: the sweep has it too, and decides
        _Lookout(self).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for number, answer in self._before.items():
            signal.signal(number, answer)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ask()

    def look(self) -> None:
        """Look for a reason to stop now and then, until the job is over."""
        while not self._over.wait(LOOK):
            alone = self.site.parent and os.getppid() != self.site.parent
            if alone or (self.site.stop and os.path.exists(self.site.stop)):
                self.ask()


class _Lookout(threading.Thread):
    """Looks for a reason to stop one job."""

    def __init__(self, stops: Stops) -> None:
        super().__init__(target=stops.look, daemon=True, name="stops")
        self.stops = stops


def at_work() -> list[Stops]:
    """The jobs that this process is at."""
    return [one.stops for one in threading.enumerate() if isinstance(one, _Lookout)]


class Told(Silent):
    """Progress of a job, put down now and then."""

    def __init__(self, folder: Path, state: JobState, lease: Lease) -> None:
        self.folder, self.state, self.lease = folder, state, lease
        self.last = 0.0

    # what each method is told stands in the protocol, hence no docstrings (D102)

    def phase(self, name: str, epochs: float, done: float) -> None:  # noqa: D102
        self.state = replace(self.state, title=name, epochs=float(epochs), done=float(done))
        self._write()

    def epochs(self, done: float, values: Mapping[str, float]) -> None:  # noqa: D102
        del values
        self.state = replace(self.state, done=float(done))
        self._write()

    def remark(self, text: str) -> None:  # noqa: D102
        if text not in self.state.notes:
            self.state = replace(self.state, notes=(*self.state.notes, text))

    def _write(self) -> None:
        if time.monotonic() - self.last >= TELL and self.lease.kept and self.folder.is_dir():
            self.last = time.monotonic()
            with suppress(OSError, ResourceError):  # a disk that is full may have room again
                write_state(self.folder, self.state)


def do(site: Site, name: str, resolve: Resolve) -> Outcome:
    """Do a job, or find it done; whatever goes wrong is in the outcome.

    Args:
        site: where.
        name: the job's id.
        resolve: finds the device of a name; called in the process that does the job.

    Raises:
        ResourceError: the sweep's folder is not there any more, or cannot be written.
    """
    workspace = Path(site.workspace)
    plan = plan_in(site.plan, site.workspace)
    job, folder = plan.by_id[name], job_folder(workspace, name)
    if not Path(site.plan).exists():  # known from before: nothing is begun anew under the old name
        raise ResourceError(
            f"{site.plan}: moved or removed since the sweep began; sweep again where it lies now"
        )
    with Stops(site) as stops:
        lease = take(folder, stops.ask)
        if lease is None:
            return Outcome(name, said(folder), elsewhere=True)
        with lease:
            before, found = said(folder), state_in(plan, job, time.time())
            if before.kind in WHOLE and found.kind in OVER:
                return Outcome(name, found)
            begun = _begun(before, site)
            write_state(folder, begun)
            state = _attempt(plan, job, Told(folder, begun, lease), stops, site, resolve)
            if (
                lease.kept and folder.is_dir()
            ):  # else what is said there is somebody else's, or the folder was moved
                write_state(folder, state)
        if not lease.kept:
            return Outcome(name, state, elsewhere=True)
        return Outcome(name, state, elsewhere=state.cause == "locked")


def _begun(before: JobState, site: Site) -> JobState:
    return JobState(
        "running", began=time.time(), seconds=before.seconds, attempts=before.attempts + 1,
        host=socket.gethostname(), device=site.device, notes=tuple(dict.fromkeys((*before.notes, *site.notes))),
    )  # fmt: skip


@lru_cache(maxsize=2)
def plan_in(path: str, workspace: str) -> Plan:
    """The plan, read once by a process that does many of its jobs."""
    return read_plan(Path(path), Path(workspace))


def _attempt(plan: Plan, job: PlanJob, told: Told, stops: Stops, site: Site, resolve: Resolve) -> JobState:
    began = time.monotonic()
    runs: list[Path] = []
    kind: Kind = "failed"
    cause = message = ""
    try:
        runs, faults = _carried(plan, job, told, stops, site, resolve)
        kind, message = ("diverged" if faults or _has_diverged(runs) else "done"), "; ".join(faults)
        if not runs:  # what needs it cannot be done
            kind, cause = "failed", "diverged"
    except StoppedError as error:
        kind, message = "stopped", str(error)
    except LockedError as error:
        kind, cause, message = "stopped", "locked", str(error)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # it is this job's, and others go on
        cause, message = failure(error)
        _trace(told.folder, error)
    took = time.monotonic() - began
    names = tuple(run.relative_to(plan.workspace).as_posix() for run in runs)
    return replace(
        told.state, kind=kind, cause=cause, message=message, runs=names,
        ended=time.time(), seconds=told.state.seconds + took,
    )  # fmt: skip


def _trace(folder: Path, error: BaseException) -> None:
    """Where a failure came from, for whoever looks into it."""
    import traceback

    with suppress(OSError):
        (folder / "trace.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


def _carried(
    plan: Plan, job: PlanJob, told: Told, stops: Stops, site: Site, resolve: Resolve
) -> tuple[list[Path], list[str]]:
    """Folders of what came of it, and why something diverged."""
    from ticketctl.data.load import default_cache
    from ticketctl.stages.carry import carry_out
    from ticketctl.stages.setting import Surroundings

    data = Path(site.data_dir) if site.data_dir else None
    around = Surroundings(
        resolve(site.device), default_cache(), told, stops, data, site.offline, site.argv or tuple(sys.argv[1:]),
        plan.workspace,
    )  # fmt: skip
    carried = carry_out(job.part(plan.workspace), 1, around, job.title)
    if job.kind == "draw":
        ticket = job.draw.folder / "ticket"
        if ticket.is_dir() and (gone := lost(plan.delivered.get(job.id, ()))):
            check_anew(job.draw, gone, plan.workspace)
            carry_out(Part(plan.workspace, (job.draw,), tuple(gone)), len(gone), around, job.title)
        return ([ticket] if ticket.is_dir() else []), carried.faults
    nothing = carried.faults and job.reading is None  # what is left of a net that diverged is still measured
    return ([] if nothing else list(carried.runs)[-1:]), carried.faults


def _has_diverged(runs: Iterable[Path]) -> bool:
    from ticketctl.artifacts.run import open_run

    return any((run / "run.json").is_file() and open_run(run).manifest.status == "diverged" for run in runs)
