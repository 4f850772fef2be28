"""The processes of a sweep on this machine: their threads, and what becomes of them when something is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tests.stages.pool_jobs import DRIVER, work
from ticketctl.stages import pools
from ticketctl.stages.job_run import Outcome, Site
from ticketctl.stages.pools import THREADS, LocalPool, Slot, slots_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPool]:
    """Of one slot with three threads; what is done in it is of `pool_jobs`."""
    monkeypatch.setattr(pools, "do", work)
    monkeypatch.setattr(pools, "HURRY", 0.5)
    found = LocalPool([Slot("cuda:7", 3)], Site("", str(tmp_path)), str)
    yield found
    found.close()


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
    assert [(slot.device, slot.threads) for slot in slots_of(devices, each, cores)] == wanted


@pytest.mark.long
def test_a_process_has_its_threads_and_goes_on_after_one_that_died(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "11")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = {name: os.environ.get(name) for name in THREADS}
    first = ended(pool, "ask").state
    assert (first.title, first.host) == ("cuda:7", "3 3 3")
    assert first.notes == ("True",)  # Ctrl-C of a terminal is the sweep's
    assert {name: os.environ.get(name) for name in THREADS} == before
    with pytest.raises(ValueError, match="fail"):
        ended(pool, "fail")
    assert ended(pool, "ask").state.attempts == first.attempts  # an error is no reason for another process
    with pytest.raises(BrokenProcessPool):
        ended(pool, "die")
    assert pool.free == 1
    second = ended(pool, "ask").state
    assert second.attempts != first.attempts
    os.kill(second.attempts, signal.SIGKILL)  # while it has nothing to do
    assert gone(second.attempts, 60)
    executor, end = pool._executors[0], time.monotonic() + 60
    while executor is not None and not executor._broken and time.monotonic() < end:
        time.sleep(0.01)
    third = ended(pool, "ask").state
    assert third.attempts not in (first.attempts, second.attempts)
    assert third.host == "3 3 3"
    assert {name: os.environ.get(name) for name in THREADS} == before


def test_what_is_under_way_is_stopped_when_the_pool_is_closed(pool: LocalPool, tmp_path: Path) -> None:
    future = pool.begin("wait busy")
    assert pool.free == 0
    pid = int(appears(tmp_path / "busy"))
    pool.close()
    assert gone(pid, 10)
    assert (tmp_path / "busy stopped").exists()
    assert future.result(10).state.kind == "done"


@pytest.mark.long
def test_what_does_not_stop_is_killed(pool: LocalPool, tmp_path: Path) -> None:
    future = pool.begin("deaf busy")
    pid = int(appears(tmp_path / "busy"))
    pool.close()
    assert gone(pid, 10)
    assert isinstance(future.exception(10), BrokenProcessPool)


@pytest.mark.long
def test_processes_end_when_the_one_that_began_them_is_gone(tmp_path: Path) -> None:
    """The one at work at its next step, the one without work at once: nothing waits for a job for ever."""
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py"), str(tmp_path)], env=environment)
    idle, busy = int(appears(tmp_path / "idle")), int(appears(tmp_path / "busy"))
    driver.kill()
    driver.wait()
    assert gone(idle, 60)
    assert gone(busy, 60)
    assert (tmp_path / "busy stopped").exists()
