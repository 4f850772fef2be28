"""`ticketctl audit` from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.conftest import ask
from ticketctl.artifacts.compact import decode_compact
from ticketctl.artifacts.report import decode_report
from ticketctl.cli.audited import Measured
from ticketctl.metrics import accuracy, ece

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
    result = ask(home, "audit", "--metrics", METRICS, "--json", "-q").json["result"]
    (record,) = result["runs"]
    assert (result["verdict"], record["compact"]) == (None, None)
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
    assert [one["run"] for one in answer.json["result"]["runs"]] == names
    shutil.rmtree(Path(names[1]) / "audit-work")
    told = ask(home, "audit", *names, "--metrics", "ece").err.splitlines()
    first, line = (line for line in told if "audit of" in line)
    assert first == f"[1/2] audit of {names[0]}: measured before"
    assert line.startswith(f"[2/2] audit of {names[1]}: 1 metric, about ")


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
        (["--recheck", "runs", "--compact"], "--recheck measures nothing"),
        (["--recheck", "nowhere"], "no folder nowhere"),
        (["--against", "nix"], "no run 'nix'"),
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
    together = ask(home, "audit", *names, *words).json["result"]["runs"]
    for name in names:
        shutil.rmtree(Path(name) / "audit-work")
        shutil.rmtree(Path(name) / "samples")
    alone = [ask(home, "audit", name, *words).json["result"]["runs"][0]["report"] for name in names]
    assert [one["report"] for one in together] == alone


@pytest.fixture(scope="module")
def judged(home: Path) -> Path:
    """The folder of a verdict on the ticket in `home`."""
    answer = ask(home, "audit", "--metrics", "accuracy,ece", "--against", "dense", "--json", "-q")
    assert answer.code == 1, answer.err
    result = answer.json["result"]
    assert [one["subject"]["level"] for one in result["runs"]] == [1, 0]
    assert result["verdict"]["outcome"] == "incomplete"
    return home / result["verdict"]["folder"]


def test_a_verdict_is_judged_again_to_the_same_from_its_folder_alone(judged: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(judged, tmp_path / judged.name)
    answer = ask(tmp_path, "audit", "--recheck", str(elsewhere))
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    rows = {line.split()[0]: line.split() for line in answer.out.splitlines() if line}
    assert (rows["accuracy"][-1], rows["ece"][-1]) == ("pass", "pass")
    assert answer.out.splitlines()[-1].endswith("judged again from the reports beside it: the same")


@pytest.mark.parametrize(("name", "code"), [("verdict.json", "E_MANIFEST"), ("reports/audit-*", "E_STORE")])
def test_a_damaged_verdict_is_refused_by_its_code(judged: Path, tmp_path: Path, name: str, code: str) -> None:
    folder = shutil.copytree(judged, tmp_path / judged.name)
    file = sorted(folder.glob(name))[0]
    file.write_bytes(file.read_bytes()[:-9])
    answer = ask(tmp_path, "audit", "--recheck", folder.name)
    assert (answer.code, answer.out) == (3, "")
    assert f"[{code}" in answer.complaint
    next(folder.glob(name)).unlink()
    assert "[E_FILE_MISSING]" in ask(tmp_path, "audit", "--recheck", folder.name).complaint


def test_a_run_of_other_data_is_refused_before_anything_is_measured(home: Path, tmp_path: Path) -> None:
    place = shutil.copytree(home / "runs", tmp_path / "runs")
    for folder in [*place.rglob("reports"), *place.rglob("audit-work")]:
        shutil.rmtree(folder)
    arrays = {
        f"{part}_{kind}": values
        for part, count in (("train", 60), ("test", 40))
        for kind, values in (
            ("images", np.zeros((count, 1, 8, 8), np.uint8)), ("labels", np.arange(count) % 10),
        )
    }  # fmt: skip
    save_file(arrays, tmp_path / "other.safetensors")
    words = ("--data", "tensors:other.safetensors", "--rounds", "1", "--epochs", "1")
    assert ask(tmp_path, "draw", "-q", *words).code == 0
    (other,) = place.glob("*-other/*/seed-0/levels/0")
    answer = ask(tmp_path, "audit", "lenet-300-100-digits", "--metrics", "accuracy", "--against", str(other))
    assert (answer.code, answer.out) == (8, "")
    assert "a verdict is over nets of one data set" in answer.complaint
    assert not [*place.rglob("reports"), *place.rglob("audit-work")]


def test_the_compacted_net_of_an_mlp_lies_beside_its_run_and_is_named(home: Path) -> None:
    words = ("--metrics", "accuracy", "-q", "--compact")
    (record,) = ask(home, "audit", *words, "--json").json["result"]["runs"]
    file = home / record["compact"]
    assert file == home / record["run"] / "compact/final.safetensors"
    assert decode_compact(file.read_bytes(), where="here").subject == record["subject"]["weights"]
    assert ask(home, "audit", *words).out.splitlines()[-1] == f"compact net in {record['compact']}"
    judged = ask(home, "audit", *words, "--against", "dense").out.splitlines()
    assert [line.rpartition("levels/")[2] for line in judged if line.startswith("compact net in")] == [
        "1/compact/final.safetensors", "0/compact/final.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("says", "code"),
    [("odd", 70), ("CUDA out of memory", 10), ("put_ does not have a deterministic implementation", 2)],
)
def test_a_metric_that_breaks_is_named_with_the_way_around_it_and_what_is_done_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: int
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(says)

    for part in home.rglob("audit-work"):
        shutil.rmtree(part)
    monkeypatch.setattr(ece, "measure", broken)
    answer = ask(home, "audit", "-q", "--metrics", "nll,ece,accuracy")
    assert answer.code == code
    assert len(answer.err.strip().splitlines()) == 1
    if code == 70:
        assert f"RuntimeError: {says}; what was measured before it is kept" in answer.err
        assert "bug of ticketctl: RuntimeError: metric ece of " in answer.err
        assert "; all but it: --metrics accuracy,nll" in answer.err
    monkeypatch.setattr(accuracy, "measure", broken)
    assert ask(home, "audit", "-q", "--metrics", "accuracy,nll").code == 0


def test_of_a_measured_report_no_array_is_held_but_what_a_verdict_is_read_from(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Measured] = []
    monkeypatch.setattr("ticketctl.cli.audit.show_audits", lambda found, json: seen.extend(found))
    words = ("--set", "audit.images=20", "--set", "audit.corruptions=['fog']")
    assert ask(home, "audit", "-q", "--metrics", "corruption,ece", *words).code == 0
    (one,) = seen
    whole = decode_report((home / one.file).read_bytes(), where="here")
    assert whole.id == one.report.id
    assert {"corruption/wrong"} == {*one.report.arrays} < {*whole.arrays}


def test_a_value_at_the_end_of_its_search_is_shown_as_a_bound(home: Path) -> None:
    words = ["audit", "-q", "--metrics", "pac-bayes", "--set", "metrics.pac-bayes.tolerance=1"]
    words += ["--set", "metrics.pac-bayes.images=20", "--set", "metrics.pac-bayes.factor=1e9"]
    lines = ask(home, *words).out.splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["pac-bayes.input", "at", "least", "2"], ["pac-bayes.weight", "at", "least", "5"],
    ]  # fmt: skip
    words[-1] = "metrics.pac-bayes.factor=1.000001"
    (record,) = ask(home, *words, "--json").json["result"]["runs"]
    assert [(row["value"], row["bound"]) for row in record["metrics"]] == [
        (0.0, "at most 1"), (0.0, "at most 0.625"),
    ]  # fmt: skip


def test_runs_of_a_folder_are_named_as_it_was_typed(home: Path) -> None:
    (run,) = home.glob("runs/*/*/seed-0/levels/0")
    folder = run.parent.relative_to(home)
    line = ("--metrics", "accuracy", "--dry-run", "--json")
    told = ask(home, "audit", str(folder), *line).json["result"]["runs"]
    assert str(folder / "0") in [one["run"] for one in told]
    below = ask(home, "audit", str(folder.relative_to("runs")), *line).json["result"]["runs"]
    whole = ask(home, "audit", str(run.parent), *line).json["result"]["runs"]
    assert [one["run"] for one in below] == [one["run"] for one in told]
    assert [one["run"] for one in whole] == [str(home / one["run"]) for one in told]
