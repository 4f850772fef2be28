"""Data that were changed in place under what was drawn, spent, audited or swept on them are noticed, and not mixed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from tests.cli.conftest import Answer, ask
from tests.stages.tiny import files_below
from ticketctl.errors import MismatchError
from ticketctl.stages import identity
from ticketctl.stages.job_run import Site, do
from ticketctl.stages.plan_cost import is_done
from ticketctl.stages.plan_files import as_bytes
from ticketctl.stages.plan_wanted import Wanted, plan_meant

KINDS = ("tensors:mine.safetensors", "imagefolder:pictures")
RECIPE = """
model = { name = "lenet-300-100" }
data = { name = "NAME", augment = "none" }
train = { epochs = 1, batch = 32, threads = 1 }
"""
DRAW = ("draw", "--recipe", "mine.toml", "--rounds", "1", "--out", "drawn", "--quiet")
SPEND = ("spend", "drawn", "--set", "train.lr=0.02", "--quiet")
AUDIT = ("audit", "drawn/levels/1", "--metrics", "nll", "--quiet")


def images(seed: int) -> dict[str, np.ndarray]:
    stream = np.random.default_rng(seed)
    return {
        "train_images": stream.integers(0, 256, (64, 1, 6, 6), dtype=np.uint8), "train_labels": np.arange(64) % 2,
        "test_images": stream.integers(0, 256, (16, 1, 6, 6), dtype=np.uint8), "test_labels": np.arange(16) % 2,
    }  # fmt: skip


def write(folder: Path, name: str, seed: int) -> None:
    """The data of this name: their files are written over."""
    found = images(seed)
    if name.startswith("tensors"):
        (folder / "mine.safetensors").unlink(missing_ok=True)
        save_file(found, folder / "mine.safetensors")
        return
    for part in ("train", "test"):
        for number, (pixels, label) in enumerate(
            zip(found[f"{part}_images"], found[f"{part}_labels"], strict=True)
        ):
            path = folder / "pictures" / part / str(label) / f"i{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[0]).save(path)


def typed(folder: Path, *words: str) -> Answer:
    identity._looked.cache_clear()  # as in a process of its own
    return ask(folder, *words)


@pytest.fixture(scope="module", params=KINDS, ids=("tensors", "imagefolder"))
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a draw, a spend and an audit of them."""
    home = tmp_path_factory.mktemp("changed")
    (home / "name").write_text(request.param)
    (home / "mine.toml").write_text(RECIPE.replace("NAME", request.param))
    write(home, request.param, 0)
    for words in (DRAW, SPEND, AUDIT):
        answer = typed(home, *words)
        assert answer.code == 0, answer.err
    return home


@pytest.fixture
def home(drawn: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy that a test may change."""
    shutil.copytree(drawn, tmp_path / "home")
    yield tmp_path / "home"
    identity._looked.cache_clear()


def name_in(home: Path) -> str:
    return (home / "name").read_text()


def complaint(home: Path, *words: str) -> str:
    answer = typed(home, *words)
    assert answer.code == 8, (words, answer)
    return answer.complaint


def one_image(home: Path) -> Path:
    """A file to change a little."""
    found = (home / "mine.safetensors", home / "pictures/train/0/i02.png")
    return next(path for path in found if path.exists())


def change(home: Path) -> None:
    """One image becomes another; its file stays as large as it was where it is a file of arrays."""
    path = one_image(home)
    if path.suffix == ".png":
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)


def test_a_control_is_spent_on_the_data_of_its_draw_and_away_from_it_asks_where_they_lie(home: Path) -> None:
    assert typed(home, *DRAW, "--controls").code == 0
    control = Path("drawn/controls/shuffled/ticket")
    assert typed(home, "spend", str(control), "--quiet").code == 0
    shutil.copytree(home / control, home / "control")
    shutil.copytree(home / "drawn/ticket", home / "ticket")
    shutil.copytree(
        home / "drawn", home / "whole"
    )  # all its runs are there, which a spend knows by their data
    (home / "whole/intent.json").unlink()
    before, data = files_below(home), name_in(home)
    name = data.partition(":")[0]
    for alone in ("control", "ticket", "whole/ticket"):
        for more in ((), ("--dry-run",), ("--data", name)):
            said = typed(home, "spend", alone, *more)
            assert (said.code, said.out) == (2, "")
            assert (
                f"{alone} is to be trained on {name}, and where that lies is not known here" in said.complaint
            )
            assert f"write --data {name}:PATH, or give --data-dir" in said.complaint
    assert files_below(home) == before
    assert typed(home, "spend", "control", "--data", data, "--quiet").code == 0


def test_changed_in_place_nothing_goes_on_and_nothing_is_written(home: Path) -> None:
    before = files_below(home / "drawn")
    change(home)
    name = name_in(home)
    for words in (
        DRAW,
        (*DRAW, "--dry-run"),
        SPEND,
        (*SPEND, "--dry-run"),
        ("spend", "drawn", "--set", "train.lr=0.03"),
    ):
        said = complaint(home, *words)
        assert "drawn" in said
        assert f"other data than {name} has now" in said, said
        assert "another name" in said
    assert name in complaint(home, *AUDIT)
    assert files_below(home / "drawn") == before


def test_a_dry_run_on_other_data_of_the_same_kind_finds_no_runs_of_the_draw_and_on_moved_ones_all(
    home: Path,
) -> None:
    kind, _, place = name_in(home).partition(":")
    for there, changed in (("moved", False), ("others", True)):
        if changed:
            change(home)
        (home / there).mkdir()
        (shutil.copytree if kind == "imagefolder" else shutil.copy2)(home / place, home / there / place)
        words = ("spend", "drawn", "--data", f"{kind}:{there}/{place}", "--dry-run", "--json", "--quiet")
        answer = typed(home, *words)
        assert [run["ready"] for run in answer.json["result"]["runs"]] == [not changed] * 2
        assert answer.json["result"]["cost"]["trainings"] == 2 * changed


def test_a_control_is_not_spent_on_other_data_either(home: Path) -> None:
    """Its data have to be named: those of its draw are."""
    shutil.copytree(home / "drawn/ticket", home / "drawn/controls/reinit/ticket")
    words = ("spend", "drawn/controls/reinit", "--data", name_in(home), "--set", "train.lr=0.02", "--quiet")
    assert typed(home, *words).code == 0
    change(home)
    assert f"other data than {name_in(home)} has now" in complaint(home, *words)


def test_what_was_changed_and_put_back_is_what_it_was(home: Path) -> None:
    path = one_image(home)
    data = path.read_bytes()
    change(home)
    complaint(home, *DRAW)
    path.write_bytes(data)
    assert [typed(home, *words).code for words in (DRAW, SPEND, AUDIT)] == [0, 0, 0]


def test_a_file_that_was_only_touched_is_the_same(home: Path) -> None:
    before = files_below(home / "drawn")
    os.utime(one_image(home))
    for words in (DRAW, SPEND, AUDIT):
        assert typed(home, *words).code == 0
    assert files_below(home / "drawn") == before


def test_a_finished_draw_needs_no_data(home: Path) -> None:
    first = typed(home, *DRAW)
    path = home / name_in(home).partition(":")[2]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert typed(home, *DRAW) == first
    assert typed(home, *SPEND).code == 5


def test_a_draw_under_way_does_not_go_on_with_other_data(home: Path) -> None:
    shutil.rmtree(home / "drawn" / "ticket")  # as before its end
    change(home)
    assert f"begun on other data than {name_in(home)} has now" in complaint(home, *DRAW)
    assert not (home / "drawn" / "ticket").exists()


def test_other_data_of_another_name_are_a_choice(home: Path) -> None:
    save_file(images(1), home / "other.safetensors")
    for name in ("tensors:other.safetensors", name_in(home)):
        assert typed(home, *SPEND, "--data", name).code == 0


def test_a_folder_that_is_named_beside_its_kind_is_looked_at_too(home: Path) -> None:
    write(home, KINDS[1], 0)
    recipe = (home / "mine.toml").read_text().replace(name_in(home), "imagefolder")
    (home / "bare.toml").write_text(recipe)
    there = ("--data-dir", "pictures", "--quiet")
    words = ("draw", "--recipe", "bare.toml", "--rounds", "0", "--out", "beside", *there)
    assert typed(home, *words).code == 0
    image = home / "pictures/train/0/i02.png"
    image.write_bytes((home / "pictures/train/1/i01.png").read_bytes())
    assert "other data than imagefolder has now" in complaint(home, *words)
    assert "other data than imagefolder has now" in complaint(home, "spend", "beside", *there)


def test_data_that_can_no_longer_be_read_are_named(home: Path) -> None:
    one_image(home).write_bytes(b"\x89PNG\r\n\x1a\n")
    answer = typed(home, *DRAW)
    assert answer.code == 5
    assert one_image(home).name in answer.complaint


# ------------------------------------------------------------------------------------------------------------ sweeps

GRID = """
title = "one method"
seeds = "0-1"
[axes]
recipe = "mine.toml"
method = "random"
density = [0.5]
"""


def test_a_job_of_a_sweep_is_not_done_beside_others_on_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = KINDS[0]
    (tmp_path / "mine.toml").write_text(RECIPE.replace("NAME", name))
    (tmp_path / "grid.toml").write_text(GRID)
    write(tmp_path, name, 0)
    monkeypatch.chdir(tmp_path)
    plan = plan_meant(Wanted("grid.toml", Path("runs"), (), None, "", None, None, None)).plan
    (tmp_path / "plan.jsonl").write_bytes(as_bytes(plan))
    draws = [job for job in plan.jobs if job.kind == "draw"]
    spends = [job for job in plan.jobs if job.kind == "spend"]
    site = Site("plan.jsonl", "runs")
    for job in draws:
        assert do(site, job.id, torch.device).state.kind == "done"
    assert is_done(draws[0], Path("runs"))
    change(tmp_path)
    with pytest.raises(
        MismatchError, match=f"random-[0-9a-f]{{8}}/seed-0: begun on other data than {name} has now"
    ):
        is_done(draws[0], Path("runs"))
    state = do(site, spends[0].id, torch.device).state
    assert (state.kind, state.cause) == ("failed", "mismatch")
    assert f"other data than {name} has now" in state.message


@pytest.mark.long
def test_a_sweep_that_is_done_does_not_speak_for_other_data(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE.replace("NAME", KINDS[0]))
    (tmp_path / "grid.toml").write_text(GRID)
    write(tmp_path, KINDS[0], 0)
    sweep = ("sweep", "grid.toml", "--device", "cpu")
    assert typed(tmp_path, *sweep, "--workers", "1", "--quiet").code == 0
    assert "nothing is left to do" in typed(tmp_path, *sweep).err
    before = files_below(tmp_path / "runs")
    change(tmp_path)
    for more in ((), ("--dry-run",), ("--engine", "slurm", "--dry-run")):
        answer = typed(tmp_path, *sweep, *more)
        assert answer.code == 8
        assert f"other data than {KINDS[0]} has now" in answer.err
    assert files_below(tmp_path / "runs") == before


def test_a_plan_finds_no_draw_done_that_was_made_on_another_folder(tmp_path: Path) -> None:
    """The name is the same for all folders that `--data-dir` says."""
    (tmp_path / "mine.toml").write_text(RECIPE.replace("NAME", "imagefolder"))
    (tmp_path / "grid.toml").write_text(GRID)
    write(tmp_path, KINDS[1], 0)
    at = ("--data-dir", "pictures")
    draw = ("draw", "--recipe", "mine.toml", "--method", "random", "--density", "0.5", "--quiet")
    assert typed(tmp_path, *draw, *at).code == 0
    plan = ("plan", "grid.toml", "--device", "cpu", "--quiet")
    assert "2 draws (1 there)" in typed(tmp_path, *plan, *at).out
    before = files_below(tmp_path / "runs")
    shutil.copytree(tmp_path / "pictures", tmp_path / "others")
    assert "2 draws (1 there)" in typed(tmp_path, *plan, "--data-dir", "others").out, "they are the same"
    (tmp_path / "others/train/0/i02.png").write_bytes((tmp_path / "others/train/1/i01.png").read_bytes())
    assert "seed-0: begun on other data than imagefolder has now" in complaint(
        tmp_path, *plan, "--data-dir", "others"
    )
    assert "2 draws (1 there)" in typed(tmp_path, *plan, *at).out
    assert files_below(tmp_path / "runs") == before
