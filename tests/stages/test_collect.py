"""`collect`: a tidy row for each place of a sweep, whatever became of it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pace import times_reference
from tests.stages.written_sweep import GRID, accuracy, copied, plan_in, swept
from ticketctl.cli.status import failures, summary
from ticketctl.errors import UsageError
from ticketctl.stages import collect
from ticketctl.stages.job_state import JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan
from ticketctl.stages.plan_files import as_bytes
from ticketctl.stages.sweep import survey_states
from ticketctl.stages.sweep_entries import Entries, entries_of, plan_named


def mixed(labels: Mapping[str, str], seed: int) -> float | str:
    """Seed 2 of the larger rate: snip diverges, random failed, dense waits."""
    if seed == 2 and labels["spend"] == "train.lr=0.2":
        return "waiting" if "net" in labels else {"snip": "diverged", "random": "failed"}[labels["method"]]
    return accuracy(labels, seed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    return entries_of(swept(tmp_path_factory.mktemp("collected"), mixed))


def test_every_place_has_a_row_and_a_shared_dense_net_one(whole: Entries) -> None:
    rows = collect.rows_of(whole)
    assert Counter(row["method"] for row in rows) == {"snip": 12, "random": 12, "dense": 12}
    assert len({(row["method"], row["spend"], row["tweaks"], row["seed"]) for row in rows}) == len(rows)
    dense = [row for row in rows if row["method"] == "dense"]
    assert {row["density"] for row in dense} == {"dense"}
    assert {row["density_kept"] for row in dense if row["state"] == "done"} == {1.0}


def test_values_are_the_runs_own_and_stand_where_a_trial_is_done(whole: Entries) -> None:
    for row in collect.rows_of(whole):
        labels = {name: row[name] for name in ("method", "spend", "tweaks")}
        wanted = mixed(labels | ({"net": "dense"} if row["method"] == "dense" else {}), row["seed"])
        if isinstance(wanted, float):
            assert (row["state"], row["value"]) == ("done", pytest.approx(wanted, abs=1e-15))
        else:
            assert (row["state"], row["value"]) == ("diverged" if wanted == "diverged" else "missing", None)
            assert row["job"] == wanted
    assert {row["cause"] for row in collect.rows_of(whole) if row["job"] == "failed"} == {"resources"}


def test_a_summary_counts_what_is_missing_by_its_reason(whole: Entries) -> None:
    said = collect.summary(whole)
    assert said == "36 places: 30 done, 2 diverged, 4 missing (2 waiting, 2 failed (resources))"


def test_one_place_and_one_job_are_no_places_and_jobs(tmp_path: Path) -> None:
    text = 'dense = false\n[axes]\nmethod = "snip"\ndensity = 0.2\nspend = "train.lr=0.3"\n'
    plan = plan_in(tmp_path, text, seeds=1)
    draw, spend = plan.jobs
    write_state(job_folder(tmp_path, draw.id), JobState("failed", "data", "no such file", attempts=1))
    assert collect.summary(entries_of(plan)) == "1 place: 0 done, 0 diverged, 1 missing (1 blocked (data))"
    swept = survey_states(plan)
    assert summary(swept)[1] == "2 jobs: 1 failed, 1 blocked"
    assert failures(swept)[-1] == "blocked: 1 job needs one that failed"
    alone = replace(plan, jobs=(draw,), places=())
    assert summary(survey_states(alone))[1] == "1 job: 1 failed"
    assert spend.needs == (draw.id,)


def test_a_blocked_place_names_the_cause_of_the_job_that_it_waits_for(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, seeds=1)
    for job in plan.jobs:
        if job.kind == "draw":
            failed = JobState("failed", "data", "no such file", attempts=1)
            write_state(job_folder(tmp_path, job.id), failed)
    found = entries_of(plan).entries
    assert {(one.state, one.why) for one in found} == {("missing", "blocked (data)")}
    assert {one.message for one in found} == {"no such file"}


def test_a_damaged_run_is_missing_and_told(tmp_path: Path) -> None:
    plan = swept(tmp_path, accuracy, seeds=1)
    (tmp_path / "r/0/run.json").write_text("{}")
    found = entries_of(plan)
    assert [one.why for one in found.entries if one.state != "done"] == ["failed (artifact)"]
    assert any("r/0/run.json" in text for text in found.remarks)


def test_a_run_that_was_taken_away_waits_again(tmp_path: Path) -> None:
    plan = swept(tmp_path, accuracy, seeds=1)
    (tmp_path / "r/0").rename(tmp_path / "elsewhere")
    assert [one.why for one in entries_of(plan).entries if one.state != "done"] == ["waiting"]


def test_metrics_are_chosen_and_a_wrong_one_is_refused(whole: Entries) -> None:
    assert collect.metrics_of(whole, ["all"]) == ["test.accuracy"]
    assert collect.metrics_of(whole, []) == ["test.accuracy"]
    with pytest.raises(UsageError, match=r"'test.acuracy'; did you mean 'test.accuracy'"):
        entries_of(whole.plan, ["test.acuracy"])


def test_a_metric_that_a_done_run_has_not_is_absent_or_missing_while_its_audit_waits(tmp_path: Path) -> None:
    plan = swept(tmp_path, accuracy, 'audits = ["audit/quick"]\n' + GRID, seeds=1)
    audits = [job for job in plan.jobs if job.kind == "audit"]
    for job in audits[1:]:
        write_state(job_folder(tmp_path, job.id), JobState("done", attempts=1))
    found = entries_of(plan)
    assert collect.metrics_of(found, []) == ["test.accuracy"]
    rows = collect.rows_of(found, ["audit.ece"])
    told = Counter((row["state"], row["job"]) for row in rows)
    assert told == {("missing", "waiting"): 1, ("absent", "done"): len(audits) - 1}
    assert collect.summary(found).endswith(f"0 missing; 1 of {len(audits)} reports missing")


def test_a_metric_that_an_audit_of_the_plan_will_bring_is_known_before_it_is_there(tmp_path: Path) -> None:
    plan = swept(tmp_path, accuracy, 'audits = ["audit/quick"]\n' + GRID, seeds=1)
    for metric in ("audit.ece", "ratio.nll", "audit.auroc.noise", "test.accuracy"):
        rows = collect.rows_of(entries_of(plan, [metric]), [metric])
        assert {row["state"] for row in rows} == ({"done"} if metric == "test.accuracy" else {"missing"})
    for metric, hint in (
        ("audit.acuracy", "'accuracy'"),
        ("audit.forgetting", "does not measure"),
        ("ece", "audit.ece"),
    ):
        with pytest.raises(UsageError, match=hint):
            entries_of(plan, [metric])


def test_a_metric_of_no_report_of_the_plan_is_refused_with_what_there_is(whole: Entries) -> None:
    with pytest.raises(UsageError, match=r"no run of this sweep has 'audit.ece'; there is test.accuracy"):
        entries_of(whole.plan, ["audit.ece"])


def test_before_any_run_is_there_a_metric_that_none_can_have_is_refused(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, seeds=1)
    for metric in ("test.accuracy", "val.loss", "audit.ece"):
        entries_of(plan, [metric])
    with pytest.raises(UsageError, match=r"will have 'test.acuracy'; did you mean 'test.accuracy'"):
        entries_of(plan, ["test.acuracy"])


def test_a_file_has_every_digit_and_an_empty_cell_for_nothing(whole: Entries, tmp_path: Path) -> None:
    rows = collect.rows_of(whole)
    collect.write(rows, tmp_path / "s.csv", "csv")
    found = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert [row["value"] for row in found] == [
        "" if row["value"] is None else repr(row["value"]) for row in rows
    ]
    collect.write(rows, tmp_path / "s.json", "json")
    assert json.loads((tmp_path / "s.json").read_text()) == rows


@pytest.mark.parametrize(
    ("typed", "out", "kind"),
    [(None, None, "table"), (None, "a.csv", "csv"), (None, "a.json", "json"), (None, "a.txt", "csv"),
     ("csv", None, "csv"), ("json", "a.csv", "json")],
)  # fmt: skip
def test_a_format_is_as_typed_or_as_the_file_is_called(typed: str, out: str, kind: str) -> None:
    assert collect.format_of(typed, Path(out) if out else None) == kind


@pytest.mark.parametrize(("typed", "out"), [("xml", None), ("table", "a.csv"), (None, "a.parquet")])
def test_other_formats_are_refused(typed: str, out: str) -> None:
    with pytest.raises(UsageError):
        collect.format_of(typed, Path(out) if out else None)


def test_nothing_but_a_plain_file_is_replaced(whole: Entries, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "other")
    for name in ("link.csv", "."):
        with pytest.raises(UsageError, match="no plain file"):
            collect.write([], tmp_path / name, "csv")


def test_a_sweep_is_named_by_id_by_its_beginning_by_its_file_or_is_the_newest(
    whole: Entries, tmp_path: Path
) -> None:
    plan, path = whole.plan, tmp_path / "p.jsonl"
    path.write_bytes(as_bytes(plan))
    for name in (None, "newest", plan.id, plan.id[:5], str(path)):
        assert plan_named(name, plan.workspace).id == plan.id
    with pytest.raises(UsageError, match="no sweep"):
        plan_named("zzz", plan.workspace)


def test_each_row_has_the_line_that_makes_its_run_again(whole: Entries) -> None:
    """By the words of `ticketctl draw` and `spend`; that such lines make the same runs, test_sweep_again.py tries."""
    rows = {(row["method"], row["spend"], row["tweaks"], row["seed"]): row for row in collect.rows_of(whole)}
    line = rows["snip", "train.lr=0.1", "ls", 1]["command"]
    draw, spend = line.split(" && ")
    assert draw.startswith("ticketctl draw --method snip --model lenet-300-100 --data digits --seed 1 ")
    assert "--set train.epochs=2" in draw
    assert f"ticketctl spend {whole.plan.workspace}/lenet-300-100-digits/snip-" in spend
    assert "/seed-1/ticket --level 1 --seed 1 " in spend
    assert "--tweaks ls --set train.lr=0.1" in spend


def test_retried_jobs_with_other_keys_are_told(whole: Entries) -> None:
    about = {**whole.plan.about, "retried": [{"plan": "x", "jobs": ["a", "b"], "set": ["train.batch=64"]}]}
    changed = Plan(whole.plan.title, whole.plan.workspace, whole.plan.jobs, whole.plan.places, about)
    assert entries_of(changed).remarks == ("2 jobs were retried with train.batch=64",)


def test_two_hundred_places_take_a_moment(tmp_path: Path) -> None:
    text = GRID.replace("seeds", "").replace(
        '"train.lr=0.1", ', '"train.lr=0.1", "train.lr=0.3", "train.lr=0.4", '
    )
    copied(tmp_path, text, 9)
    plan = plan_named(None, tmp_path)
    assert len(collect.rows_of(entries_of(plan))) >= 200
    assert times_reference(lambda: collect.rows_of(entries_of(plan_named(None, tmp_path)))) < 20
