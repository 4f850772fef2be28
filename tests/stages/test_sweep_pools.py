"""The processes of a sweep on this machine: their threads, and what becomes of them when something is killed.

What holds of a process that does one job at a time holds of one that does several in lanes, unless a test says so.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import pytest

from tests.stages.pool_jobs import DRIVER, work
from ticketctl.cli.devices import resolve
from ticketctl.stages import workers
from ticketctl.stages.job_run import LOOK, Outcome, Site
from ticketctl.stages.job_state import JobState
from ticketctl.stages.pools import LocalPool, Slot, slots_of
from ticketctl.stages.workers import THREADS

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"alone": [Slot("cpu", 3, 0)], "lanes": [Slot("cpu", 3, 0)] * 2}
"""Slots that share a process are lanes of it."""
KINDS_OF_TWO = {
    "two GPUs": slots_of(["cuda:0", "cuda:1"], 2, 4),
    "two GPUs, lanes": slots_of(["cuda:0", "cuda:1"], 2, 4, streams=True),
}

Begin = Callable[[str], LocalPool]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Begins a pool with three threads to a process; what is done in it is of `pool_jobs`."""
    monkeypatch.setattr(workers, "do", work)
    monkeypatch.setattr(workers, "HURRY", 0.5)
    with ExitStack() as open_:

        def begun(kind: str) -> LocalPool:
            pool = LocalPool({**KINDS, **KINDS_OF_TWO}[kind], Site("", str(tmp_path)), str)
            open_.callback(pool.close)
            return pool

        yield begun


def ended(pool: LocalPool, job: str) -> Outcome:
    try:
        return pool.begin(job).result(60)
    finally:
        pool.ended(job)


def appears(path: Path, seconds: float = 60) -> str:
    """What stands in the file, once it is there."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    return path.read_text()


def gone(pid: int, seconds: float) -> bool:
    """Whether the process is over by then; one that nobody fetched is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("devices", "each", "cores", "wanted"),
    [
        (["cpu"], 2, 2, [("cpu", 1), ("cpu", 1)]),
        (["cpu"], 1, 64, [("cpu", 1)]),  # its bits are those of any other machine
        (["cpu"], 4, 2, [("cpu", 1)] * 4),
        (["cuda:0"], 1, 16, [("cuda:0", 16)]),
        (["cuda:0", "cuda:1"], 2, 16, [("cuda:0", 4), ("cuda:0", 4), ("cuda:1", 4), ("cuda:1", 4)]),
        (["cuda:0"], 3, 2, [("cuda:0", 1)] * 3),
    ],
)
def test_each_slot_has_one_thread_on_a_cpu_and_its_share_beside_a_gpu(
    devices: list[str], each: int, cores: int, wanted: list[tuple[str, int]]
) -> None:
    found = slots_of(devices, each, cores)
    assert [(slot.device, slot.threads) for slot in found] == wanted
    assert len({slot.process for slot in found}) == len(found)


def test_streams_of_a_gpu_share_one_process_and_have_the_threads_that_processes_have() -> None:
    found = slots_of(["cuda:0", "cuda:1"], 2, 16, streams=True)
    assert found == [Slot("cuda:0", 4, 0), Slot("cuda:0", 4, 0), Slot("cuda:1", 4, 1), Slot("cuda:1", 4, 1)]


@pytest.mark.long
def test_a_job_goes_to_the_gpu_that_is_at_the_fewest(tmp_path: Path, begin: Begin) -> None:
    pool = begin("two GPUs")
    pool.begin("wait one")
    appears(tmp_path / "one")
    assert ended(pool, "ask").state.title == "cuda:1"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_has_its_threads_and_goes_on_after_one_that_died(
    begin: Begin, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = begin(kind)
    monkeypatch.setenv("OMP_NUM_THREADS", "11")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = {name: os.environ.get(name) for name in THREADS}
    first = ended(pool, "ask").state
    assert (first.title, first.host) == ("cpu", "3 3 3")
    assert first.notes == ("True",)  # Ctrl-C of a terminal is the sweep's
    assert {name: os.environ.get(name) for name in THREADS} == before
    with pytest.raises(ValueError, match="fail"):
        ended(pool, "fail")
    assert ended(pool, "ask").state.attempts == first.attempts  # an error is no reason for another process
    with pytest.raises(BrokenProcessPool):
        ended(pool, "die")
    assert pool.free == len(pool.slots)
    second = ended(pool, "ask").state
    assert second.attempts != first.attempts
    os.kill(second.attempts, signal.SIGKILL)  # while it has nothing to do
    assert gone(second.attempts, 60)
    worker, end = pool._workers[0], time.monotonic() + 60
    while not worker.broken and time.monotonic() < end:
        time.sleep(0.01)
    third = ended(pool, "ask").state
    assert third.attempts not in (first.attempts, second.attempts)
    assert third.host == "3 3 3"
    assert {name: os.environ.get(name) for name in THREADS} == before


@pytest.mark.long
def test_two_jobs_are_done_at_once_in_lanes_of_one_process_and_vanish_together(
    begin: Begin, tmp_path: Path
) -> None:
    pool = begin("lanes")
    futures = [pool.begin(f"wait {name}") for name in ("one", "other")]
    assert pool.free == 0
    pid = appears(tmp_path / "one")
    assert appears(tmp_path / "other") == pid
    os.kill(int(pid), signal.SIGKILL)
    for name, future in zip(("one", "other"), futures, strict=True):
        assert isinstance(future.exception(60), BrokenProcessPool)
        pool.ended(f"wait {name}")
    assert str(ended(pool, "ask").state.attempts) != pid


@pytest.mark.long
def test_an_error_in_one_lane_leaves_the_others_alone_even_one_that_cannot_travel(
    begin: Begin, tmp_path: Path
) -> None:
    pool = begin("lanes")
    busy = pool.begin("wait busy")
    pid = int(appears(tmp_path / "busy"))
    with pytest.raises(ValueError, match="fail"):
        ended(pool, "fail")
    with pytest.raises(RuntimeError, match="OddError: odd"):
        ended(pool, "odd")
    assert ended(pool, "ask").state.attempts == pid
    assert not busy.done()


@pytest.mark.long
def test_lanes_that_are_told_to_end_stop_their_jobs_and_another_process_goes_on(
    begin: Begin, tmp_path: Path
) -> None:
    pool = begin("lanes")
    futures = [pool.begin(f"wait {name}") for name in ("one", "other")]
    pid = int(appears(tmp_path / "one"))
    appears(tmp_path / "other")
    os.kill(pid, signal.SIGTERM)
    for name, future in zip(("one", "other"), futures, strict=True):
        assert future.result(60).state.kind == "done"
        assert (tmp_path / f"{name} stopped").exists()
        pool.ended(f"wait {name}")
        assert ended(pool, "ask").state.attempts != pid  # at once, while the process is still about to end
    assert gone(pid, 60)


class LastWords:
    """A pipe whose other end answers that it leaves, and is not closed yet."""

    def send(self, work: object) -> None: ...

    def recv(self) -> tuple[Outcome, bool]:
        return Outcome("ask", JobState("stopped")), True

    def poll(self) -> bool:
        return False

    def close(self) -> None: ...


def test_lanes_that_say_that_they_leave_take_no_more_jobs(tmp_path: Path) -> None:
    lanes = workers.Lanes(1, 1)
    with lanes._free.get():
        lanes._free.put(cast("Connection", LastWords()))
    site = Site("", str(tmp_path))
    try:
        assert lanes.begin(site, "ask", resolve).result(10).state.kind == "stopped"
        with pytest.raises(BrokenProcessPool):
            lanes.begin(site, "ask", resolve)
    finally:
        lanes.close()


@pytest.mark.long
def test_lanes_that_are_told_to_end_have_the_time_that_their_last_job_takes(
    begin: Begin, tmp_path: Path
) -> None:
    pool = begin("lanes")
    busy = pool.begin("deaf busy")
    pid = int(appears(tmp_path / "busy"))
    os.kill(pid, signal.SIGTERM)
    time.sleep(3 * LOOK)  # the other lane has closed its pipe
    assert ended(pool, "ask").state.attempts != pid
    assert not busy.done()
    assert not gone(pid, 0.5)


@pytest.mark.long
def test_of_jobs_that_vanished_together_each_is_alone_next_and_takes_no_other_with_it(
    begin: Begin, tmp_path: Path
) -> None:
    pool = begin("lanes")
    good = pool.begin("wait good")
    first = appears(tmp_path / "good")
    for _ in range(2):
        assert isinstance(pool.begin("die").exception(60), BrokenProcessPool)
        pool.ended("die")
        if (tmp_path / "good").read_text() == first:
            assert isinstance(good.exception(60), BrokenProcessPool)
            pool.ended("wait good")
            (tmp_path / "good").unlink()
            good = pool.begin("wait good")
            assert appears(tmp_path / "good") != first
    assert not good.done()
    own = int((tmp_path / "good").read_text())
    os.kill(own, signal.SIGTERM)
    assert good.result(60).state.kind == "done"
    pool.ended("wait good")
    assert gone(own, 10)  # it was for this job alone


@pytest.mark.parametrize("kind", ["alone", pytest.param("lanes", marks=pytest.mark.long)])
def test_what_is_under_way_is_stopped_when_the_pool_is_closed(
    begin: Begin, kind: str, tmp_path: Path
) -> None:
    pool = begin(kind)
    future = pool.begin("wait busy")
    assert pool.free == len(pool.slots) - 1
    pid = int(appears(tmp_path / "busy"))
    if kind == "lanes":
        workers.HURRY = 5.0  # its threads hear of it in turns
    pool.close()
    assert gone(pid, 10)
    assert (tmp_path / "busy stopped").exists()
    assert future.result(10).state.kind == "done"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_stop_is_killed(begin: Begin, kind: str, tmp_path: Path) -> None:
    pool = begin(kind)
    future = pool.begin("deaf busy")
    pid = int(appears(tmp_path / "busy"))
    pool.close()
    assert gone(pid, 10)
    assert isinstance(future.exception(10), BrokenProcessPool)


@pytest.mark.long
def test_a_process_that_dies_as_it_is_looked_at_leaves_nothing_to_tell(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    pool = begin("alone")
    pid, worker = ended(pool, "ask").state.attempts, pool._workers[0]
    manager = worker._executor._executor_manager_thread
    end = manager.terminate_broken

    def looked_at_and_ended(cause: object) -> None:  # the process is gone, and nobody was told yet
        assert not worker.broken
        end(cause)

    monkeypatch.setattr(manager, "terminate_broken", looked_at_and_ended)
    os.kill(pid, signal.SIGKILL)
    manager.join(60)
    assert not manager.is_alive()
    assert told == []
    assert ended(pool, "ask").state.attempts != pid


@pytest.mark.long
def test_lanes_of_several_gpus_are_closed_in_the_time_of_one(begin: Begin, tmp_path: Path) -> None:
    pool = begin("two GPUs, lanes")
    pool.begin("wait one")
    pids = {int(appears(tmp_path / "one")), ended(pool, "ask").state.attempts}
    workers.HURRY = 4.0  # one after the other they would take twice that
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 1.5 * workers.HURRY
    assert all(gone(pid, 10) for pid in pids)


def test_lanes_that_are_closed_leave_no_descriptors_behind(tmp_path: Path) -> None:
    def left(number: int) -> int:
        for _ in range(number):
            lanes = workers.Lanes(2, 1)
            vanished = lanes.begin(Site("", str(tmp_path)), "ask", resolve)
            lanes.processes[0].kill()
            with pytest.raises(BrokenProcessPool):
                vanished.result(10)
            lanes.close()
        return len(os.listdir("/proc/self/fd"))

    gc.disable()
    try:
        assert left(1) == left(3)
    finally:
        gc.enable()


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_leaves_a_pool_open_ends_all_the_same(kind: str, tmp_path: Path) -> None:
    """As it does where a second Ctrl-C comes while the pool is being closed."""
    (tmp_path / "driver.py").write_text(DRIVER.replace('pool.begin("wait busy")', "").replace("(100)", "(0)"))
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert driver.wait(100) == 0
    finally:
        driver.kill()
    assert gone(int(appears(tmp_path / "idle")), 10)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_processes_end_when_the_one_that_began_them_is_gone(kind: str, tmp_path: Path) -> None:
    """The one at work at its next step, the one without work at once: nothing waits for a job for ever."""
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), kind], env=environment
    )
    idle, busy = int(appears(tmp_path / "idle")), int(appears(tmp_path / "busy"))
    assert (idle == busy) == (kind == "lanes")
    driver.kill()
    driver.wait()
    assert gone(idle, 60)
    assert gone(busy, 60)
    assert (tmp_path / "busy stopped").exists()
