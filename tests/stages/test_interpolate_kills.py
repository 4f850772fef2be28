"""Killed or stopped at any moment, an interpolation goes on where it was and ends in the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.interpolate_marathon import BEZIER, PLANE
from tests.stages import tiny
from tests.stages.interpolating import FEW, interpolated
from tests.test_kill_safety import FullDisk
from tests.warm import marathon
from ticketctl.artifacts.report import Report
from ticketctl.errors import LockedError, ResourceError, StoppedError
from ticketctl.stages.interpolate import POINTS, WORK
from ticketctl.stages.points import Points
from ticketctl.store.files import TEMPORARY
from ticketctl.store.locks import locked

Measured = Callable[..., Report]


@pytest.fixture(autouse=True)
def _not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that equal interpolations ask equally often whether to stop."""
    monkeypatch.setattr("ticketctl.stages.interpolate.passes_a_second", lambda net: 1e5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder, "draw.rounds=1")
    return folder


@pytest.fixture
def ladder(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "seed-0"))


def between(folder: Path, **more: Any) -> Report:
    return interpolated(folder, None, *BEZIER, curves="line,bezier", **more)


def about(folder: Path, **more: Any) -> Report:
    return interpolated(folder, [str(folder / "levels/1")], *PLANE, curves="plane,input-plane", **more)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the points that are measured from now on."""
    names, plain = list[str](), Points.__call__

    def counted(points: Points, name: str, make: Any) -> Any:
        def noted() -> Any:
            point = make()
            names.append(f"{points.folder.name.partition('-')[0]} {name}")
            return point

        return plain(points, name, noted)

    monkeypatch.setattr(Points, "__call__", counted)
    return names


def asked_of(measured: Measured, folder: Path) -> int:
    """How often an undisturbed interpolation asks whether to stop."""
    times = list[int]()
    measured(folder, stop=lambda: times.append(1))  # type: ignore[func-returns-value]  # nobody stops
    return len(times)


@pytest.mark.long
@pytest.mark.parametrize("measured", [between, about])
def test_stopped_at_any_question_it_goes_on_and_measures_no_point_twice(
    measured: Measured, ladder: Path, made: list[str]
) -> None:
    whole = Path(shutil.copytree(ladder, ladder.parent / "whole" / "seed-0"))
    questions = asked_of(measured, whole)
    truth, points = tiny.files_below(whole), sorted(made)
    assert questions > 20
    assert len({*points}) == len(points) > 8
    for at in sorted({0, 1, 2, *range(3, questions, max(1, questions // 7)), questions - 1}):
        made.clear()
        place = Path(shutil.copytree(ladder, ladder.parent / f"at-{at}" / "seed-0"))
        asked = iter(range(100_000))
        with pytest.raises(StoppedError) as left:
            measured(place, stop=lambda at=at, asked=asked: 130 if next(asked) >= at else None)
        assert left.value.exit_code == 130
        beside = {name: data for name, data in tiny.files_below(place).items() if f"/{POINTS}/" not in name}
        assert beside.items() <= truth.items(), "something is half written"
        measured(place)
        assert tiny.files_below(place) == truth
        assert sorted(made) == points, f"stopped at question {at}"
        shutil.rmtree(place)


@pytest.mark.long
def test_stopped_after_every_second_point_it_gets_on(ladder: Path, made: list[str]) -> None:
    whole = Path(shutil.copytree(ladder, ladder.parent / "whole" / "seed-0"))
    about(whole)
    points = sorted(made)
    made.clear()
    for turn in range(1, 20):
        with suppress(StoppedError):
            about(ladder, stop=lambda most=2 * turn: 75 if len(made) >= most else None)
    assert sorted(made) == points
    about(ladder)
    assert tiny.files_below(ladder) == tiny.files_below(whole)


def test_points_of_another_interpolation_that_was_stopped_stay(ladder: Path, made: list[str]) -> None:
    run = [str(ladder / "levels/1")]
    with pytest.raises(StoppedError):
        interpolated(ladder, run, *PLANE[:3], curves="plane", stop=lambda: 130 if len(made) == 3 else None)
    interpolated(ladder, run, *PLANE[3:], curves="input-plane")
    interpolated(ladder, run, *PLANE[:3], curves="plane")
    assert len({*made}) == len(made)
    assert not (ladder / "levels/1" / WORK / POINTS).exists()


def test_a_damaged_point_or_part_is_measured_again(ladder: Path, made: list[str]) -> None:
    whole = Path(shutil.copytree(ladder, ladder.parent / "whole" / "seed-0"))
    about(whole)
    made.clear()
    with pytest.raises(StoppedError):
        about(ladder, stop=lambda: 130 if len(made) == 3 else None)
    for path in (ladder / "levels/1" / WORK / POINTS).rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    about(ladder)
    assert len(made) == len({*made}) + 3
    assert tiny.files_below(ladder) == tiny.files_below(whole)
    (part,) = (ladder / "levels/1" / WORK).glob("plane-*.zarr.zip")
    part.write_bytes(b"no archive")
    about(ladder)
    assert tiny.files_below(ladder) == tiny.files_below(whole)


def test_what_a_killed_writer_left_is_swept_at_the_next_start(ladder: Path) -> None:
    whole = interpolated(ladder)
    orphans = [ladder / "levels/0" / place / f"{TEMPORARY}interpolate-x-1" for place in (WORK, "reports")]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    assert interpolated(ladder).id == whole.id
    assert not any(orphan.exists() for orphan in orphans)


def test_a_second_interpolation_into_the_same_folder_is_refused(ladder: Path) -> None:
    with locked(ladder / "levels/0" / WORK), pytest.raises(LockedError, match=f"process {os.getpid()} on "):
        interpolated(ladder)
    assert not (ladder / "levels/0/reports").exists()


def test_a_full_disk_costs_nothing_that_was_there(ladder: Path) -> None:
    whole = Path(shutil.copytree(ladder, ladder.parent / "whole" / "seed-0"))
    interpolated(whole)
    truth, refused = tiny.files_below(whole), 0
    for at in range(0, 1000, 5):
        place = Path(shutil.copytree(ladder, ladder.parent / f"at-{at}" / "seed-0"))
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(at, once=at % 2 == 0, patch=patch)
            refused += refuses(place)
        beside = {name: data for name, data in tiny.files_below(place).items() if f"/{POINTS}/" not in name}
        assert beside.items() <= truth.items()
        interpolated(place, None, *FEW)
        assert tiny.files_below(place) == truth
        shutil.rmtree(place)
        if disk.count < at:
            break
    assert refused > 2


def refuses(place: Path) -> bool:
    try:
        interpolated(place)
    except ResourceError as error:
        assert error.exit_code == 10  # noqa: PT017  # not every point refuses, so raises() does not fit
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_around_every_write_and_at_random_moments_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon("interpolate_marathon.py", tmp_path, "--kills", "40", "--points", "--seed", "1")
    assert summary["identical"] == summary["runs"]
    assert summary["at_points"] > 60
    assert summary["kills"] - summary["at_points"] >= 40
    assert summary["left_orphans"] > 10
