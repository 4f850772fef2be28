"""`ticketctl audit` from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import ask

METRICS = "accuracy,ece,ood,temperature"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    assert ask(folder, "draw", "-q", "--rounds", "1", "--epochs", "1").code == 0
    return folder


def test_the_newest_run_is_audited_and_its_report_is_shown_verified_and_inspected(home: Path) -> None:
    table = ask(home, "audit", "--metrics", METRICS)
    assert table.code == 0, table.err
    rows = {line.split()[0]: line.split() for line in table.out.splitlines()[1:-1]}
    assert rows["accuracy"][-1] == "higher"
    assert rows["ece"][-1] == "lower"
    record = ask(home, "audit", "--metrics", METRICS, "--json", "-q").json["result"]
    values = {row["name"]: row["value"] for row in record["metrics"]}
    assert f"{values['accuracy']:.4f}" == rows["accuracy"][1]
    assert table.out.splitlines()[-1] == f"report in {record['file']}"
    assert ask(home, "verify", record["file"]).code == 0
    assert ask(home, "verify", record["run"]).code == 0
    assert record["report"] in ask(home, "inspect", record["file"]).out


def test_a_dry_run_writes_nothing_and_says_how_long_each_metric_takes(home: Path) -> None:
    before = sorted(home.rglob("*"))
    answer = ask(home, "audit", "--dry-run", "--metrics", "ece,nll,sce")
    assert [line.split()[0] for line in answer.out.splitlines()[1:4]] == ["ece", "nll", "sce"]
    assert "time        about" in answer.out
    (found,) = ask(home, "audit", "--dry-run", "--json").json["result"]["runs"]
    assert all(row["seconds"] > 0 for row in found["metrics"] if not row["there"] and not row["missing"])
    assert sorted(home.rglob("*")) == before


def test_several_runs_are_audited_one_after_the_other(home: Path) -> None:
    names = [str(path.parent) for path in sorted(home.rglob("levels/*/run.json"))]
    answer = ask(home, "audit", *names, "--metrics", "ece", "--json", "-q")
    assert [one["run"] for one in answer.json["result"]["audits"]] == names


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nix"], "no run 'nix'"),
        (["--metrics", "eec"], "no metric named 'eec'; did you mean 'ece'?"),
        (["--set", "train.lr=1"], "a run is audited as it was trained"),
        (["--data", "mnist"], "trained on digits, not on mnist"),
        (["--set", "audit.ood=['mnist']", "--offline"], ""),
        (["--seed", "-1"], "--seed"),
        (["--quick", "--full"], "an audit has one recipe"),
        (["--recipe", "base/lenet-300-100-digits"], "trains, and an audit does not"),
        (["--recipe", "audit/quik"], "did you mean 'audit/quick'?"),
        (["--set", "data.name=5"], "data.name: must be text"),
        (["--metrics", "ece", "--set", "metrics.ece.bins=0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_gets_one_line(home: Path, words: list[str], says: str) -> None:
    answer = ask(home, "audit", "-q", *words)
    assert answer.code in (2, 5)
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert says in answer.err


def test_metrics_are_listed_and_explained(home: Path) -> None:
    assert "ece" in ask(home, "list", "metrics").out
    assert "bins" in ask(home, "list", "metrics", "ece").out


def test_nets_of_one_command_are_shown_the_same_images_as_alone(home: Path) -> None:
    names = [str(path.parent) for path in sorted(home.rglob("levels/*/run.json"))]
    words = (
        "--metrics",
        "corruption",
        "--set",
        "audit.images=20",
        "--set",
        "audit.severities=[2]",
        "--json",
        "-q",
    )
    together = ask(home, "audit", *names, *words).json["result"]["audits"]
    for name in names:
        shutil.rmtree(Path(name) / "audit-work")
        shutil.rmtree(Path(name) / "samples")
    alone = [ask(home, "audit", name, *words).json["result"]["report"] for name in names]
    assert [one["report"] for one in together] == alone
