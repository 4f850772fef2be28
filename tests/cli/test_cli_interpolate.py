"""`ticketctl interpolate` from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import ask
from tests.cli.ladder import FEW, PLANE, files, levels, report_in, second_reading, seed_0
from tests.stages.other_runs import as_run, exchanged
from ticketctl.artifacts.run import open_run
from ticketctl.curves import line


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    assert ask(folder, "draw", "-q", "--rounds", "1", "--epochs", "1").code == 0
    return folder


def test_a_ladder_is_measured_between_its_trained_levels_and_the_report_is_shown_verified_and_read(
    home: Path,
) -> None:
    table = ask(home, "interpolate", "--level", "all", *FEW)
    assert table.code == 0, table.err
    rows = {text.split()[0]: text.split() for text in table.out.splitlines()}
    (record,) = ask(home, "interpolate", "--level", "all", *FEW, "--json", "-q").json["result"]["nets"]
    assert record["net"] == f"{seed_0(home)}/ticket@0,1, trained"
    assert table.out.splitlines()[-1] == f"report in {record['file']}"
    values = {row["name"]: row["value"] for row in record["metrics"]}
    assert rows["barrier"][1] == f"{values['barrier']:.4f}"
    assert rows["barrier"][-1] == "lower"
    found = report_in(home, record)
    assert [end["name"] for end in found.recipe["ends"]] == ["level-0", "level-1"]
    assert [end["run_id"] for end in found.recipe["ends"]] == [
        open_run(home / each).manifest.run_id for each in levels(home)
    ]
    assert (found.subject.run_id, found.subject.level) == ("untrained", 1)
    assert ask(home, "verify", record["file"]).code == 0
    assert ask(home, "verify", f"{seed_0(home)}/ticket").code == 0
    assert found.id in ask(home, "inspect", record["file"]).out
    about, arrays = second_reading(home / record["file"])
    assert (about["report_id"], about["format_version"]) == (found.id, "1.1")
    assert arrays["array/line/alphas"].tolist() == [0, 0.5, 1]


def test_a_dry_run_writes_nothing_and_says_what_would_be_measured(home: Path) -> None:
    before = files(home)
    words = ("--level", "all", *FEW, "--seed", "5", "--dry-run")
    lines = ask(home, "interpolate", *words).out.splitlines()
    assert lines[0] == f"{seed_0(home)}/ticket@0,1, trained:"
    assert lines[2].split()[0] == "line"
    assert "would write to " in lines[-1]
    (record,) = ask(home, "interpolate", *words, "--json").json["result"]["nets"]
    assert [(row["name"], row["there"]) for row in record["measures"]] == [("line", False)]
    assert record["measures"][0]["seconds"] > 0
    assert files(home) == before
    assert ask(home, "interpolate", *words[:-1], "-q").code == 0
    assert "none: all of it is there" in ask(home, "interpolate", *words).out


def test_two_runs_are_measured_and_the_report_lies_in_the_first(home: Path) -> None:
    dense, ticket = levels(home)
    (record,) = ask(home, "interpolate", ticket, dense, *FEW, "--json", "-q").json["result"]["nets"]
    assert record["net"] == f"{ticket} to {dense}"
    assert record["file"].startswith(f"{ticket}/reports/interpolate-")
    assert ask(home, "verify", ticket).code == 0
    values = {row["name"]: row["value"] for row in record["metrics"]}
    errors = report_in(home, record).arrays["line/val.error.recalibrate"][0]
    assert values["barrier"] == pytest.approx(100 * (errors.max() - (errors[0] + errors[-1]) / 2))
    three = ask(home, "interpolate", ticket, dense, ticket, *FEW, "--json", "-q").json["result"]["nets"]
    assert three[0]["net"] == f"{ticket} to 2 others"
    rows = {row["name"]: row["value"] for row in three[0]["metrics"]}
    assert rows["barrier@0:1"] == rows["barrier@1:2"] == values["barrier"]
    assert rows["barrier@0:2"] == 0


def test_of_equal_nets_there_is_no_barrier_under_any_policy(home: Path) -> None:
    """T25; a net with BatchNorm: tests/curves/test_line.py."""
    run = levels(home)[1]
    every = ("--set", "curves.line.policies=['recalibrate','interpolate','stored','batch']")
    (record,) = ask(home, "interpolate", run, run, *FEW, *every, "--json", "-q").json["result"]["nets"]
    rows = {row["name"]: row["value"] for row in record["metrics"]}
    barriers = {
        name: value for name, value in rows.items() if name.endswith((".barrier", ".bound", ".chord"))
    }
    assert len(barriers) == 4 * 2 * 3
    assert not any(barriers.values())
    assert (rows["barrier"], rows["stable"]) == (0, 1)


def test_units_that_changed_places_are_put_back_by_their_weights_and_by_what_they_say(
    home: Path, tmp_path: Path
) -> None:
    """T28: a planted permutation is recovered, and the barrier is 0; weights come back to the bit."""
    run = open_run(home / levels(home)[1])
    other = as_run(tmp_path / "permuted", run, *exchanged(run))
    words = ("interpolate", levels(home)[1], str(other.folder), *FEW, "--json", "-q")
    found = {}
    for align in ("none", "weights", "activations"):
        answer = ask(home, *words, "--set", f"interpolate.align={align}")
        assert answer.code == 0, answer.err
        (record,) = answer.json["result"]["nets"]
        found[align] = {row["name"]: row["value"] for row in record["metrics"]}
        assert report_in(home, record).recipe["interpolate"]["align"] == align
    assert found["none"]["barrier"] > 20
    assert found["weights"]["barrier"] == found["activations"]["barrier"] == 0
    assert found["weights"]["val.loss.recalibrate.barrier"] == 0
    assert found["none"]["val.error.recalibrate.first"] == found["none"]["val.error.recalibrate.second"]
    said = ask(home, *words[:-1], "--set", "interpolate.align=weights", "--seed", "1").err
    assert "1 aligned by weights: " in said
    assert "aligned" not in found["none"]
    numbers = np.random.default_rng(0)  # as `exchanged` draws its orders
    moved = sum(int((numbers.permutation(size) != np.arange(size)).sum()) for size in (300, 100))
    assert found["weights"]["aligned"] == moved / 400
    assert found["activations"]["aligned"] == pytest.approx(moved / 400, abs=0.02)
    again = ask(home, *words[:-2], "--set", "interpolate.align=weights").out
    (file,) = [
        text.removeprefix("report in ") for text in again.splitlines() if text.startswith("report in ")
    ]
    (line,) = [text for text in ask(home, "inspect", file).out.splitlines() if text.startswith("aligned ")]
    assert line.split()[1] == f"{moved / 400:g}"


def test_tickets_are_compared_untrained_where_that_is_asked_for(home: Path) -> None:
    words = ("--level", "all", *FEW, "--set", "interpolate.of=untrained", "--json", "-q")
    (record,) = ask(home, "interpolate", *words).json["result"]["nets"]
    assert record["net"] == f"{seed_0(home)}/ticket@0,1, untrained"
    ends = report_in(home, record).recipe["ends"]
    assert [(end["run_id"], end["ticket"] == "dense") for end in ends] == [
        ("untrained", True),
        ("untrained", False),
    ]


def test_a_landscape_is_about_each_net_trained_untrained_or_only_named(home: Path) -> None:
    nets = ask(home, "interpolate", "--level", "all", *PLANE, "--json", "-q").json["result"]["nets"]
    assert [one["net"] for one in nets] == [*levels(home)]
    assert nets[0]["metrics"][0]["name"] == "plane"
    words = (*PLANE, "--set", "interpolate.of=untrained", "--json", "-q")
    (ticket,) = ask(home, "interpolate", *words).json["result"]["nets"]
    assert ticket["net"] == f"{seed_0(home)}/ticket@1, untrained"
    words = ("--model", "lenet-300-100", "--data", "digits", *PLANE, "--json", "-q")
    (plain,) = ask(home, "interpolate", *words).json["result"]["nets"]
    assert plain["file"].startswith("runs/lenet-300-100-digits/untrained/seed-0/reports/interpolate-")
    assert plain["subject"]["ticket"] == "dense"
    start = ("--level", "0", *PLANE, "--set", "interpolate.of=untrained", "--json", "-q")
    (dense,) = ask(home, "interpolate", *start).json["result"]["nets"]
    assert dense["subject"]["weights"] == plain["subject"]["weights"]
    assert dense["metrics"] == plain["metrics"]
    lines = ask(home, "interpolate", "--level", "all", *PLANE).out.splitlines()
    assert lines[0] == f"below {seed_0(home)}/"
    assert lines[1].split() == ["net", "plane"]


@pytest.mark.long
def test_what_was_measured_is_not_measured_again_and_other_words_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, plain = [], line.walk
    monkeypatch.setattr(line, "walk", lambda *rest, **more: told.append(1) or plain(*rest, **more))
    dense, ticket = levels(home)

    def measures(*words: str) -> bool:
        told.clear()
        assert ask(home, "interpolate", "-q", *words).code == 0
        return bool(told)

    own = (dense, ticket, "--set", "curves.line.alphas=4")
    assert measures(*own)
    assert not measures(*own)
    assert measures(ticket, dense, "--set", "curves.line.alphas=4")
    assert measures(*own, "--set", "curves.line.bn_images=50")
    assert measures(*own, "--set", "interpolate.align=weights")
    assert measures(*own, "--seed", "1")
    assert not measures(*own)


@pytest.mark.parametrize(("says", "code"), [("odd", 70), ("CUDA out of memory", 10)])
def test_a_curve_that_breaks_is_named_and_what_is_done_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: int
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(says)

    monkeypatch.setattr(line, "measure", broken)
    answer = ask(home, "interpolate", "-q", "--level", "all", "--seed", "9")
    assert answer.code == code
    assert len(answer.err.strip().splitlines()) == 1
    if code == 70:
        assert "bug of ticketctl: RuntimeError: curve line of " in answer.err
        assert f"RuntimeError: {says}; what was measured before it is kept" in answer.err


def test_curves_are_listed_and_explained(home: Path) -> None:
    assert "eigenvector" in ask(home, "list", "curves").out
    assert "alphas" in ask(home, "list", "curves", "line").out
