"""Whoever stops a push while its repository is being made, or its commit, is told what is there, and it is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from huggingface_hub import constants

from tests.artifacts import samples
from tests.hub.fakehub import FakeHub
from ticketctl.errors import HubError, StoppedError
from ticketctl.hub import making
from ticketctl.progress import Silent
from ticketctl.stages.push import Asked, Pushed, push

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PROGRAM = Path(sys.executable).with_name("ticketctl")
REPO, CREATE = "ada/first", "/api/repos/create"


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def interrupt(number: int, frame: Any) -> None:
    raise StoppedError("stopped: nothing of it is to be seen", 130)


@pytest.fixture
def hub(desk: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(making, "WAITS", (0.0, 0.05))
    before = signal.signal(signal.SIGINT, interrupt)
    yield desk
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    samples.ticket(tmp_path / "runs/toy-digits/imp-12345678/seed-0/ticket")
    return tmp_path / "runs"


def pushed(runs: Path, told: Told | None = None, **more: Any) -> Pushed:
    return push(Asked((), REPO, **more), runs, reporter=told)


def ctrl_c(seconds: float = 0.2) -> None:
    Timer(seconds, os.kill, [os.getpid(), signal.SIGINT]).start()


def stopped_at(hub: FakeHub, path: str, seconds: float = 1.0) -> None:
    """Ctrl-C while the answer to what was done is awaited."""
    hub.fault("slow", path, method="POST", times=1, seconds=seconds)
    hub.fault("between", path, method="POST", times=1, do=ctrl_c)


def test_a_repository_whose_making_was_stopped_is_removed(hub: FakeHub, runs: Path) -> None:
    stopped_at(hub, CREATE)
    with pytest.raises(StoppedError, match="nothing of it is to be seen") as stopped:
        pushed(runs)
    assert (hub.repos, stopped.value.exit_code) == ({}, 130)
    assert hub.asked("DELETE", "/api/repos/delete")


def test_one_that_cannot_be_removed_is_told(hub: FakeHub, runs: Path) -> None:
    stopped_at(hub, CREATE)
    hub.fault("403", "/api/repos/delete")
    with pytest.raises(StoppedError, match=r"ada/first was made and could not be removed again") as stopped:
        pushed(runs)
    assert "nothing of it" not in str(stopped.value)
    assert {*hub.repos[REPO].files} == {".gitattributes"}


def test_one_that_may_yet_be_made_is_told(hub: FakeHub, runs: Path) -> None:
    def later() -> None:
        ctrl_c(0.1)
        time.sleep(0.6)

    hub.fault("between", CREATE, times=1, do=later)
    with pytest.raises(StoppedError, match="not there now; if it appears yet, it is empty"):
        pushed(runs)
    assert hub.repos == {}


def test_when_the_hub_cannot_be_asked_again_that_is_told(hub: FakeHub, runs: Path) -> None:
    stopped_at(hub, CREATE)
    hub.fault("500", "/api/models/ada/first", skip=2)
    with pytest.raises(StoppedError, match="may have been made and could not be removed"):
        pushed(runs)


def test_one_whose_answer_got_lost_is_removed(hub: FakeHub, runs: Path) -> None:
    hub.fault("drop", CREATE, after=0)
    with pytest.raises(HubError, match="broke"):
        pushed(runs)
    assert hub.repos == {}


@pytest.mark.parametrize("status", ["502", "504"])
def test_one_that_was_made_behind_a_gateway_that_gave_up_is_removed(
    hub: FakeHub, runs: Path, status: str
) -> None:
    hub.fault("between", CREATE, do=lambda: hub.create(REPO))
    hub.fault(status, CREATE)
    with pytest.raises(HubError, match=rf"trouble of its own \({status}\)"):
        pushed(runs)
    assert hub.repos == {}


def test_one_that_a_gateway_leaves_behind_is_told_whatever_can_be_known(hub: FakeHub, runs: Path) -> None:
    hub.fault("504", CREATE)
    with pytest.raises(
        HubError, match=r"\(504\).*; hf://ada/first: .*if it appears yet, it is empty: delete it"
    ):
        pushed(runs)
    hub.mend()
    hub.fault("between", CREATE, do=lambda: hub.create(REPO))
    hub.fault("504", CREATE)
    hub.fault("403", "/api/repos/delete")
    with pytest.raises(HubError, match=r"\(504\).*; hf://ada/first was made and could not be removed again"):
        pushed(runs)
    assert REPO in hub.repos


def test_one_that_somebody_else_made_meanwhile_is_left_alone(hub: FakeHub, runs: Path) -> None:
    hub.fault("between", CREATE, times=1, do=lambda: hub.create(REPO))
    with pytest.raises(HubError):
        pushed(runs)
    assert REPO in hub.repos
    assert not hub.asked("DELETE", "/api/repos/delete")


def test_one_that_was_made_while_the_user_thought_is_left_alone(hub: FakeHub, runs: Path) -> None:
    with pytest.raises(HubError, match="made by somebody meanwhile"):
        push(Asked((), REPO), runs, agree=lambda preview: bool(hub.create(REPO)))
    assert REPO in hub.repos


def test_clearing_away_that_takes_its_time_is_told(
    hub: FakeHub, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "LATE", 0.05)
    stopped_at(hub, CREATE, 0.5)
    hub.fault("slow", "/api/repos/delete", seconds=0.3)
    told = Told()
    with pytest.raises(StoppedError):
        pushed(runs, told)
    assert told.lines[-1] == "cleaning up: hf://ada/first is removed again …"
    assert hub.repos == {}


def test_a_stopped_commit_to_what_is_there_is_whole_or_told_to_be_open(hub: FakeHub, runs: Path) -> None:
    hub.put(REPO, {"README.md": b"words"})

    def later() -> None:
        ctrl_c(0.1)
        time.sleep(0.6)

    hub.fault("between", "/commit/", method="POST", times=1, do=later)
    with pytest.raises(StoppedError, match="under way and may appear"):
        pushed(runs)
    deadline = time.monotonic() + 5
    while len(hub.repos[REPO].commits) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    stopped_at(hub, "/commit/")
    samples.ticket(runs / "toy-digits/imp-12345678/seed-1/ticket", level=2)
    done = push(Asked(("toy-digits/imp-12345678/seed-1",), REPO), runs)
    assert done.commit == hub.repos[REPO].head.sha


@pytest.mark.long
def test_the_program_leaves_nothing_after_ctrl_c_in_the_making(
    hub: FakeHub, tmp_path: Path, runs: Path
) -> None:
    hub.fault("slow", CREATE, seconds=3)
    command = [str(PROGRAM), "push", "--to", REPO, "--yes"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    asked = subprocess.Popen(command, cwd=tmp_path, env=hub.env(tmp_path / "hf"), **pipes)
    until = time.monotonic() + 30
    while not hub.asked("POST", CREATE) and time.monotonic() < until:
        time.sleep(0.02)
    asked.send_signal(signal.SIGINT)
    _, err = asked.communicate(timeout=20)
    assert (asked.returncode, hub.repos) == (130, {}), err
    assert "nothing of it is to be seen" in err.splitlines()[-1]
