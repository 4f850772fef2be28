"""`ticketctl interpolate --twins`: copies of a ticket under other SGD noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.cli.ladder import FEW, files, levels, report_in, seed_0
from ticketctl.artifacts.run import open_run


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a ladder was drawn, and its ticket and dense net were spent under another seed too."""
    folder = tmp_path_factory.mktemp("home")
    assert ask(folder, "draw", "-q", "--rounds", "1", "--epochs", "1").code == 0
    assert ask(folder, "spend", "-q", "--seed", "0-1").code == 0
    return folder


def test_twins_are_the_runs_of_a_spend_under_several_seeds_and_none_is_trained_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path for path in files(home) if path.endswith("run.json")]
    monkeypatch.setattr("ticketctl.stages.spend._train", lambda *_: pytest.fail("it was trained"))
    answer = ask(home, "interpolate", "--twins", "2", *FEW, "--json", "-q")
    assert answer.code == 0, answer.err
    (record,) = answer.json["result"]["nets"]
    assert record["net"] == f"{seed_0(home)}/ticket@1, 2 twins"
    assert [path for path in files(home) if path.endswith("run.json")] == before
    ends = report_in(home, record).recipe["ends"]
    (spent,) = home.glob("runs/*/imp-*/seed-0/spends/*/1-seed-1")
    assert [end["run_id"] for end in ends] == [
        open_run(home / levels(home)[1]).manifest.run_id, open_run(spent).manifest.run_id,
    ]  # fmt: skip
    (again,) = ask(home, "interpolate", "--twins", "2", *FEW, "--json", "-q").json["result"]["nets"]
    assert again["report"] == record["report"]


def test_twins_without_sgd_noise_are_told_of_in_one_line_also_in_quiet(tmp_path: Path) -> None:
    words = ("--set", "train.batch=2000", "--rounds", "1", "--epochs", "1")
    assert ask(tmp_path, "draw", "-q", *words).code == 0
    for more in (("--dry-run",), (), ()):  # before they are trained, while, and when they are there
        answer = ask(tmp_path, "interpolate", "--twins", "2", *FEW, "-q", *more)
        assert answer.code == 0, answer.err
        (line,) = [text for text in answer.err.splitlines() if "SGD noise" in text]
        assert "they are one net but for rounding, and a barrier of 0 says nothing" in line


def test_a_dry_run_of_twins_prices_their_trainings_and_trains_none(home: Path) -> None:
    before, words = files(home), ("--twins", "4", "--level", "all", *FEW, "--dry-run")
    lines = ask(home, "interpolate", *words, "-q").out.splitlines()
    assert any(text.startswith("to train    4 trainings, 4 epochs and 84 steps") for text in lines)
    assert sum(text.endswith("to train") and "/spends/" in text for text in lines) == 4
    assert not [text for text in lines if text.startswith("[")], "the recipe is the draw's"
    assert [text for text in lines if text.endswith(" twins:")] == [
        f"{seed_0(home)}/ticket@{level}, 4 twins:" for level in (0, 1)
    ]
    result = ask(home, "interpolate", *words, "-q", "--json").json["result"]
    assert result["spend"]["cost"]["trainings"] == 4
    assert result["spend"]["cost"]["seconds"] > 0
    assert [run["seed"] for run in result["spend"]["runs"] if run["level"]] == [0, 1, 2, 3]
    assert [plan["measures"][0]["seconds"] > 0 for plan in result["nets"]] == [True, True]
    assert files(home) == before
    there = ask(home, "interpolate", "--twins", "2", "--dry-run", "-q", "--set", "curves.line.alphas=4").out
    assert "/ticket@1, 2 twins:" in there
    assert "to train" not in there
    assert files(home) == before


def test_twins_of_all_levels_get_a_line_each_under_the_name_of_the_value(home: Path) -> None:
    answer = ask(home, "interpolate", "--twins", "2", "--level", "all", *FEW)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == f"below {seed_0(home)}/"
    assert lines[1].split() == ["net", "barrier"]
    assert [text.split()[0] for text in lines[2:4]] == ["ticket@0,", "ticket@1,"]
    assert [text.split(",")[1].split()[:2] for text in lines[2:4]] == [["2", "twins"]] * 2
    assert all(len(text.partition("twins")[2].split()) == 3 for text in lines[2:4])  # value ± error
    assert sum(text.startswith("report in ") for text in lines) == 2
