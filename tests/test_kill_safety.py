"""Killed, stopped or refused by the disk at any moment, the same command goes on and ends in the same bytes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import kill_marathon
from tests.cli.conftest import ask
from tests.stages import tiny
from tests.warm import Child, Warm, marathon
from ticketctl.errors import LockedError, ResourceError, StoppedError
from ticketctl.stages.request import Typed, draw_recipe, run_folder
from ticketctl.store import files
from ticketctl.store.files import TEMPORARY
from ticketctl.store.locks import locked

# ----------------------------------------------------------------------------------------------------------- kill


@pytest.mark.long
def test_killed_at_random_moments_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    """Draws and spends; 12 kills at random moments, and around every 150th write, sync and rename of each."""
    summary = marathon("kill_marathon.py", tmp_path, "--kills", "12", "--points", "--every", "150")
    assert summary["identical"] == summary["runs"] > 10
    assert summary["kills"] - summary["at_points"] >= 12
    assert summary["at_points"] >= 3


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_a_hundred_times_and_around_every_write_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon("kill_marathon.py", tmp_path, "--kills", "100", "--points", "--seed", "1")
    assert summary["identical"] == summary["runs"]
    assert summary["kills"] - summary["at_points"] >= 100
    assert summary["at_points"] > 500
    assert summary["left_orphans"] > 100  # they hit where it hurts


def test_what_a_killed_writer_left_is_swept_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    with pytest.raises(StoppedError):
        tiny.draw(folder, stop=lambda: 75)
    orphans = [
        folder / f"{TEMPORARY}intent.json-1",
        folder / "work" / f"{TEMPORARY}x",
        folder / "a" / f"{TEMPORARY}y",
    ]
    (folder / "a").mkdir()
    for orphan in orphans:
        orphan.write_bytes(b"half")
    with pytest.raises(StoppedError):
        tiny.draw(folder, stop=lambda: 75)
    assert not any(orphan.exists() for orphan in orphans)


# -------------------------------------------------------------------------------------------------------- signals

TYPED = Typed(rounds=1, epochs=40)
"""Two trainings of about a second each."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "seed-0"
    tiny.run_draw(draw_recipe(TYPED).recipe, 0, folder, tiny.around(folder.parent / "cache"))
    return tiny.files_below(folder)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def begin(command: list[str], folder: Path) -> Child:
    """Start the program, its imports made; signals during those: tests/cli/test_cli_early_signals.py."""
    out, err = (folder.parent / f"{folder.name}-{name}.txt" for name in ("out", "err"))
    return Warm.one().begin(["ticketctl", *command], folder, os.environ, out, err)


def stopped(process: Child, number: signal.Signals) -> tuple[int, float, str]:
    """Exit code, seconds until it came, and what was said."""
    began = time.monotonic()
    process.send_signal(number)
    try:
        said = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = "still alive after 30 s: " + process.communicate()[1]
    return process.returncode, time.monotonic() - began, said


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_draw_that_is_stopped_says_so_and_the_same_command_goes_on(
    number: signal.Signals, code: int, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    command = ["draw", "--rounds", "1", "--epochs", "40"]
    work = run_folder(draw_recipe(TYPED).recipe, 0, None, tmp_path / "runs")
    process = begin(command, tmp_path)
    until(
        lambda: (work / "work" / "fits" / "000" / "record.safetensors").exists() or process.poll() is not None
    )
    left, seconds, said = stopped(process, number)
    assert left == code, said
    assert seconds < 5
    assert "Traceback" not in said
    assert "the same command goes on" in said
    assert not (work / "ticket").exists()
    again = ask(tmp_path, *command)  # without another cold start
    assert again.code == 0, again.err
    assert "ticket tk1" in again.out
    assert tiny.files_below(work) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_spend_that_is_stopped_goes_on(number: signal.Signals, code: int, tmp_path: Path) -> None:
    drawn = begin(["draw", "--rounds", "1", "--epochs", "40"], tmp_path)
    assert drawn.communicate(timeout=120)
    ticket = run_folder(draw_recipe(TYPED).recipe, 0, None, tmp_path / "runs")
    truth = begin(["spend", str(ticket), "--seed", "2"], tmp_path)
    assert truth.communicate(timeout=120)
    runs = tiny.files_below(ticket / "spends")
    for path in sorted((ticket / "spends").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    process = begin(["spend", str(ticket), "--seed", "2"], tmp_path)
    until(lambda: bool(list(ticket.glob("spends/*/*/work"))) or process.poll() is not None)
    left, seconds, said = stopped(process, number)
    assert left == code, said
    assert seconds < 5
    again = begin(["spend", str(ticket), "--seed", "2"], tmp_path)
    assert again.communicate(timeout=120)
    assert again.returncode == 0
    assert tiny.files_below(ticket / "spends") == runs


@pytest.mark.slow
def test_the_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    process = begin(["draw", "--epochs", "3000"], tmp_path)
    until(lambda: bool(list(tmp_path.rglob("fits"))) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    left, seconds, said = stopped(process, signal.SIGINT)
    assert left == 130
    assert seconds < 5
    assert "Traceback" not in said


# ------------------------------------------------------------------------------------------------------- full disk

SMALLEST = ("train.epochs=1", "train.batch=2000", "draw.rounds=1")


class FullDisk:
    """From the n-th operation on (or at it alone) the disk takes nothing more."""

    def __init__(self, at: int, once: bool, patch: pytest.MonkeyPatch) -> None:
        self.at, self.once, self.count = at, once, -1
        for name in ("replace", "link"):
            patch.setattr(os, name, self.wrapped(getattr(os, name)))
        patch.setattr(
            os, "fsync", self.wrapped(lambda handle: None)
        )  # nobody is killed here: no need to wait
        patch.setattr(files, "open", self.opened, raising=False)

    def refuse(self) -> None:
        self.count += 1
        if self.count == self.at or (self.count > self.at and not self.once):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.refuse()
            return original(*arguments, **options)

        return call

    def opened(self, path: Any, mode: str = "r", **options: Any) -> Any:
        if "w" in mode:
            self.refuse()
        return open(path, mode, **options)


def assert_a_full_disk_costs_nothing(folder: Path, points: Iterator[int]) -> int:
    """Fail at each of `points` (every second one once, every second one for good), make room, and go on."""
    truth_folder = folder / "truth" / "seed-0"
    tiny.draw(truth_folder, *SMALLEST)
    truth = tiny.files_below(truth_folder)
    refused = 0
    for at in points:
        place = folder / str(at) / "seed-0"
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(at, once=at % 2 == 0, patch=patch)
            try:
                tiny.draw(place, *SMALLEST)
            except ResourceError as error:
                refused += 1
                assert error.exit_code == 10  # noqa: PT017  # not every point refuses, so raises() does not fit
                assert "No space left on device" in str(error)  # noqa: PT017  # as above
                assert str(place) in str(error)  # noqa: PT017  # as above
            else:
                assert at % 2 == 0 or disk.count < at  # what cannot be linked is copied
            if disk.count < at:
                break
        found = tiny.files_below(place, "work")
        assert found.items() <= truth.items(), "something was half written"
        assert not list(place.rglob(f"{TEMPORARY}*"))
        patch_free_fsync = pytest.MonkeyPatch()
        patch_free_fsync.setattr(os, "fsync", lambda handle: None)
        tiny.draw(place, *SMALLEST)
        patch_free_fsync.undo()
        assert tiny.files_below(place) == truth
    return refused


@pytest.mark.long
def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path) -> None:
    assert assert_a_full_disk_costs_nothing(tmp_path, iter(range(0, 1000, 5))) > 10


@pytest.mark.slow
def test_a_full_disk_at_any_operation_costs_nothing_that_was_there(tmp_path: Path) -> None:
    assert assert_a_full_disk_costs_nothing(tmp_path / "one", iter(range(1000))) > 50


def test_a_link_that_cannot_be_renamed_never_costs_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """link works, rename does not (a full directory), and then the copy does not fit either."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"hours of training")

    class Full:
        def __init__(self, path: Path, mode: str, **how: Any) -> None:
            self.file = open(path, mode, **how)  # noqa: SIM115  # closed by __exit__

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *arguments: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "open", Full, raising=False)
    with pytest.raises(ResourceError):
        files.link_or_copy(source, target)
    assert source.read_bytes() == b"hours of training"


def test_a_lock_that_cannot_name_its_owner_is_refused_with_exit_code_10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ResourceError), locked(tmp_path / "here"):
        pass


# --------------------------------------------------------------------------------------------------- second writer


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a folder as a draw does, without torch."""
    folder = tmp_path / "seed-0"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom ticketctl.store.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process, folder
    process.kill()
    process.communicate()


def test_a_second_writer_is_refused_and_told_who_holds_the_folder(
    holder: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = holder
    for work in (lambda: tiny.draw(folder), lambda: tiny.draw(folder, "train.lr=0.1")):
        with pytest.raises(LockedError, match=f"process {process.pid} on ") as refused:
            work()
        assert refused.value.exit_code == 7
    assert not (folder / "intent.json").exists()


def test_a_folder_is_free_when_its_holder_was_killed(holder: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = holder
    process.kill()
    process.wait()
    began = time.monotonic()
    with locked(folder):
        assert time.monotonic() - began < 10
        with pytest.raises(LockedError, match=f"process {os.getpid()} on "), locked(folder):
            pass


def test_two_spends_of_one_run_do_not_meet(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder)
    [job] = tiny.prepare_spend(
        tiny.Wanted(str(folder), "1", [5], False, tmp_path, Typed(sets=("spend.dense=false",)))
    ).jobs
    with locked(job.folder), pytest.raises(LockedError):
        tiny.spend(folder, "spend.dense=false", levels="1", seeds=[5])
    [spent] = tiny.spend(folder, "spend.dense=false", levels="1", seeds=[5])
    assert spent.trained


def test_the_marathon_notices_a_difference(tmp_path: Path) -> None:
    """Its own check: an undisturbed truth that is not the truth is reported."""
    scenario = kill_marathon.Scenario(
        "write", lambda folder: (folder.mkdir(), (folder / "a").write_text("a"))
    )
    race = kill_marathon.Marathon(tmp_path, 0, (scenario,))
    race.truth["write"] = {"a": b"b"}
    race.compare(scenario, race.place("truth", 0), 0)
    assert race.tally.differences == ["write: a"]
    assert race.tally.identical == 0
