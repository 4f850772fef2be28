"""The onset of stability from the command line: `ticketctl interpolate --recipe interpolate/onset`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import ask

ONSET = ("interpolate", "--recipe", "interpolate/onset", "--set", "onset.inits=2", "--set", "onset.twins=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    assert ask(folder, "draw", "-q", "--rounds", "1", "--epochs", "2").code == 0
    return folder


def test_a_dry_run_says_what_it_takes_and_writes_nothing(home: Path) -> None:
    before = sorted(home.rglob("*"))
    lines = ask(home, *ONSET, "--dry-run").out.splitlines()
    assert lines[1:3] == [
        "to evaluate at most 4 epochs, of 2 initialisations",
        "to train    at most 10 trainings, 14 epochs and 294 steps in all",
    ]
    assert lines[3].startswith("time        at most about")
    assert sorted(home.rglob("*")) == before


def test_epochs_and_scale_stretch_what_is_trained(home: Path) -> None:
    for words in (("--epochs", "4"), ("--scale", "2")):
        lines = ask(home, *ONSET, *words, "--dry-run").out.splitlines()
        assert lines[1:3] == [
            "to evaluate at most 6 epochs, of 2 initialisations",
            # by hand: twins of epochs 0, 1, 2 of 4, and the dense net to the third
            "to train    at most 14 trainings, 42 epochs and 882 steps in all",
        ]
    both = ask(home, *ONSET, "--epochs", "4", "--scale", "2")
    assert (both.code, both.out) == (2, "")
    assert "give one of them" in both.complaint


@pytest.mark.long
def test_the_newest_tickets_onset_is_found_shown_and_written(home: Path) -> None:
    answer = ask(home, *ONSET, "--json", "-q")
    assert answer.code == 0, answer.err
    (net,) = answer.json["result"]["nets"]
    values = {row["name"]: row["value"] for row in net["metrics"]}
    assert values["onset"] == (values["onset.init-0"] + values["onset.init-1"]) / 2
    assert ask(home, "verify", net["file"]).code == 0
    table = ask(home, *ONSET)
    assert table.out.splitlines()[-1] == f"report in {net['file']}"
    assert f"onset of {Path(net['file']).parents[1]}: at most 10 trainings" in table.err
    assert "to train    none: all of it is there" in ask(home, *ONSET, "--dry-run").out
    (due,) = ask(home, *ONSET, "--dry-run", "--json").json["result"]["nets"]
    assert due["at_most"]["trainings"] == due["at_most"]["evaluations"] == 0
    assert ask(home, "list", "runs").code == 0


def test_of_a_model_whose_data_are_not_here_a_dry_run_says_what_it_can(home: Path) -> None:
    lines = ask(home, *ONSET, "--dry-run", "--model", "lenet-300-100", "--data", "mnist").out.splitlines()
    assert lines[0].startswith("onset of runs/lenet-300-100-mnist/onset-")
    assert lines[1:4] == [
        "to evaluate at most 16 epochs, of 2 initialisations",
        # by hand: twins of epochs 100, 50, 25, 12, 6, 3, 1, 0 go on to 200, and the dense net to 199
        f"to train    at most 34 trainings, {2 * (199 + 2 * (1600 - 197))} epochs in all",
        "time        not known: mnist is not here, and a dry run fetches nothing",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--twins", "3"], "write --set onset.twins=3"),
        (["--level", "1"], "the onset is of the dense net; leave it out"),
        (["--set", "onset.twin=3"], "did you mean 'twins'?"),
        (["--set", "curves.line.threshold=3"], "onset.threshold says what is stable"),
        (["--model", "lenet-300-100", "--data", "mnist", "--offline"], "is not here and --offline forbids"),
    ],
)
def test_what_cannot_be_gets_one_line(home: Path, words: list[str], says: str) -> None:
    answer = ask(home, *ONSET, "-q", *words)
    assert answer.code in (2, 5)
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert says in answer.err
