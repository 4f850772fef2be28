"""inspect, verify, diff, list, recipes, doctor."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Program, ask
from ticketctl.recipe_files import flat_draw
from ticketctl.stages import subjects


def _name(drawn: Path) -> str:
    return next(drawn.glob("runs/*/*/seed-0")).relative_to(drawn / "runs").as_posix()


def test_inspect_a_ticket(read: Program) -> None:
    lines = read("inspect").out.splitlines()
    labels = [line[:8].strip() for line in lines[: lines.index("")]]
    assert labels == ["ticket", "folder", "net", "data", "method", "mask", "start", "cost", "bytes", "seed"]
    assert lines[2] == "net     lenet-300-100, 1 channels 8x8, 10 classes"
    assert lines[5] == "mask    32128 of 50200 weights kept, density 0.64000, global"
    assert lines[lines.index("") + 1] == "level   kept  density %  on a path  test %"


def test_inspect_a_level(read: Program, drawn: Path) -> None:
    by_name = read("inspect", f"{_name(drawn)}@1")
    assert "mask    40160 of 50200 weights kept, density 0.80000, global" in by_name.out
    assert re.search(r"^level   1, which is tk1[a-z2-7]{29}$", by_name.out, re.MULTILINE)
    assert read("inspect", "--level", "1").out == by_name.out
    assert read("inspect", "--level", "0.2").out == by_name.out
    asked = read("inspect", "--level", "1", "--json").json["result"]["asked"]
    assert (asked["level"], asked["kept"], asked["density"]) == (1, 40160, 0.8)


def test_inspect_a_run(read: Program, drawn: Path) -> None:
    answer = read("inspect", f"{_name(drawn)}/levels/1")
    assert re.match(r"run     rn1[a-z2-7]{29}\n", answer.out)
    assert "status  done" in answer.out
    assert "test.accuracy" in answer.out
    assert read("inspect", f"{_name(drawn)}/levels/1", "--json").json["result"]["level"] == 1


def test_recipe_of_a_ticket(read: Program) -> None:
    tables = tomllib.loads(read("inspect", "--show-recipe").out)
    assert tables["draw"]["rounds"] == 2
    record = read("inspect", "--show-recipe", "--json").json["result"]  # as the artifact has it
    assert flat_draw(record) == tables
    assert tables["draw"]["rate"] == record["draw"]["params"]["rate"]


def test_verify(read: Program, drawn: Path) -> None:
    lines = read("verify").out.splitlines()
    assert lines[0].split() == ["check", "detail"]
    assert all(line.split()[1] == "ok" for line in lines[1:-1])
    assert re.fullmatch(r"ticket .*/seed-0/ticket: sound", lines[-1])
    result = read("verify", f"{_name(drawn)}/levels/2", "--json").json["result"]
    assert (result["kind"], result["sound"]) == ("run", True)


def test_diff(read: Program, drawn: Path) -> None:
    name = _name(drawn)
    lines = read("diff", f"{name}@1", name).out.splitlines()
    assert lines[0] == "layer       weights  first keeps  second keeps  both keep     IoU  Hamming"
    assert lines[-2].split() == ["all", "50200", "40160", "32128", "32128", "0.8000", "0.1600"]
    assert lines[-1] == "start weights: the same"
    total = read("diff", name, f"{name}/controls/shuffled", "--level", "1", "--json").json["result"][
        "layers"
    ][-1]
    assert (total["first"], total["second"]) == (40160, 40160)


def test_list(read: Program) -> None:
    answer = read("list")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["ticket", "name", "method", "density", "%"]
    assert [line.split()[2] for line in lines[1:]] == ["imp"]
    assert answer.err == "4 control tickets are not shown: ticketctl list --controls\n"
    every = [line.split() for line in read("list", "--controls").out.splitlines()]
    assert every[0] == ["ticket", "name", "method", "control", "density", "%"]
    controls = ["inverted", "random-erk", "reinit", "shuffled"]
    assert sorted(line[3] for line in every[1:] if len(line) == 5) == controls
    assert {line[2] for line in every[1:]} == {"imp"}
    assert len(read("list", "--json").json["result"]) == 5
    runs = read("list", "runs", "--json").json["result"]
    assert {run["level"] for run in runs} == {0, 1, 2}
    assert len(read("list", "runs").out.splitlines()) == 4


@pytest.mark.parametrize("kind", ["methods", "models", "data"])
def test_list_plugins(bare: Program, kind: str) -> None:
    found = bare("list", kind, "--json").json["result"]
    assert found == sorted(found, key=lambda plugin: plugin["name"])
    assert [line.split()[0] for line in bare("list", kind).out.splitlines()[1:]] == [
        plugin["name"] for plugin in found
    ]
    one = found[0]["name"]
    record = bare("list", kind, one, "--json").json["result"]
    assert record == {**found[0], "description": bare("list", kind, one).out.rstrip("\n")}


def test_keys_of_a_method(bare: Program) -> None:
    assert "\nKeys of [draw]:\n  rate = " in bare("list", "methods", "imp").out


def test_recipes(bare: Program) -> None:
    found = {recipe["name"]: recipe["summary"] for recipe in bare("recipes", "--json").json["result"]}
    assert {"base/lenet-300-100-digits", "draw/imp", "draw/omp"} <= set(found)
    assert all(found.values())
    tables = tomllib.loads(bare("recipes", "draw/imp").out)
    assert tables == bare("recipes", "draw/imp", "--json").json["result"]


def test_empty_workspace(bare: Program) -> None:
    assert bare("list").out == "no tickets below runs; `ticketctl draw` makes one\n"
    assert bare("list", "--json").json["result"] == []
    assert bare("list", "runs").out.startswith("no runs below runs")
    assert bare("spend").complaint == "ticketctl: no ticket below runs; make one with `ticketctl draw`"


def test_doctor(bare: Program) -> None:
    found = {row["what"]: row for row in bare("doctor", "--json").json["result"]}
    assert {"ticketctl", "python", "torch", "device", "workspace", "cache"} <= set(found)
    assert "is a file" in bare("doctor", "--workspace", "/etc/passwd").out


# ------------------------------------------------------------------------------------------- folders that are too much


@pytest.mark.parametrize("command", ["audit", "compare"])
def test_the_whole_disk_and_the_home_folder_are_refused_before_they_are_searched(
    command: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.walk", lambda root: pytest.fail(f"walks {root}"))
    monkeypatch.setenv("HOME", str(drawn))
    for name, what in (
        ("/", "the whole file system"),
        ("..", "your whole home folder"),
        (".", "your whole home"),
    ):
        answer = ask(drawn, command, name)
        assert answer.code == 2
        assert answer.complaint.startswith(f"ticketctl: {name}: {what}")
        assert answer.complaint.endswith("name the folder that holds the runs, such as runs")


def test_a_workspace_in_the_home_folder_is_searched(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(drawn))
    assert ask(drawn, "compare", "runs").code == 0


def test_a_search_without_a_run_ends_early_and_one_with_runs_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        (home / "barren" / f"{number:02}").mkdir(parents=True)
    monkeypatch.setattr(subjects, "BARREN", 30)
    answer = ask(home, "compare", "barren")
    assert answer.code == 2
    assert "barren: more than 30 folders and no run among the first; give one nearer" in answer.complaint
    shutil.copytree(next(home.glob("runs/*/*/*/levels/1")), home / "barren/00/run")
    assert ask(home, "compare", "barren").code == 0
    monkeypatch.setattr(subjects, "FOLDERS", 40)
    assert "barren: more than 40 folders; give one nearer" in ask(home, "compare", "barren").complaint


# ---------------------------------------------------------------------------------------------- signals on a cold start

PROGRAM = Path(sys.executable).with_name("ticketctl")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 75), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],  # a cold start each
)
def test_a_signal_while_torch_is_imported_ends_the_program_there(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Its last line before the import is waited for; a draw that had begun would stop after a step, and say so."""
    words = [str(PROGRAM), "draw", "--epochs", "1"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    while "writes to" not in (line := process.stderr.readline()):
        assert line, "ended too early"
    began = time.monotonic()
    process.send_signal(number)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == code
    assert said.strip() == "ticketctl: stopped; the same command goes on from here"
    assert time.monotonic() - began < 5
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kept", [True, False], ids=["kept to itself", "called another fault"])
def test_a_module_that_a_signal_cuts_short_cannot_hide_it(
    kept: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str) -> Any:
        with suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)
        if not kept:
            raise ImportError("torch is half there")

    monkeypatch.setattr("ticketctl.cli.devices.resolve", resolve)
    answer = ask(home, "spend", "--seed", "77", "--json")
    assert answer.code == 75
    assert answer.complaint == "ticketctl: stopped; the same command goes on from here"
    assert answer.json["error"]["code"] == "E_STOPPED"
