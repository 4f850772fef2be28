"""How many threads a training takes: the machine says it when a draw begins, and the draw keeps to it."""

from __future__ import annotations

import os
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.conftest import ask
from tests.stages import tiny
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import StoppedError
from ticketctl.recipe import TrainSpec
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.stages.draw import draw
from ticketctl.stages.request import run_folder
from ticketctl.tomltext import toml_text
from ticketctl.train.device import settle
from ticketctl.train.threads import VARIABLE, default_threads, quota

CORES, OMP, QUOTA = (
    "of the cores this process may use",
    "of OMP_NUM_THREADS",
    "of the container's CPU quota",
)


@pytest.mark.parametrize(
    ("cores", "omp", "share", "expected"),
    [
        (8, None, None, (8, CORES)),
        (8, "2", None, (2, OMP)),
        (8, "4,2", None, (4, OMP)),
        (8, "16", None, (8, CORES)),
        (8, "8", 8.0, (8, CORES)),
        (8, "0", None, (8, CORES)),
        (8, "-1", None, (8, CORES)),
        (8, "many", None, (8, CORES)),
        (8, "", None, (8, CORES)),
        (8, None, 2.0, (2, QUOTA)),
        (8, None, 1.5, (2, QUOTA)),
        (8, None, 0.01, (1, QUOTA)),
        (8, "1", 1.5, (1, OMP)),
        (8, "3", 1.5, (2, QUOTA)),
    ],
)
def test_the_least_of_cores_variable_and_quota(
    cores: int, omp: str | None, share: float | None, expected: tuple[int, str]
) -> None:
    environ = {} if omp is None else {VARIABLE: omp}
    assert default_threads(cores, environ, share) == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000"}, 3.0),
        (
            "5:cpuacct,cpu:/a\n3:memory:/b\n",
            {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        ("5:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("3:memory:/\n", {"cpu.max": "100000 100000"}, None),
        (None, {}, None),
    ],
)
def test_the_quota_is_that_of_the_group_and_of_all_above_it(
    groups: str | None, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert quota(tmp_path) == expected


def cores(patch: pytest.MonkeyPatch, number: int) -> None:
    """A machine with so many."""
    patch.setattr(os, "sched_getaffinity", lambda _: set(range(number)), raising=False)
    patch.setattr("ticketctl.train.threads.quota", lambda: None)
    patch.delenv(VARIABLE, raising=False)


def test_a_training_obeys_the_variable_and_doctor_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(monkeypatch, 3)
    assert settle(TrainSpec(epochs=1), torch.device("cpu")).threads == 3
    monkeypatch.setenv(VARIABLE, "2")
    assert settle(TrainSpec(epochs=1), torch.device("cpu")).threads == 2
    assert settle(TrainSpec(epochs=1, threads=5), torch.device("cpu")).threads == 5
    found = {row["what"]: row["found"] for row in ask(tmp_path, "doctor", "--json").json["result"]}
    assert found["cpu threads"] == "2, of OMP_NUM_THREADS"


def threads_of(folder: Path) -> Any:
    """The number that a ticket was drawn with."""
    return open_ticket(folder / "ticket").manifest.draw.recipe["train"]["threads"]


def test_a_draw_goes_on_with_the_threads_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = parse_recipe(merge(tiny.TABLES, {"train": {"threads": 0}, "draw": {"rounds": 1}}), where="test")
    before = torch.get_num_threads()
    cores(monkeypatch, 2)
    folders = [run_folder(recipe, 0, None, tmp_path / name) for name in ("one", "two")]
    polls = iter(repeat(None, 20))
    try:
        monkeypatch.setenv(VARIABLE, "1")
        whole = draw(recipe, 0, folders[0], tiny.around(tmp_path / "cache"))
        with pytest.raises(StoppedError):
            draw(recipe, 0, folders[1], tiny.around(tmp_path / "cache", lambda: next(polls, 75)))
        monkeypatch.setenv(VARIABLE, "2")
        assert settle(recipe.train, torch.device("cpu")).threads == 2
        assert run_folder(recipe, 0, None, tmp_path / "two") == folders[1]
        resumed = draw(recipe, 0, folders[1], tiny.around(tmp_path / "cache"))
        assert threads_of(folders[1]) == 1
        assert resumed.manifest.ticket_id == whole.manifest.ticket_id
        assert tiny.files_below(folders[1]) == tiny.files_below(folders[0])
    finally:
        torch.set_num_threads(before)


def test_a_finished_draw_and_its_spend_keep_their_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {**tiny.TABLES, "train": {**tiny.TABLES["train"], "threads": 0, "epochs": 1}}
    (tmp_path / "mine.toml").write_text(toml_text(tables))
    line = ("draw", "--recipe", "mine.toml", "--seed", "0", "--json")
    before = torch.get_num_threads()
    cores(monkeypatch, 2)
    try:
        monkeypatch.setenv(VARIABLE, "1")
        first = ask(tmp_path, *line).json["result"]
        monkeypatch.setenv(VARIABLE, "2")
        assert ask(tmp_path, *line).json["result"] == first
        spent = ask(tmp_path, "spend", "--set", "train.lr=0.04", "--json")
        assert spent.code == 0, spent.err
        found = {path.parent: path.read_text() for path in tmp_path.glob("runs/**/spends/*/*/run.json")}
        assert found
        assert all('"threads":1' in text.replace(" ", "") for text in found.values())
    finally:
        torch.set_num_threads(before)
