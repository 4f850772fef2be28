"""`ticketctl reproduce`, as it is typed, on a table of the embedded digits."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, ask
from tests.stages.tiny import files_below
from tests.test_startup import _loaded
from ticketctl.cli.console import Lines
from ticketctl.train.loop import Loop

RECIPE = """
extends = "base/lenet-300-100-digits"
train.epochs = 2
train.lr = {lr}
train.threads = 1
draw.method = "imp"
draw.rounds = 1
draw.rate = "0.2"
"""
TABLE = """
title = "Label smoothing on digits"
paper = "ours"
table = "1"
source = "this test"
note = "nothing"
seeds = 2
seed_list = [3, 5]
metric = "test.accuracy"
unit = "percent"

[[row]]
name = "vanilla"
recipe = "recipe.toml"
values = { "0" = 96.00, "20.00" = 95.00 }

[[row]]
name = "label smoothing"
recipe = "recipe.toml"
tweaks = ["ls"]
values = { "20.00" = 95.50 }
"""


def write(folder: Path, lr: str = "0.05") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(RECIPE.format(lr=lr))
    (folder / "mine.toml").write_text(TABLE)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A folder in which the table was reproduced, and what was said."""
    folder = write(tmp_path_factory.mktemp("done") / "here")
    return folder, ask(folder, "reproduce", "mine.toml")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the table alone."""
    return write(tmp_path / "here")


def test_several_devices_are_refused_with_the_sweep_that_uses_them(here: Path) -> None:
    words = ("reproduce", "mine.toml", "--rows", "vanilla", "--scale", "0.5", "--seed", "3")
    answer = ask(here, *words, "--devices", "2")
    assert answer.code == 2
    line = answer.complaint.partition("one on each GPU: ")[2].partition(";")[0]
    planned = ask(here, *shlex.split(line)[1:], "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["result"]["jobs"] == 1
    assert "--devices" not in ask(here, "reproduce", "--help").out
    assert not (here / "runs").exists()


def test_a_dry_run_counts_and_writes_nothing(here: Path) -> None:
    before = sorted(here.rglob("*"))
    answer = ask(here, "reproduce", "mine.toml", "--dry-run", "--json")
    assert sorted(here.rglob("*")) == before
    result = answer.json["result"]
    # two draws of two levels each, and under each the ticket with ls; digits: 1,295 images in batches of 64
    assert [draw["trainings"] for draw in result["draws"]] == [2, 2]
    assert [draw["seed"] for draw in result["draws"]] == [3, 5]
    cost = result["cost"]
    assert (cost["trainings"], cost["epochs"], cost["steps"]) == (6, 12, 12 * 21)
    assert cost["seconds"] > 0
    assert [run["there"] for run in result["runs"]] == [True, True, False] * 2
    told = ask(here, "reproduce", "mine.toml", "--dry-run")
    assert "6 trainings, 12 epochs and 252 steps in all" in told.out
    assert "seeds 3,5: the paper's" in told.err
    assert told.err.count("timing lenet-300-100 on digits …") == 1
    assert ask(here, "reproduce", "mine.toml", "--dry-run", "--quiet").err == ""


@pytest.mark.long
def test_it_trains_and_compares(done: tuple[Path, Answer]) -> None:
    folder, answer = done
    assert answer.code == 0, answer.err
    assert "3 of 3 cells have runs; 0 of 6 runs belong to no cell" in answer.out
    assert answer.out.count("as its recipe") == 3
    assert "no reproduction" not in answer.out
    typed = ask(folder, "compare", "runs", "--paper", "mine.toml", "--json").json["result"]
    again = ask(folder, "reproduce", "mine.toml", "--json").json["result"]
    assert again["cells"] == typed["cells"]
    assert [cell["n"] for cell in again["cells"]] == [2, 2, 2]


def test_a_second_time_trains_nothing_and_says_the_same(
    done: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, first = done
    monkeypatch.setattr(Loop, "run", lambda *words, **more: pytest.fail("trains again"))
    before = files_below(folder)
    again = ask(folder, "reproduce", "mine.toml")
    assert (again.code, again.out) == (0, first.out)
    assert "all of it is there already" in again.err
    assert files_below(folder) == before
    (line,) = [text for text in again.err.splitlines() if text.startswith("repeat with: ")]
    repeated = ask(folder, *shlex.split(line)[3:])
    assert repeated.out == first.out


@pytest.mark.long
def test_what_was_made_by_hand_is_found(here: Path, done: tuple[Path, Answer]) -> None:
    assert ask(here, "draw", "--recipe", "recipe.toml", "--seed", "3").code == 0
    assert ask(here, "spend", "--tweaks", "ls").code == 0
    result = ask(here, "reproduce", "mine.toml", "--dry-run", "--json").json["result"]
    assert [draw["there"] for draw in result["draws"]] == [True, False]
    assert result["cost"]["trainings"] == 3
    assert ask(here, "reproduce", "mine.toml").out == done[1].out


@pytest.mark.long
def test_what_is_there_needs_no_torch(done: tuple[Path, Answer]) -> None:
    loaded = _loaded(done[0], "reproduce mine.toml")
    assert "torch" not in loaded["reproduce mine.toml"]


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("phase", [2, 3])
def test_stopped_it_goes_on_to_the_same_bytes(
    number: signal.Signals, code: int, phase: int, here: Path, done: tuple[Path, Answer], monkeypatch: Any
) -> None:
    """Stopped in the second level of the first draw, and in the spend."""
    begin = Lines.phase

    def stopping(self: Lines, name: str, epochs: float, past: float) -> None:
        begin(self, name, epochs, past)
        if self.fit == phase:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Lines, "phase", stopping)
        stopped = ask(here, "reproduce", "mine.toml")
    assert stopped.code == code, stopped.err
    assert "the same command goes on from here" in stopped.complaint
    assert ask(here, "reproduce", "mine.toml").out == done[1].out
    assert files_below(here) == files_below(done[0])


def test_a_scaled_run_is_called_no_reproduction(here: Path) -> None:
    answer = ask(here, "reproduce", "mine.toml", "--scale", "0.5", "--seed", "3", "--rows", "vanilla")
    assert answer.code == 0, answer.err
    assert "scaled by 0.5: this is no reproduction of the paper" in answer.out
    assert "1 seed, where the paper has 2" in answer.out
    assert "epochs 1 instead of 2" in answer.out
    assert "label smoothing" not in answer.out


def test_the_tables_own_data_are_no_other_data(here: Path) -> None:
    for words, cautions in (((), 0), (("--data", "digits"), 0), (("--data", "mnist", "--offline"), 1)):
        answer = ask(here, "reproduce", "mine.toml", "--dry-run", *words)
        assert answer.code == 0, answer.err
        assert answer.out.count("no reproduction of the paper") == cautions


def test_a_dry_run_of_what_is_there_says_that_nothing_is_to_be_trained(done: tuple[Path, Answer]) -> None:
    answer = ask(done[0], "reproduce", "mine.toml", "--dry-run")
    assert "time        none: nothing is to be trained" in answer.out


def test_when_everything_diverges_it_ends_with_4(tmp_path: Path) -> None:
    folder = write(tmp_path / "bad", lr="1e30")
    answer = ask(folder, "reproduce", "mine.toml", "--json")
    assert answer.code == 4
    assert answer.json["error"]["code"] == "E_DIVERGED"
    assert len(answer.json["result"]["faults"]) == 2


def test_data_that_are_not_here(here: Path) -> None:
    name = ("reproduce", "001:A2", "--offline", "--rows", "LTH", "--levels", "0", "--seed", "0")
    answer = ask(here, *name)
    assert answer.code == 5
    assert "cifar" in answer.complaint
    assert not (here / "runs").exists()
    plan = ask(here, *name, "--dry-run")
    assert plan.code == 0
    assert "time        unknown" in plan.out
    assert "unknown     resnet18 on cifar100: not here" in plan.out


def test_labels_that_cannot_be_read_are_refused_by_a_dry_run_too(here: Path) -> None:
    with open(here / "recipe.toml", "a") as file:
        file.write('data.noise.kind = "file"\ndata.noise.path = "/nonesuch.npy"\n')
    for words in (("--dry-run",), ()):
        answer = ask(here, "reproduce", "mine.toml", *words)
        assert answer.code == 5
        assert "/nonesuch.npy: cannot be read" in answer.complaint


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["001:A9"], "no table '001:A9'; did you mean"),
        (["mine.tom"], "no table"),
        (["recipe.toml"], "table recipe.toml:"),
        (["mine.toml", "--rows", "vanila"], "did you mean 'vanilla'?"),
        (["mine.toml", "--levels", "7"], "no row has level 7; there are sparsities 0, 0.2"),
        (["mine.toml", "--seed", "x"], "write 0, 0-2"),
        (["mine.toml", "--device", "gpu"], "no device named 'gpu'"),
        (["mine.toml", "--data", "digitz"], "did you mean 'digits'?"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_reproduced(words: list[str], says: str, here: Path) -> None:
    before = sorted(here.rglob("*"))
    answer = ask(here, "reproduce", *words, "--json")
    assert answer.code == 2
    assert says in answer.complaint
    assert sorted(here.rglob("*")) == before


def test_a_tweak_that_does_not_fit_is_refused_before_anything_is_drawn(here: Path) -> None:
    (here / "mine.toml").write_text(TABLE.replace('["ls"]', '["skip"]'))
    answer = ask(here, "reproduce", "mine.toml")
    assert answer.code == 2
    assert "skip" in answer.complaint
    assert not (here / "runs").exists()


def test_seeds_that_are_not_as_many_as_the_table_says(here: Path) -> None:
    (here / "mine.toml").write_text(TABLE.replace("[3, 5]", "[3, 3]"))
    assert "seed_list has as many different seeds" in ask(here, "reproduce", "mine.toml").complaint
    shutil.rmtree(here)
