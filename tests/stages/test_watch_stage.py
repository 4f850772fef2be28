"""What is seen of work under way: against a real draw that is looked at while it trains, and files made by hand."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.cli.watch import record
from ticketctl.errors import StoppedError, UsageError
from ticketctl.recipe_files import parse_recipe, read_recipe
from ticketctl.stages import underway
from ticketctl.stages.paper_marks import marks_of
from ticketctl.stages.underway import Owner, find, is_empty, owner_in, work_in, works
from ticketctl.stages.watch import Seen, rows_in, see

T0 = 1_790_000_000.0
EVENT = {"epoch": "0.0", "test.accuracy": "0.1", "val.accuracy": "0.2"}


def write(path: Path, value: Any, when: float = T0) -> Path:
    """JSON, or bytes as they are, written at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    os.utime(path, (when, when))
    return path


def events(path: Path, accuracies: list[float], when: float) -> None:
    lines = [
        json.dumps({**EVENT, "epoch": repr(float(epoch)), "test.accuracy": repr(value)})
        for epoch, value in enumerate(accuracies)
    ]
    write(path, ("\n".join(lines) + "\n").encode(), when)


def run_json(kept: int, level: int, accuracy: float | None, status: str = "done") -> dict[str, Any]:
    metrics = {} if accuracy is None else {"test.accuracy": repr(accuracy)}
    return {"kept": kept, "prunable": 1000, "level": level, "status": status, "metrics": metrics}


def owner(pid: int, host: str = socket.gethostname()) -> dict[str, Any]:
    return {"pid": pid, "host": host}


@pytest.fixture
def draw(tmp_path: Path) -> Path:
    """A draw in its second of four trainings: 3 of 10 epochs in 30 seconds, after one that was trained before."""
    folder = tmp_path / "runs/net-data/imp-0123abcd/seed-5"
    recipe = {"draw": {"method": "imp"}, "model": {"name": "net"}, "data": {"name": "data"}}
    write(folder / "intent.json", {"asked": {"recipe": recipe, "seed": 5}, "settled": {}})
    write(folder / ".lock-owner.json", owner(os.getpid()))
    write(folder / "work/job.json", {"trainings": 4})
    write(
        folder / "work/sessions.json",
        [{"command": ["old"]}, {"command": ["ticketctl", "draw", "--rounds", "3"]}],
    )
    write(folder / "work/fits/000/record.safetensors", b"")
    fit = folder / "work/fits/001"
    write(fit / "about.json", {"title": "level 1", "epochs": "10.0", "done": "1.0"}, T0 + 70)
    events(fit / "events.jsonl", [0.1, 0.5, 0.6, 0.7, 0.75], T0 + 100)
    write(fit / "checkpoint.safetensors", b"", T0 + 95)
    write(folder / "levels/0/run.json", run_json(1000, 0, 0.9))
    return folder


def seen_of(folder: Path, now: float = T0 + 105) -> Seen:
    return see(work_in(folder), now)


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


# ------------------------------------------------------------------------------------------------------ a real draw


def test_a_draw_under_way_is_seen_as_it_trains_and_as_it_was_stopped(tmp_path: Path) -> None:
    folder, seen = tmp_path / "draw", list[Seen]()

    def stop() -> int | None:
        if folder.exists() and (folder / "work/fits").exists():
            seen.append(see(work_in(folder), T0))
        return 75 if len(list(folder.glob("levels/*/run.json"))) == 2 else None

    with pytest.raises(StoppedError):
        tiny.draw(folder, "draw.controls=false", stop=stop)
    trained = [one for one in seen if one.training]
    assert {one.work.state for one in seen} == {"running"}
    assert {one.work.owner.pid for one in seen if one.work.owner} == {os.getpid()}
    assert {one.trainings for one in trained} == {3}
    titles = list(dict.fromkeys(one.training.title for one in trained if one.training))
    assert titles[0] == "level 0, dense"
    assert titles[1].startswith("level 1, density 0.5")
    assert {one.training.epochs for one in trained if one.training and one.training.title} == {2.0}
    assert max(one.training.epoch for one in trained if one.training) >= 1.0
    after = see(work_in(folder), T0)
    assert after.work.state == "stopped"
    assert after.command == ("ticketctl", "test")
    assert [level.sparsity for level in after.levels] == [0.0, 0.5]
    own = [float(open_run(folder / f"levels/{k}").manifest.metrics["test.accuracy"]) for k in (0, 1)]
    assert [level.accuracy for level in after.levels] == own

    tiny.draw(folder, "draw.controls=false")
    done = see(work_in(folder), T0)
    assert (done.work.state, done.training, done.remarks) == ("finished", None, ())
    assert [level.sparsity for level in done.levels] == [0.0, 0.5, 0.75]
    assert not list(folder.rglob("about.json"))


def test_looking_writes_nothing_and_takes_no_lock(draw: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in draw.rglob("*") if p.is_file()}

    before = state()
    seen_of(draw)
    assert state() == before


# --------------------------------------------------------------------------------------------------- files by hand


def test_time_left_is_the_pace_since_it_was_last_begun_times_what_is_left(draw: Path) -> None:
    seen = seen_of(draw)
    assert seen.training is not None
    assert seen.training.epoch == 4
    assert seen.training.pace == 10  # 3 epochs in 30 s; one more was trained before
    assert seen.training.left(T0 + 105) == 6 * 10 - 5
    assert (seen.number, seen.trainings) == (2, 4)
    assert seen.left == 55 + 2 * 10 * 10
    assert seen.training.left(T0 + 10_000) == 0
    assert seen.training.checkpoint == T0 + 95
    assert seen.command == ("ticketctl", "draw", "--rounds", "3")
    assert seen.what == "draw by imp: net on data, seed 5"


def test_a_killed_draw_is_told_from_a_stopped_one_and_from_one_on_another_machine(draw: Path) -> None:
    lock = draw / ".lock-owner.json"
    write(lock, owner(dead_pid()))
    assert seen_of(draw).work.state == "killed"
    assert seen_of(draw).left is None
    write(lock, owner(dead_pid(), "elsewhere"))
    assert seen_of(draw).work.state == "running"
    lock.unlink()
    assert seen_of(draw).work.state == "stopped"
    assert Owner(os.getpid(), socket.gethostname()).alive


def test_a_process_that_is_over_and_not_yet_collected_counts_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        deadline = time.monotonic() + 20
        while Owner(child.pid, socket.gethostname()).alive and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.returncode is None  # nobody has asked how it ended
        assert not Owner(child.pid, socket.gethostname()).alive


@pytest.mark.parametrize("bad", [b"", b"{", b"\xff\xfe", b"[]", b'{"kept": 3}', b"null", b"[" * 5000])
def test_damaged_files_are_told_or_left_out_and_stop_nothing(draw: Path, bad: bytes) -> None:
    write(draw / "levels/1/run.json", run_json(800, 1, 0.8))
    for name in (
        "levels/0/run.json",
        "work/fits/001/about.json",
        "work/job.json",
        "work/sessions.json",
        "intent.json",
    ):
        write(draw / name, bad)
    write(draw / ".lock-owner.json", bad)
    seen = seen_of(draw)
    assert [level.sparsity for level in seen.levels] == [pytest.approx(0.2)]
    assert len(seen.remarks) == 1
    assert "levels/0/run.json: damaged" in seen.remarks[0]
    assert seen.training is not None
    assert seen.training.epoch == 4
    assert seen.left is None
    json.dumps(record(seen, ()), allow_nan=False)


@pytest.mark.parametrize(
    "changed",
    [
        {"kept": 2000},
        {"kept": -1},
        {"prunable": 0},
        {"prunable": "x"},
        {"metrics": 3},
        {"level": None},
        {"kept": 1e400},
    ],
)
def test_a_run_of_impossible_counts_is_damaged(draw: Path, changed: dict[str, Any]) -> None:
    write(draw / "levels/0/run.json", json.dumps({**run_json(900, 0, 0.5), **changed}).encode())
    assert len(seen_of(draw).remarks) == 1


def test_a_history_half_written_or_damaged_gives_its_sound_lines() -> None:
    whole = b'{"epoch":"1.0","test.accuracy":"0.5"}\n'
    assert rows_in(whole * 2 + whole[:20]) == (({"epoch": 1.0, "test.accuracy": 0.5},) * 2, 0)
    assert rows_in(whole + b"\x00\x00\n" + b"[1]\n" + whole)[1] == 2
    assert rows_in(b'{"epoch":"2.0","test.accuracy":"nan","x":"inf","y":[1]}\n') == (({"epoch": 2.0},), 0)
    assert rows_in(b"") == ((), 0)


def test_links_pipes_and_folders_in_the_place_of_files_are_none(draw: Path) -> None:
    history = draw / "work/fits/001/events.jsonl"
    history.unlink()
    os.mkfifo(history)
    (draw / "levels/1/run.json").mkdir(parents=True)
    (draw / "work/job.json").unlink()
    (draw / "work/job.json").symlink_to("/etc/hostname")
    seen = seen_of(draw)
    assert seen.training is not None
    assert seen.training.rows == ()
    assert seen.trainings is None


def test_a_draw_that_diverged_says_so_by_its_last_record(draw: Path) -> None:
    (draw / ".lock-owner.json").unlink()
    header = json.dumps({"__metadata__": {"ticketctl": json.dumps({"status": "diverged"})}}).encode()
    write(draw / "work/fits/001/record.safetensors", len(header).to_bytes(8, "little") + header)
    assert seen_of(draw).diverged
    write(draw / "work/fits/001/record.safetensors", (1 << 60).to_bytes(8, "little"))
    assert not seen_of(draw).diverged


def test_a_spend_is_seen_beside_the_runs_of_the_same_spend(draw: Path) -> None:
    (draw / ".lock-owner.json").unlink()
    spend = draw / "spends/89abcdef"
    write(spend / "0-seed-1/run.json", run_json(1000, 0, 0.9))
    write(spend / "2-seed-1/run.json", run_json(640, 2, 0.85, "diverged"))
    write(spend / "3-seed-1/.lock-owner.json", owner(os.getpid()))
    events(spend / "3-seed-1/work/events.jsonl", [0.1, 0.2], T0 + 100)
    seen = seen_of(draw.parents[2])
    assert (seen.work.kind, seen.work.folder.name, seen.work.state) == ("spend", "3-seed-1", "running")
    assert [(one.name, one.diverged) for one in seen.levels] == [("0-seed-1", False), ("2-seed-1", True)]
    assert seen.training is not None
    assert seen.training.epoch == 1


@pytest.mark.parametrize(
    ("place", "head"),
    [
        ("levels/0", "run of imp: net on data, level 0, seed 5"),
        ("spends/89abcdef/3-seed-1", "spend of imp: net on data, level 3, seed 1"),
        (
            "controls/inverted/spends/89abcdef/8-seed-1",
            "spend of imp, control inverted: net on data, level 8, seed 1",
        ),
        ("transfers/89abcdef/2-seed-4", "transfer of imp: net from data, level 2, seed 4"),
    ],
)
def test_a_run_is_named_as_its_draw_is_with_control_level_and_seed(
    draw: Path, place: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (draw / place / "work").mkdir(parents=True)
    assert seen_of(draw / place).what == head
    monkeypatch.chdir(draw / place)
    assert seen_of(find(".", Path("runs"))).what == head
    monkeypatch.chdir(draw.joinpath(place).parent)
    assert seen_of(find(Path(place).name, Path("runs"))).what == head


def test_a_measurement_is_named_after_the_net_that_it_is_of(draw: Path) -> None:
    place = draw / "controls/reinit/spends/89abcdef/3-seed-1"
    write(place / "run.json", run_json(640, 3, 0.85))
    write(place / "audit-work/.lock-owner.json", owner(os.getpid()))
    assert seen_of(place).what == "audit of imp, control reinit: net on data, level 3, seed 1"


def test_a_run_on_other_data_than_the_draws_says_so_as_soon_as_one_beside_it_is_done(draw: Path) -> None:
    spend = draw / "spends/89abcdef"
    (spend / "3-seed-1/work").mkdir(parents=True)
    own = {"model": {"name": "net"}, "data": {"name": "others"}}
    write(spend / "0-seed-1/run.json", {**run_json(1000, 0, 0.9), "recipe": own})
    assert seen_of(spend / "3-seed-1").what == "spend of imp: net on others, level 3, seed 1"
    write(draw / "intent.json", b"{")
    assert seen_of(spend / "3-seed-1").what == "spend: spends/89abcdef/3-seed-1"


def test_an_id_is_the_folder_of_its_draw_or_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/net-data/imp-0123abcd/seed-0")
    tiny.draw(folder, "draw.rounds=1", "draw.controls=true")
    ticket, run = open_ticket(folder / "ticket").manifest, open_run(folder / "levels/1").manifest
    assert find(ticket.ticket_id[:12], Path("runs")) == folder
    assert find(run.run_id[:12], Path("runs")) == folder / "levels/1"
    control = open_ticket(folder / "controls/shuffled/ticket").manifest.ticket_id
    assert (
        work_in(find(control[:12], Path("runs"))).folder == folder.absolute()
    )  # not spent: its draw is seen
    with pytest.raises(UsageError, match=r"tk1 is too short for an id"):
        find("tk1", Path("runs"))
    with pytest.raises(UsageError, match=r"no ticket or run 'rn1222222'"):
        find("rn1222222", Path("runs"))


def test_of_many_names_a_few_are_told(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"runs/net-data/imp-0123abcd/seed-{number}/intent.json", {})
    with pytest.raises(UsageError, match=r"no folder 'nowhere' .* and 24 more$") as caught:
        find("nowhere", tmp_path / "runs")
    assert str(caught.value).count("seed-") == 6


def test_a_workspace_is_empty_until_something_was_begun_in_it(tmp_path: Path) -> None:
    assert is_empty(tmp_path / "runs")
    (tmp_path / "runs/net-data").mkdir(parents=True)
    assert is_empty(tmp_path / "runs")
    write(tmp_path / "runs/net-data/imp-0123abcd/seed-0/intent.json", {})
    assert not is_empty(tmp_path / "runs")
    assert not is_empty(write(tmp_path / "file", b""))  # which is said, and not waited for


def test_measurements_under_way_are_seen_by_their_parts(draw: Path) -> None:
    place = draw / "levels/0/audit-work"
    write(place / "ece-01234567.zarr.zip", b"")
    assert not [one for one in works(draw) if one.kind == "audit"]
    write(place / ".lock-owner.json", owner(os.getpid()), T0 + 200)
    seen = seen_of(draw)
    assert (seen.work.kind, seen.parts) == ("audit", ("ece",))
    write(
        draw / "onset-work/init-0/epoch-3/twin-1/about.json",
        {"title": "twin 1", "epochs": "2", "done": "0"},
        T0 + 300,
    )
    write(draw / "onset-work/.lock-owner.json", owner(os.getpid()), T0 + 300)
    onset = seen_of(draw)
    assert onset.work.kind == "onset"
    assert onset.training is not None
    assert onset.training.title == "twin 1"


def test_the_newest_that_is_written_is_meant_by_a_workspace(draw: Path) -> None:
    workspace = draw.parents[2]
    later = workspace / "net-data/imp-0123abcd/seed-6"
    write(later / "intent.json", {}, T0 + 500)
    assert work_in(workspace).folder == draw  # the other is not running
    write(later / ".lock-owner.json", owner(os.getpid()), T0 + 500)
    assert work_in(workspace).folder == later
    assert work_in(draw.parent.parent / "imp-0123abcd/seed-5").folder == draw
    assert work_in(draw / "work/fits/001").folder == draw
    assert work_in(draw / "levels/0").kind == "run"


def test_what_is_no_work_is_refused_with_what_there_is(
    draw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = draw.parents[2]
    with pytest.raises(UsageError, match="did you mean 'net-data/imp-0123abcd/seed-5'"):
        find("net-data/imp-0123abcd/seed-4", workspace)
    with pytest.raises(UsageError, match="is a file; name the folder"):
        find(str(draw / "intent.json"), workspace)
    with pytest.raises(UsageError, match="no workspace"):
        find(None, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing was begun in"):
        work_in(tmp_path / "empty")
    for odd in ("x" * 5000, "\0", ""):
        with pytest.raises(UsageError):
            work_in(find(odd, tmp_path / "empty"))
    assert find("net-data", workspace) == workspace / "net-data"
    monkeypatch.setattr(underway, "MANY", 3)
    with pytest.raises(UsageError, match="more than 3 folders; name that of a draw"):
        work_in(workspace)
    assert owner_in(tmp_path) is None


# ----------------------------------------------------------------------------------------------------------- papers


@pytest.mark.long
def test_a_papers_recipe_has_its_table_as_marks_and_another_length_is_said() -> None:
    name = "papers/003-sgd-noise/imp-resnet18-cifar10-m0.9-b100"
    recipe = parse_recipe(read_recipe(name), where=name)
    (marks,) = [one for one in marks_of(to_record(recipe.changed())) if one.table == "003:11"]
    assert marks.points[0] == (0.0, 0.9524)  # paper 003, Table 11: the dense net
    assert marks.differs == ()
    (short,) = [
        one for one in marks_of(to_record(recipe.scaled(epochs=100).changed())) if one.table == "003:11"
    ]
    assert short.points == marks.points
    assert short.differs == ("epochs 100 instead of 200",)
    other = recipe.model_copy(update={"train": recipe.train.model_copy(update={"momentum": 0.5})})
    assert not [one for one in marks_of(to_record(other.changed())) if one.table == "003:11"]


def test_what_no_paper_has_and_what_is_no_recipe_have_no_marks() -> None:
    assert marks_of(to_record(tiny.recipe().changed())) == ()
    assert marks_of({}) == ()
    assert marks_of({"draw": 3}) == ()


def test_folders_that_come_and_go_while_they_are_looked_at_stop_nothing(draw: Path, tmp_path: Path) -> None:
    over, seen = threading.Event(), list[Seen]()

    def churn() -> None:
        while not over.is_set():
            shutil.copytree(draw / "levels", draw / "spends/01234567", dirs_exist_ok=True)
            shutil.copytree(draw / "work/fits", draw / "onset-work/init-0", dirs_exist_ok=True)
            shutil.rmtree(draw / "spends")
            shutil.rmtree(draw / "onset-work")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            seen += [see(work, T0) for work in works(draw)]
    finally:
        over.set()
        thread.join()
    assert {one.work.kind for one in seen} >= {"draw"}
    assert all(one.levels for one in seen if one.work.kind == "draw")
