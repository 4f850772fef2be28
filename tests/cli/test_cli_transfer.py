"""`ticketctl transfer` from the command line."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.conftest import ask
from ticketctl.data.digits import FILE
from ticketctl.stages.estimate import speed_of
from ticketctl.store.tensors import parse_tensors

FAST = ("--keep", "mask", "--set", "train.epochs=1")


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)
    monkeypatch.setattr("ticketctl.stages.transfer_fit.speed_of", partial(speed_of, seconds=0.01))


@pytest.fixture(scope="module")
def place(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a ticket of the digits; beside it the same digits twice as large, in colour: low or high."""
    folder = tmp_path_factory.mktemp("place") / "here"
    shutil.copytree(drawn, folder, copy_function=shutil.copy2)
    tensors, _ = parse_tensors(FILE.read_bytes(), where="digits")
    images, labels = tensors["images"].array(), tensors["labels"].array().astype(np.int64)
    large = np.repeat(np.kron(images * 15, np.ones((1, 1, 2, 2))), 3, axis=1).astype(np.uint8)
    parts = {"train": slice(0, 300), "test": slice(300, 420)}
    arrays = {f"{part}_images": large[rows] for part, rows in parts.items()}
    arrays |= {f"{part}_labels": labels[rows] // 5 for part, rows in parts.items()}
    save_file(
        {name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "low.safetensors"
    )
    return folder


def test_a_net_is_transferred_beside_its_references_and_their_reports_are_sound(place: Path) -> None:
    run = str(next(place.glob("runs/*/*/seed-0/levels/2")))
    answer = ask(place, "transfer", run, "--to", "tensors:low.safetensors", "--controls", "-q")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == ("tensors: 2 classes; 270 images to train on, 30 to choose by, 120 test; 8 x 8, grey")
    assert lines[1] == f"below {Path(run).parents[1]}/"
    assert lines[2].split() == ["net", "transfer"]
    ways = ["levels/2, to tensors", "levels/0, to tensors", "levels/0, retrained on tensors"]
    assert all(line.startswith(way) for way, line in zip(ways, lines[3:6], strict=True))
    assert all(float(line.split()[-3]) > 0.6 for line in lines[3:5]), answer.out
    for line in lines:
        if line.startswith("report in "):
            file = line.removeprefix("report in ")
            assert ask(place, "verify", file).code == 0
            assert "transfer" in ask(place, "inspect", file).out
    again = ask(place, "transfer", run, "--to", "tensors:low.safetensors", "--controls")
    assert again.out == answer.out
    assert "epoch" not in again.err
    assert again.err.count(": measured before") == 2
    assert again.err.count(": trained before") == 1


def test_all_weights_are_trained_with_keep_and_the_run_is_audited_by_its_folder(place: Path) -> None:
    words = ("transfer", "--to", "tensors:low.safetensors", *FAST, "--json", "-q")
    (record,) = ask(place, *words).json["result"]["nets"]
    assert record["target"]["form"] == [1, 8, 8]
    assert record["net"].endswith("@2, untrained, to tensors")
    values = {row["name"]: row["value"] for row in record["metrics"]}
    assert values["transfer-head.parameters"] == 2 * 101
    folder = Path(record["file"]).parents[1]
    assert ask(place, "verify", str(folder)).code == 0
    audited = ask(
        place,
        "audit",
        str(folder),
        "--data",
        "tensors:low.safetensors",
        "--metrics",
        "accuracy",
        "--json",
        "-q",
    ).json["result"]["runs"][0]
    assert audited["metrics"][0]["value"] == values["transfer"]


@pytest.mark.long
def test_where_the_nets_own_data_lie_is_known_by_its_draw_or_asked_for_before_any_work(
    place: Path, tmp_path: Path
) -> None:
    shutil.copy(place / "low.safetensors", tmp_path)
    words = ("--data", "tensors:low.safetensors", "--rounds", "1", "--epochs", "1")
    assert ask(tmp_path, "draw", "-q", *words).code == 0
    (run,) = (str(path.relative_to(tmp_path)) for path in tmp_path.glob("runs/*/*/seed-0/levels/1"))
    moved = ("transfer", run, "--to", "digits", "-q")
    assert ask(tmp_path, *moved).code == 0
    (tmp_path / "low.safetensors").rename(tmp_path / "moved.safetensors")
    own = str(next(place.glob("runs/*/*/seed-0/levels/2")))
    for words in (moved, ("probe", own, run, "-q"), ("interpolate", own, run, "-q")):
        answer = ask(tmp_path, *words)
        assert (answer.code, answer.out) == (2, "")
        assert (
            f"{run} was made on tensors, and where that lies is not known here; write --data"
            in answer.complaint
        )
    assert ask(tmp_path, *moved, "--data", "tensors:moved.safetensors").code == 0


def test_a_dry_run_to_data_that_are_not_here_says_so(place: Path, tmp_path: Path) -> None:
    words = ("--to", "cifar100", "--keep", "mask", "--dry-run", "-q", "--data-dir", str(tmp_path))
    answer = ask(place, "transfer", *words)
    assert answer.code == 0, answer.err
    assert "time        not known: a dry run fetches nothing: " in answer.out


def test_levels_are_transferred_each_and_a_ticket_is_said_to_be_untrained(place: Path) -> None:
    words = ("transfer", "--to", "tensors:low.safetensors", "--level", "1-2")
    told = ask(place, *words)
    assert "a ticket is taken untrained" in told.err
    assert "\nticket@1, untrained, to tensors" in told.out
    trained = ask(place, *words, "--set", "transfer.of=trained")
    assert "untrained" not in trained.out + trained.err
    assert "levels/1, to tensors" in trained.out


def test_a_dry_run_writes_nothing_and_prices_heads_and_trainings(place: Path) -> None:
    before = sorted(place.rglob("*"))
    for more in ((), ("--keep", "mask+init"), ("--controls",)):
        answer = ask(
            place, "transfer", "--to", "tensors:low.safetensors", "--seed", "3", *more, "--dry-run", "-q"
        )
        assert answer.code == 0, answer.err
        assert "time        about" in answer.out
        assert answer.out.count("to train    1 training, 1 epochs and 5 steps in all") == bool(more)
    words = (
        "transfer",
        "--to",
        "tensors:low.safetensors",
        "--seed",
        "3",
        "--controls",
        "--dry-run",
        "-q",
        "--json",
    )
    head, dense, retrained = ask(place, *words).json["result"]["nets"]
    assert not {"cost"} & (head.keys() | dense.keys())
    assert (retrained["cost"]["trainings"], retrained["cost"]["epochs"], retrained["cost"]["steps"]) == (
        1,
        1,
        5,
    )
    assert retrained["measures"][0]["seconds"] == retrained["cost"]["seconds"] > 0
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--to is missing: the data set to transfer to"),
        (["--to", ""], "--to is missing"),
        (["--to", "digits"], "the net was made on it"),
        (["--to", "imagefolder"], "--to imagefolder needs a place: write --to imagefolder:PATH"),
        (["--to", "mnst"], "no data set named 'mnst'; did you mean 'mnist'?"),
        (["--to", "tensors:nowhere.safetensors"], "there is no nowhere.safetensors"),
        (["nix", "--to", "mnist"], "no ticket or run 'nix'"),
        (["--to", "mnist", "--keep", "all"], "--keep: must be 'mask+init' or 'mask', not 'all'"),
        (["--to", "mnist", "--seed", "0-2"], "--seed: one is taken here"),
        (
            ["--to", "mnist", "--keep", "mask", "--set", "transfer.train=head"],
            "keep = mask is for train = all",
        ),
        (["--to", "mnist", "--set", "train.lr=1"], "[train] is for transfer.train = all"),
        (["--to", "mnist", "--set", "spend.tweaks=['ls']"], "transfer has"),
        (["--to", "mnist", "--recipe", "base/lenet-300-100-digits"], "its recipes begin with transfer/"),
        (["--to", "mnist", "--set", "metrics.transfer.lr=-1"], "metrics.transfer.lr"),
        (["--to", "mnist", "--model", "lenet-300-100", "--level", "1"], "leave out NET and --level"),
    ],
)
def test_what_cannot_be_gets_one_line(place: Path, words: list[str], says: str) -> None:
    answer = ask(place, "transfer", "-q", "--offline", *words)
    assert answer.code in (2, 5)
    assert says in answer.complaint
