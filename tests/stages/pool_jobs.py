"""Jobs that take no torch, done in place of real ones by the processes of a pool."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ticketctl.stages.job_run import Outcome, Site, Stops
from ticketctl.stages.job_state import JobState


class OddError(Exception):
    """One that cannot be put together again from what it is made of."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


def work(site: Site, name: str, resolve: Any) -> Outcome:
    """What the beginning of its name says: `ask`, `die`, `fail`, `odd`, `wait` until it is asked to stop, or `deaf`."""
    del resolve
    what, _, mark = name.partition(" ")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "fail":
        raise ValueError(name)
    if what == "odd":
        raise OddError(name, "and more")
    if what == "deaf":
        with suppress(ValueError):  # of a thread nobody asks for signals
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(site.workspace, mark).write_text(str(os.getpid()))
        time.sleep(100)
    if what == "wait":
        with Stops(site) as stops:
            Path(site.workspace, mark).write_text(str(os.getpid()))
            while stops() is None:
                time.sleep(0.01)
            Path(site.workspace, f"{mark} stopped").touch()
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    told = " ".join(os.environ[name] for name in names)
    ignores = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return Outcome(
        name, JobState("done", title=site.device, host=told, attempts=os.getpid(), notes=(str(ignores),))
    )


DRIVER = """
import sys, time
from pathlib import Path
from tests.stages.pool_jobs import work
from ticketctl.stages import pools, workers
from ticketctl.stages.job_run import Site

def main():
    workers.do = work
    slots = pools.slots_of(["cpu"], 2, 2, streams=sys.argv[2] == "lanes")
    pool = pools.LocalPool(slots, Site("", sys.argv[1]), str)
    pool.begin("wait busy")
    idle = pool.begin("ask").result()
    pool.ended("ask")
    Path(sys.argv[1], "idle").write_text(str(idle.state.attempts))
    time.sleep(100)

if __name__ == "__main__":
    main()
"""
"""A process with a pool of one process at work, and one without."""
