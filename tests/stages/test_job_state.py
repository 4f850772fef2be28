"""What small files say of a job: of one that was killed, of artifacts that were taken away, of damaged files."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticketctl.errors import (
    DivergedError,
    LockedError,
    MismatchError,
    OfflineError,
    ResourceError,
    StoppedError,
    UsageError,
)
from ticketctl.stages.job_state import (
    KINDS,
    JobState,
    clock,
    failure,
    job_folder,
    said,
    state_of,
    write_state,
)
from ticketctl.store.leases import take

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(0, 1e12)
STATES = st.builds(
    JobState, st.sampled_from(KINDS), WORDS, WORDS, WORDS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS,
    st.integers(0, 99), WORDS, WORDS, st.lists(WORDS, max_size=3).map(tuple), st.lists(WORDS, max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=STATES)
def test_a_state_is_the_same_after_its_file(state: JobState, tmp_path: Path) -> None:
    write_state(tmp_path, state)
    assert said(tmp_path) == state


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b'{"kind":"never"}', b'{"kind":7}', b'{"kind":"done","epochs":"x"}',
        b'{"kind":"done","runs":7}', b'{"kind":"done","seconds":null}', b"\xff", b"[" * 100_000, b'{"kind":NaN}',
    ],
)  # fmt: skip
def test_a_job_whose_state_cannot_be_read_waits(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(data)
    assert said(tmp_path) == JobState()


def test_a_job_of_which_nothing_is_said_waits_and_a_later_version_may_say_more(tmp_path: Path) -> None:
    assert said(tmp_path / "none") == JobState()
    (tmp_path / "state.json").write_text(json.dumps({"kind": "done", "mood": "fine"}))
    assert said(tmp_path).kind == "done"
    os.mkfifo(tmp_path / "pipe")
    os.replace(tmp_path / "pipe", tmp_path / "state.json")
    assert said(tmp_path) == JobState()


def test_a_job_that_says_running_was_killed_unless_somebody_holds_it(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, "a")
    write_state(folder, JobState("running", done=3.0))
    assert state_of(folder, time.time()) == JobState("killed", done=3.0)
    lease = take(folder, lambda: None)
    assert lease is not None
    with lease:
        assert state_of(folder, time.time()).kind == "running"
    assert state_of(folder, time.time()).kind == "killed"


@pytest.mark.parametrize("kind", ["done", "diverged"])
def test_a_job_whose_result_was_taken_away_waits_again(kind: str, tmp_path: Path) -> None:
    folder = job_folder(tmp_path, "a")
    for name in ("one", "two"):
        (tmp_path / "net" / name).mkdir(parents=True)
    write_state(folder, replace(JobState(), kind=kind, runs=("net/one", "net/two"), seconds=4.0))
    assert state_of(folder, 0.0).kind == kind
    (tmp_path / "net" / "two").rmdir()
    again = state_of(folder, 0.0)
    assert (again.kind, again.runs, again.seconds) == ("waiting", (), 4.0)


@pytest.mark.parametrize("kind", ["waiting", "stopped", "failed"])
def test_other_states_stand_as_they_were_said(kind: str, tmp_path: Path) -> None:
    write_state(tmp_path, replace(JobState(), kind=kind, runs=("gone",)))
    assert state_of(tmp_path, 0.0).kind == kind


def test_the_clock_is_that_of_the_files_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".jobs").mkdir()
    probe = tmp_path / "probe"
    probe.touch()
    assert abs(clock(tmp_path) - probe.stat().st_mtime) < 5
    assert list((tmp_path / ".jobs").iterdir()) == []


def test_whoever_only_looks_makes_no_folder(tmp_path: Path) -> None:
    assert abs(clock(tmp_path / "none") - time.time()) < 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "cause", "line"),
    [
        (DivergedError("nan"), "diverged", "nan"),
        (OfflineError("no data"), "data", "no data"),
        (MismatchError("other"), "mismatch", "other"),
        (ResourceError("full"), "resources", "full"),
        (LockedError("held"), "locked", "held"),
        (StoppedError("stop", 75), "stopped", "stop"),
        (UsageError("no key"), "recipe", "no key"),
        (MemoryError(), "resources", ""),
        (RuntimeError("CUDA out of memory. Tried"), "resources", "a smaller batch helps"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "resources", "a smaller batch helps"),
        (
            RuntimeError("put_ does not have a deterministic implementation, but"),
            "recipe",
            "this net needs put_",
        ),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.json"), "resources", "x.json: No space left"),
        (ValueError("odd"), "bug", "ValueError: odd"),
        (KeyboardInterrupt(), "bug", "KeyboardInterrupt"),
    ],
)
def test_why_a_job_failed_is_one_word_and_a_line(error: BaseException, cause: str, line: str) -> None:
    word, text = failure(error)
    assert word == cause
    assert line in text


def test_a_state_tells_its_machine_and_nothing_else_of_it(tmp_path: Path) -> None:
    write_state(tmp_path, JobState(host=socket.gethostname()))
    assert set(json.loads((tmp_path / "state.json").read_bytes())) == {
        field.name for field in fields(JobState)
    }
