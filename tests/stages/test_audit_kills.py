"""Killed, stopped or refused by the disk at any moment, an audit goes on and ends in the same bytes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from tests.test_kill_safety import FullDisk
from tests.warm import marathon
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import open_run
from ticketctl.errors import LockedError, ResourceError, StoppedError
from ticketctl.seeds import Seeds
from ticketctl.stages.audit import Audit, audit
from ticketctl.stages.examined import wanted
from ticketctl.stages.shown import shown
from ticketctl.stages.subject import subject_of
from ticketctl.store import files
from ticketctl.store.files import TEMPORARY
from ticketctl.store.locks import locked

WORK = "audit-work"
SETS = ("audit.images=60", "audit.ood=['noise']", "metrics.cost.time=false")


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a small audit would be the timing of its net."""
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder, "draw.rounds=1")
    return folder / "levels/1"


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "run"))


def audited(
    folder: Path, names: str = "accuracy,cost,fgsm,gap,ood", stop: Callable[[], int | None] = tiny.never
) -> Report:
    around = tiny.around(folder.parent / "cache", stop)
    asked = wanted(names, [each for each in SETS if "cost" in names or "cost" not in each], None, None)
    subject = subject_of(open_run(folder), asked.sets, around)
    return audit(Audit(subject, asked, shown(subject, asked.recipe.audit, Seeds(0), around), Seeds(0)))


# ----------------------------------------------------------------------------------------------------- kills and stops


@pytest.mark.long
def test_killed_and_stopped_at_random_moments_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon(
        "audit_marathon.py", tmp_path, "--kills", "2", "--stops", "2", "--points", "--every", "90"
    )
    assert summary["identical"] == summary["runs"] >= 4
    assert summary["kills"] > summary["at_points"] >= 1
    assert summary["slowest"] < 5


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_around_every_write_and_stopped_many_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon(
        "audit_marathon.py", tmp_path, "--kills", "50", "--stops", "60", "--points", "--seed", "1"
    )
    assert summary["identical"] == summary["runs"]
    assert summary["at_points"] > 100
    assert summary["stopped"] > 20
    assert summary["left_orphans"] > 20
    assert summary["slowest"] < 5


def test_what_a_killed_writer_left_is_swept_at_the_next_start(run: Path) -> None:
    whole = audited(run, "accuracy")
    orphans = [run / place / f"{TEMPORARY}audit-x-1" for place in (WORK, "samples", "reports")]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    assert audited(run, "accuracy").id == whole.id
    assert not any(orphan.exists() for orphan in orphans)


def test_what_another_command_is_writing_beside_it_is_left_alone(run: Path) -> None:
    audited(run, "accuracy")
    other = run / "reports" / f"{TEMPORARY}interpolate-x-1"
    other.write_bytes(b"half")
    audited(run, "accuracy")
    assert other.exists()


@pytest.mark.long
@pytest.mark.parametrize("after", [0, 1, 3, 6, 10])
def test_what_is_there_after_a_stop_is_whole(run: Path, after: int) -> None:
    other = Path(shutil.copytree(run, run.parent / "other"))
    audited(run)
    truth, asked = tiny.files_below(run), iter(range(10_000))
    with pytest.raises(StoppedError) as left:
        audited(other, stop=lambda: 130 if next(asked) >= after else None)
    assert left.value.exit_code == 130
    assert tiny.files_below(other).items() <= truth.items()
    with locked(other / WORK):  # it is free
        pass
    audited(other)
    assert tiny.files_below(other) == truth


def test_it_can_be_stopped_while_the_net_is_timed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of 100 images through a large net takes seconds."""
    asked = iter(range(10_000))
    monkeypatch.setattr("ticketctl.stages.audit.Meter", lambda *_: pytest.fail("it was timed to the end"))
    with pytest.raises(StoppedError):
        audited(run, "accuracy", stop=lambda: 75 if next(asked) >= 1 else None)


# -------------------------------------------------------------------------------------------------------- second writer


def test_a_second_audit_of_a_run_is_refused_and_leaves_the_first_alone(run: Path) -> None:
    with locked(run / WORK), pytest.raises(LockedError, match=f"process {os.getpid()} on ") as refused:
        audited(run, "accuracy")
    assert refused.value.exit_code == 7
    assert "\n" not in str(refused.value)
    assert not (run / "reports").exists()


# ------------------------------------------------------------------------------------------------------------ the disk


def a_full_disk_costs_nothing(run: Path, points: Iterable[int]) -> int:
    """Fail at each of `points` (every second one once, every second one for good), make room, and go on."""
    before = run.parent / "before"
    shutil.copytree(run, before)
    audited(run)
    truth, refused = tiny.files_below(run), 0
    for at in points:
        place = Path(shutil.copytree(before, run.parent / f"at-{at}"))
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(at, once=at % 2 == 0, patch=patch)
            if disk_refuses(place):
                refused += 1
        assert tiny.files_below(place).items() <= truth.items(), "something was half written"
        audited(place)
        assert tiny.files_below(place) == truth
        shutil.rmtree(place)
        if disk.count < at:
            break
    return refused


def disk_refuses(place: Path) -> bool:
    try:
        audited(place)
    except ResourceError as error:
        assert error.exit_code == 10  # noqa: PT017  # not every point refuses, so raises() does not fit
        assert "No space left on device" in str(error)  # noqa: PT017  # as above
        assert str(place) in str(error)  # noqa: PT017  # as above
        assert "\n" not in str(error)  # noqa: PT017  # as above
        return True
    return False


@pytest.mark.long
def test_a_full_disk_costs_nothing_that_was_there(run: Path) -> None:
    assert a_full_disk_costs_nothing(run, range(0, 1000, 7)) > 4


@pytest.mark.slow
def test_a_full_disk_at_any_operation_costs_nothing_that_was_there(run: Path) -> None:
    assert a_full_disk_costs_nothing(run, range(1000)) > 30


@pytest.mark.parametrize("there", [False, True], ids=["new", "audited before"])
def test_a_run_that_may_not_be_written_gets_one_line(
    run: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system refuses it; root may write in any folder, so that modes alone do not show it."""
    if there:
        audited(run, "accuracy")
    truth = tiny.files_below(run)
    refuse_writes(run, monkeypatch)
    with pytest.raises(ResourceError) as refused:
        audited(run, "accuracy,ece")
    monkeypatch.undo()
    assert refused.value.exit_code == 10
    assert "\n" not in str(refused.value)
    assert "Read-only file system" in str(refused.value)
    assert str(run) in str(refused.value)
    assert tiny.files_below(run) == truth


def refuse_writes(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """From now on nothing is made, opened for writing or taken away below `folder`."""
    plain_open, plain_mkdir, plain_unlink = os.open, os.mkdir, os.unlink

    def refuse(path: Any) -> None:
        if folder in Path(os.fsdecode(path)).parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return plain_open(path, flags, *rest, **more)

    def made(path: Any, *rest: Any, **more: Any) -> None:
        if not os.path.isdir(path):
            refuse(path)
        plain_mkdir(path, *rest, **more)

    def taken(path: Any, *rest: Any, **more: Any) -> None:
        if os.path.exists(path):
            refuse(path)
        plain_unlink(path, *rest, **more)

    def written(path: Any, mode: str = "r", **options: Any) -> Any:
        if "w" in mode:
            refuse(path)
        return open(path, mode, **options)

    for name, one in (("open", opened), ("mkdir", made), ("unlink", taken)):
        patch.setattr(os, name, one)
    patch.setattr(files, "open", written, raising=False)
