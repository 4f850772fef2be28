"""Claims: one holder at a time, whoever dies, sleeps, or has another's number."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ticketctl.errors import ResourceError
from ticketctl.store import leases
from ticketctl.store.leases import GONE, Lease, claim_in, held, take


def never() -> None:
    raise AssertionError("the claim was lost")


def took(folder: Path) -> Lease:
    lease = take(folder, never)
    assert lease is not None
    return lease


def now(folder: Path) -> float:
    (folder / "probe").touch()
    return (folder / "probe").stat().st_mtime


def rewritten(folder: Path, **changes: object) -> Path:
    """The claim that counts, with other words in it."""
    claim = claim_in(folder)
    assert claim is not None
    said: dict[str, Any] = json.loads(claim.path.read_bytes())
    claim.path.write_text(json.dumps({**said, **changes}))
    return claim.path


HOLD = """
import sys, time
from pathlib import Path
from ticketctl.store.leases import take
lease = take(Path(sys.argv[1]), lambda: None)
print("held" if lease else "not", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the claim of `work`."""
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "work")]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_nobody_holds_what_nobody_claimed(tmp_path: Path) -> None:
    assert claim_in(tmp_path / "work") is None
    assert not held(claim_in(tmp_path / "work"), time.time())


def test_a_claim_is_nobody_elses_until_it_is_given_up(tmp_path: Path) -> None:
    with took(tmp_path):
        assert held(claim_in(tmp_path), now(tmp_path))
        assert take(tmp_path, never) is None
    assert not held(claim_in(tmp_path), now(tmp_path))
    with took(tmp_path) as again:
        assert again.number == 2
    names = {path.name for path in tmp_path.iterdir()} - {"probe"}
    assert names == {"claim-000002.json"}


def test_the_claim_of_a_live_process_is_not_taken_and_that_of_a_dead_one_is(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert held(claim_in(work), now(tmp_path))
    assert held(
        claim_in(work), now(tmp_path) + 10 * GONE
    )  # it lives, however long it did not touch the claim
    assert take(work, never) is None
    other.send_signal(signal.SIGSTOP)  # a process that is suspended lives, too
    assert take(work, never) is None
    other.kill()
    other.wait()
    assert not held(claim_in(work), now(tmp_path))
    with took(work):
        assert held(claim_in(work), now(tmp_path))


def test_a_process_that_is_over_and_was_not_fetched_holds_nothing(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    os.kill(other.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its number is still in use
    with took(tmp_path / "work"):
        pass


def test_a_number_that_another_process_has_now_holds_nothing(tmp_path: Path) -> None:
    with took(tmp_path) as lease:
        assert lease.path == rewritten(tmp_path, pid=os.getppid())  # alive, but begun at another time
        assert not held(claim_in(tmp_path), now(tmp_path))
        lease.kept = False
    with took(tmp_path) as after:
        assert after.number == 2


@pytest.mark.parametrize(
    "elsewhere", [{"host": "another"}, {"system": "boot-2 pid:[9]"}, {"host": "x", "pid": 1}]
)
def test_another_machines_claim_is_taken_only_after_a_while_without_a_touch(
    elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    """A container of our name with process numbers of its own is another machine, too."""
    took(tmp_path)
    path = rewritten(tmp_path, **elsewhere)
    for age, free in ((0.0, False), (GONE - 5, False), (GONE + 5, True)):
        at = now(tmp_path) - age
        os.utime(path, (at, at))
        assert held(claim_in(tmp_path), now(tmp_path)) is not free
        if not free:
            assert take(tmp_path, never) is None
    with took(tmp_path) as lease:
        assert lease.number == 2


def test_our_own_words_say_who_we_are(tmp_path: Path) -> None:
    took(tmp_path)
    claim = claim_in(tmp_path)
    assert claim is not None
    assert claim.holder is not None
    assert (claim.holder.host, claim.holder.pid) == (socket.gethostname(), os.getpid())
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert claim.holder.began == ticks
    assert os.readlink("/proc/self/ns/pid") in claim.holder.system
    assert claim.holder.gone is False


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"held":true}', b'{"held":true,"host":[],"pid":"x"}', b"\xff"]
)
def test_a_claim_that_cannot_be_read_holds_nothing(data: bytes, tmp_path: Path) -> None:
    took(tmp_path).path.write_bytes(data)
    assert not held(claim_in(tmp_path), now(tmp_path))
    assert took(tmp_path).number == 2


def test_a_holder_that_slept_through_hears_that_the_work_is_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    lost = threading.Event()
    sleeper = take(tmp_path, lost.set)
    assert sleeper is not None
    rewritten(tmp_path, host="another")
    os.utime(sleeper.path, (1, 1))  # to the rest of the world it is gone
    with took(tmp_path) as heir, sleeper:
        assert lost.wait(5)
        assert not sleeper.kept
        assert claim_in(tmp_path) is not None
        assert heir.kept
    claim = claim_in(tmp_path)
    assert claim is not None
    assert claim.path == heir.path  # the sleeper gave nothing up that is not its own
    assert not sleeper.path.exists()


def test_a_holder_touches_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    with took(tmp_path) as lease:
        os.utime(lease.path, (1, 1))
        end = time.monotonic() + 5
        while lease.path.stat().st_mtime < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert lease.path.stat().st_mtime > 2


def test_whoever_was_slow_to_look_gives_way_to_a_later_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw claim 1 given up; since then claim 2 came, went, and was cleared away by claim 3."""
    with took(tmp_path):
        pass
    seen = claim_in(tmp_path)
    with took(tmp_path):
        pass
    third = took(tmp_path)
    assert third.number == 3
    answers = [seen]
    monkeypatch.setattr(leases, "claim_in", lambda folder: answers.pop() if answers else claim_in(folder))
    assert take(tmp_path, never) is None
    assert [path.name for path in tmp_path.glob("claim-*")] == ["claim-000003.json"]


def test_a_folder_that_cannot_be_written_is_the_machines_refusal(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file stands there")
    with pytest.raises(ResourceError, match="work"):
        take(tmp_path / "work", never)


RACE = """
import os, sys, time
from pathlib import Path
from ticketctl.store.leases import take
root, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
won = 0
for number in range(rounds):
    folder = root / str(number)
    (root / f"ready-{number}-{me}").touch()
    while not (root / f"ready-{number}-{'b' if me == 'a' else 'a'}").exists():
        time.sleep(0)
    lease = take(folder, lambda: os._exit(9))
    if lease is not None:
        with lease:
            holds = folder / "holds"
            handle = os.open(holds, os.O_CREAT | os.O_EXCL)  # fails if the other is in here, too
            os.close(handle)
            os.unlink(holds)
            won += 1
print(won)
"""


def test_of_two_that_race_for_a_claim_never_both_hold_it(tmp_path: Path) -> None:
    """200 rounds; the second may hold it after the first, but not beside it."""
    rounds = 200
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), name, str(rounds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    said = [racer.communicate(timeout=120) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    won = [int(out) for out, _ in said]
    assert rounds <= sum(won) <= 2 * rounds
    for number in range(rounds):
        assert (tmp_path / str(number) / "holds").exists() is False
        assert len(list((tmp_path / str(number)).glob("*claim-*"))) == 1
