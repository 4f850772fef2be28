"""What `audit --against` and `audit --recheck` print, and how they end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.artifacts import hostile_verdicts, verdicts
from ticketctl.cli.verdict import recheck, show_verdict
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.stages.verdict import Rule, judge
from ticketctl.stages.verdict_inputs import Net
from ticketctl.stages.verdict_values import STANDARD


def ended(folder: Path, as_json: bool = False) -> int:
    """The exit code of a recheck."""
    try:
        recheck(folder, as_json)
    except typer.Exit as end:
        return end.exit_code
    return 0


def test_a_pass_ends_with_0_and_shows_every_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = verdicts.written(tmp_path, verdicts.passing())
    assert ended(folder) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "rule s004: accuracy at most one point below dense, " \
        "every other metric at most one pooled standard error worse"  # fmt: skip
    assert lines[2] == "imp at 90.00 %: pass (seeds 0, 1)"
    assert lines[4].split() == ["accuracy", "0.8975", "0.0025", "0.902", "0.002", "0.0045", "0.01", "pass"]
    assert [line.split()[7] for line in lines[4:13]] == ["pass"] * 9
    assert lines[5].endswith("pass  relative mCE 0.9704")
    assert lines[-1] == f"verdict in {folder}; judged again from the reports beside it: the same"
    assert said.err == ""
    assert ended(folder / "verdict.json") == 0


def test_a_fail_ends_with_1_says_why_and_shows_flags_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = verdicts.written(tmp_path, verdicts.ladder())
    assert ended(folder) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "ticketctl: fail: imp at 98.00 %: fails accuracy, nll, random at 90.00 %: without fgsm"
    ]
    lines = said.out.splitlines()
    flagged = lines.index("random at 90.00 %: this net of seed 0 is collapsed")
    assert lines[flagged + 2] == "random at 90.00 %: incomplete (seeds 0, 1)"
    assert "imp at 98.00 %: left out, without a partner: seed 7" in lines
    assert any(line.endswith("missing  came out as nan") for line in lines)
    at = lines.index("imp: LTH-PASS sparsity 90.00 %")
    assert lines[at + 2].split() == ["accuracy", "90.00", "98.00"]
    chart = next(place for place, line in enumerate(lines) if line.startswith("radar  "))
    assert lines[chart + 1].split()[:3] == ["dense", "1", "1"]
    assert lines[chart + 6].split()[0] == "raw"


def test_one_seed_is_told_to_be_indicative(capsys: pytest.CaptureFixture[str]) -> None:
    show_verdict(judge(verdicts.single(), Rule(tol_rel=0.1)), json=False)
    out = capsys.readouterr().out
    assert "imp at 90.00 %: pass, indicative: one seed (seed 0)" in out
    assert "one pooled standard error or 0.1 of dense worse" in out


def test_what_is_to_be_known_of_a_value_stands_beside_it_or_below_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nets = [verdicts.net([verdicts.audit("imp-0", {"ece": None})], [verdicts.audit("dense-0")])]
    with pytest.raises(typer.Exit):
        show_verdict(judge(nets, Rule()), json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("missing  came out as nan") for line in lines)
    assert any(line.startswith("mce ") and line.endswith("pass  relative mCE 1") for line in lines)
    assert (
        "mce: its error takes both nets for independent: not both reports have the errors of each image"
        in lines
    )
    assert max(map(len, lines)) <= 120
    fewer = [f"corruption.{name}" for name in STANDARD if name != "fog"]
    reports = [verdicts.audit(run, without=fewer) for run in ("imp-0", "dense-0")]
    with pytest.raises(typer.Exit):
        show_verdict(judge([verdicts.net(reports[:1], reports[1:])], Rule()), json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["mce", "missing"] for line in lines)
    assert any(line.startswith("mce: 14 of 15 corruptions not shown: ") for line in lines)


def levels_of(changes: Mapping[str, Mapping[str, float]], seeds: int = 1) -> list[Net]:
    """Levels of one ladder: by density, what of a good net is otherwise."""
    dense = [verdicts.audit(f"dense-{seed}") for seed in range(seeds)]
    return [
        verdicts.net(
            [verdicts.audit(f"imp-{density[2:]}-{seed}", change) for seed in range(seeds)],
            dense, name=f"imp at {density}", density=density,
        )
        for density, change in changes.items()
    ]  # fmt: skip


def lth_pass_line(nets: Sequence[Net], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(typer.Exit):
        show_verdict(judge(nets, Rule()), json=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "LTH-PASS" in line]
    return line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"1/2": {}, "1/4": {}, "1/8": {"nll": 0.5}}, "75.00 %"),
        (
            {"1/2": {"nll": 0.5, "ece": 0.9}, "1/4": {}, "1/8": {"nll": 0.5}},
            "75.00 %; not every level up to it passes: 50.00 % fails in ece, nll",
        ),
        (
            {"1/2": {}, "1/4": {"ece": 0.9}, "1/8": {"nll": 0.5}},
            "75.00 %; not every level up to it passes: 75.00 % fails in ece",
        ),
        ({"1/2": {"nll": 0.5}, "1/4": {"nll": 0.5}}, "none"),
    ],
)
def test_the_lth_pass_line_says_that_it_is_indicative_and_what_fails_below_it(
    changes: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sparsity, semicolon, rest = says.partition(";")
    one, two = (lth_pass_line(levels_of(changes, seeds), capsys) for seeds in (1, 2))
    assert one == f"imp: LTH-PASS sparsity {sparsity}, indicative: one seed at some level{semicolon}{rest}"
    assert two == f"imp: LTH-PASS sparsity {says}"


def test_what_is_no_dense_net_is_not_called_dense(capsys: pytest.CaptureFixture[str]) -> None:
    reports = [verdicts.audit("imp-0", {"nll": 9.0}), verdicts.audit("erk-0", status="diverged")]
    made = verdicts.net(reports[:1], reports[1:], theirs_facts=verdicts.facts(250))
    with pytest.raises(typer.Exit):
        show_verdict(judge([made, replace(made, name="other")], Rule()), json=False)
    said = capsys.readouterr()
    assert "dense" not in said.out + said.err
    run = reports[1].subject.run_id[:11]
    assert f"(seed 0); reference: {run} at 75.00 %" in said.out
    lines = said.out.splitlines()
    assert lines[0].startswith("rule s004: accuracy at most one point below the reference, every other")
    assert "imp at 90.00 %: its reference of seed 0 is diverged" in lines
    assert {line.split()[3] for line in lines if "worse by" in line} == {"reference"}
    assert [line.split()[0] for line in lines if line.startswith("reference ")] == 2 * ["reference"]


@pytest.mark.parametrize("nets", [verdicts.passing, verdicts.ladder])
def test_json_is_one_object_with_numbers(
    nets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = verdicts.written(tmp_path, nets())
    code = ended(folder, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] == (code == 0)
    assert (said["error"] or {"exit_code": 0})["exit_code"] == code
    result = said["result"]
    assert result["folder"] == str(folder)
    first = result["nets"][0]
    assert first["metrics"][0]["mean"] == 0.8975
    assert first["density"] == 0.1
    assert result["ladders"][0]["lth_pass"] == pytest.approx(0.9)
    assert result["ladders"][0]["indicative"] is False
    assert result["chart"]["raw"]["dense"]["accuracy"] == 0.902


def test_a_forged_verdict_ends_with_3(tmp_path: Path) -> None:
    folder = tmp_path / "forged"
    hostile_verdicts.sound(folder)
    hostile_verdicts.better_report(folder)
    with pytest.raises(ArtifactError) as caught:
        recheck(folder, json=False)
    assert caught.value.exit_code == 3


def test_what_is_no_folder_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        recheck(tmp_path / "nothing", json=False)
