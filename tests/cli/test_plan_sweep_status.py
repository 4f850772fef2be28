"""`ticketctl plan`, `sweep` and `status`, as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, Program, ask
from tests.pace import times_importing_torch
from tests.stages.swept_plan import say
from tests.sweep_marathon import files
from tests.test_startup import _loaded
from tests.warm import QUIET, Warm
from ticketctl.cli import options as opt
from ticketctl.cli.cluster import Cluster
from ticketctl.cli.signals import Stop
from ticketctl.cli.sweep import _check as check
from ticketctl.cli.sweep import _submitted as submitted
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.stages.bill import Bill, Item
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.jobs import Plan, plan_of
from ticketctl.stages.plan_cost import PlanCost
from ticketctl.stages.plan_files import keep

GRID = """
title = "Two methods, two rates"
dense = false
[axes]
method = ["snip", "random"]
density = 0.5
spend = "train.lr=0.02"
[sets]
"train.epochs" = 1
"draw.keep" = "masks"
"""
LINES = (
    "draw --method snip --density 0.5 --set train.epochs=1 --set draw.keep=masks",
    "draw --method random --density 0.5 --set train.epochs=1 --set draw.keep=masks",
    "spend {snip} --level 1 --set train.lr=0.02 --set spend.dense=false",
    "spend {random} --level 1 --set train.lr=0.02 --set spend.dense=false",
)
"""What is typed for the same, one after the other."""
FORKED = """
import multiprocessing, sys
from ticketctl.__main__ import main
from ticketctl.stages import workers
workers.get_context = lambda how: multiprocessing.get_context("fork")  # a process that is spawned imports torch again
main()
"""


def warm(folder: Path, *argv: str) -> Answer:
    """The answer of a process that a warm one forked."""
    out, err = folder / "out.txt", folder / "err.txt"
    child = Warm.one().begin(argv, folder, {**os.environ, **QUIET}, out, err)
    code = child.wait()
    return Answer(code, out.read_text(), err.read_text())


def swept(folder: Path, *words: str) -> Answer:
    (folder / "forked.py").write_text(FORKED)
    return warm(folder, "python", str(folder / "forked.py"), "sweep", *words)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the grid was swept by two processes."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "grid.toml").write_text(GRID)
    answer = swept(folder, "grid.toml", "--workers", "2", "--device", "cpu", "--json")
    assert answer.code == 0, answer.err
    (folder / "said.json").write_text(answer.out)
    (folder / "said.txt").write_text(answer.err)
    return folder


# --------------------------------------------------------------------------------------------------------------- plan


def test_a_plan_counts_what_its_grid_multiplies_to(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    result = ask(tmp_path, "plan", "grid.toml", "--json", "--workers", "3").json["result"]
    assert set(result) == {
        "plan", "title", "places", "jobs", "trainings", "epochs", "steps", "at_most", "hours", "slots",
        "hours_on_the_wall", "bytes", "unknown", "refused", "notes",
    }  # fmt: skip
    assert result["jobs"] == {"draw": {"all": 2, "there": 0}, "spend": {"all": 2, "there": 0}}
    # digits: 1,295 images in batches of 64, so 21 steps; a draw trains its ticket, and drops the weights
    assert (result["places"], result["trainings"], result["epochs"], result["steps"]) == (2, 4, 4, 4 * 21)
    assert result["slots"] == 3
    assert result["hours_on_the_wall"] > 0
    assert 200_000 < result["bytes"] < 10_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["grid.toml"]


def test_a_plan_in_a_file_is_the_same_plan(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    listed = ask(tmp_path, "plan", "grid.toml", "--out", "p.jsonl", "--list", "--json").json["result"]
    assert [job["kind"] for job in listed] == ["draw", "draw", "spend", "spend"]
    assert [job["needs"] for job in listed] == [[], [], [listed[0]["id"]], [listed[1]["id"]]]
    assert ask(tmp_path, "plan", "p.jsonl", "--list", "--json").json["result"] == listed
    assert (
        ask(tmp_path, "plan", "p.jsonl", "--list", "--json", "--workspace", "else").json["result"] == listed
    )
    head = json.loads((tmp_path / "p.jsonl").read_bytes().splitlines()[0])
    assert (head["kind"], head["version"], head["jobs"]) == ("ticketctl.plan", 1, 4)
    assert ask(tmp_path, "plan", "p.jsonl", "--list").out.count("\n") >= 4


# -------------------------------------------------------------------------------------------------------------- sweep


@pytest.mark.long
def test_a_sweep_of_two_processes_has_the_bytes_of_each_command_alone(here: Path, tmp_path: Path) -> None:
    runs = here / "runs"
    names = {path.name.partition("-")[0]: f"{path.relative_to(runs)}/seed-0" for path in runs.glob("*/*")}
    for line in LINES:
        answer = warm(tmp_path, "ticketctl", *line.format(**names).split(), "--device", "cpu")
        assert answer.code == 0, answer.err
    wanted, found = files(tmp_path / "runs"), files(runs)
    assert [name for name in found if name.endswith("final.safetensors")]
    assert {name: data for name, data in wanted.items() if "/spends/" not in name} == {
        name: data for name, data in found.items() if "/spends/" not in name
    }
    trained = [{*(d for n, d in files.items() if n.endswith(".safetensors"))} for files in (wanted, found)]
    assert trained[0] == trained[1]
    assert found == wanted


@pytest.mark.long
def test_what_became_of_a_sweep_is_told_as_json(here: Path) -> None:
    result = json.loads((here / "said.json").read_text())["result"]
    assert result["counts"] == {"done": 4}
    assert (result["jobs"], result["failed"], result["workspace"]) == (4, [], "runs")
    assert result["seconds"] > 0


def test_a_sweep_says_how_long_it_takes_before_anything_is_done(here: Path) -> None:
    lines = (here / "said.txt").read_text().splitlines()
    (when,) = [number for number, line in enumerate(lines) if line.startswith("time        about ")]
    assert lines[when].endswith("with 2 at a time")
    assert lines.index("timing lenet-300-100 on digits …") < when
    assert when < next(number for number, line in enumerate(lines) if line.startswith("done "))


@pytest.mark.parametrize(
    ("engine", "at", "seconds", "lenient"),
    [
        ("local", opt.Site(), 3.0, False),
        ("local", opt.Site(dry_run=True), 5.0, True),
        ("local", opt.Site(quiet=True), 0.0, False),
        ("local", opt.Site(quiet=True, dry_run=True), 5.0, True),
        ("ray", opt.Site(), 0.0, False),
        ("ray", opt.Site(dry_run=True), 0.0, True),
        ("slurm", opt.Site(), 0.0, True),
    ],
)
def test_a_clusters_jobs_are_not_timed_on_this_machine(
    engine: str,
    at: opt.Site,
    seconds: float,
    lenient: bool,
    many: tuple[Path, Plan],
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = list[dict[str, Any]]()

    def cost_of(plan: Plan, around: object, **how: Any) -> PlanCost:
        del around
        asked.append(how)
        return PlanCost(
            {"draw": (1, 0)}, Bill({}, [(None, Item(1, 1.0, 1, 9.0, 9.0))]), {plan.jobs[0].id: 9.0}, 1
        )

    folder, plan = many
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("ticketctl.stages.plan_cost.cost_of", cost_of)
        patch.setattr("ticketctl.cli.sweep.slots_here", lambda device: 2)
        check(plan, replace(at, device="cpu"), Stop(), Cluster(engine=engine))
    assert asked == [{"timed": seconds, "lenient": lenient}]
    said = capsys.readouterr()
    assert ("time " in said.out + said.err) == (engine == "local" and (at.dry_run or not at.quiet))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Cluster(streams=True), "of how many jobs on a GPU.*--per-gpu N, from 2 to 32"),
        (Cluster(streams=True, per_gpu=33), r"from 2 to 32 \(33 here\)"),
        (Cluster(engine="ray", streams=True, per_gpu=2), "--streams: is not for --engine ray"),
    ],
)
def test_streams_that_cannot_be_are_refused(asked: Cluster, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked.check()
    Cluster(streams=True, per_gpu=32).check()


@pytest.mark.long
def test_streams_on_a_machine_without_a_gpu_are_refused_before_anything_is_planned(here: Path) -> None:
    answer = warm(
        here, "ticketctl", "sweep", "no-such-grid.toml", *["--device", "cpu", "--per-gpu", "2", "--streams"]
    )
    assert (answer.code, answer.err) == (
        5, "ticketctl: --streams: no GPU here; on a CPU each job has a process of its own\n"
    )  # fmt: skip


def test_data_that_only_the_nodes_see_are_no_reason_not_to_submit(
    many: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    def cost_of(*_: object, **__: object) -> PlanCost:
        raise UnavailableError("--data-dir /nodes/only: there is no such folder")

    folder, plan = many
    sent = list[Plan]()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("ticketctl.stages.plan_cost.cost_of", cost_of)
        patch.setattr("ticketctl.cli.sweep.on_slurm", lambda plan, *_: sent.append(plan))
        submitted(plan, opt.Site(device="cpu"), Stop(), Cluster(engine="slurm"))
    assert sent == [plan]
    assert "not checked here: --data-dir /nodes/only: there is no such folder" in capsys.readouterr().err


@pytest.mark.long
def test_a_sweep_that_is_done_does_nothing_without_torch_in_a_moment(here: Path) -> None:
    before = files(here / "runs")
    loaded = _loaded(here, "sweep grid.toml", "sweep grid.toml --dry-run", "status", "status --list")
    for line, names in loaded.items():
        assert not names & {"torch", "torchvision", "matplotlib"}, line
    ratio, said = times_importing_torch(["-m", "ticketctl", "sweep", "grid.toml"], here)
    assert "nothing is left to do" in said.stderr
    assert ratio < 0.8
    assert files(here / "runs") == before


def test_what_was_taken_away_is_made_again_and_nothing_else(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here, tmp_path / "moved to", dirs_exist_ok=True)
    folder = tmp_path / "moved to"
    before = files(folder / "runs")
    gone = next((folder / "runs").glob("*/snip-*/seed-0/spends/*/1-seed-0"))
    shutil.rmtree(gone)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("final.safetensors")}
    counts = ask(folder, "status", "--json").json["result"]["counts"]
    assert counts == {"done": 3, "waiting": 1}
    answer = swept(
        folder, "grid.toml", "--workers", "1", "--device", "cpu", "--workspace", str(folder / "runs/")
    )
    assert answer.code == 0, answer.err
    assert answer.err.count("done  ") == 1
    assert files(folder / "runs") == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_the_installed_command_sweeps_as_the_forked_one(here: Path, tmp_path: Path) -> None:
    (tmp_path / "my grid.toml").write_text(GRID)
    argv = [sys.executable, "-m", "ticketctl", "sweep", "my grid.toml", "--workers", "2", "--device", "cpu"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert files(tmp_path / "runs") == files(here / "runs")


# ------------------------------------------------------------------------------------------------------------- status


MANY = """
title = "Many"
dense = false
[axes]
method = ["er", "grasp", "imp", "mag-init", "random", "snip", "synflow", "uniform"]
density = 0.1
spend = ["train.lr=0.01", "train.lr=0.02", "train.lr=0.03", "train.lr=0.04"]
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Plan]]:
    """A folder with the states of 200 jobs, of which nothing else is there."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = plan_grid(grid_in(MANY, "g"), range(5), Path("runs"))
        plan = plan_of(found, found.places, found.title, {})
        keep(plan)
        names = [job.id for job in plan.jobs]
        assert len(names) == 40 + 160
        say(plan, dict.fromkeys(names[:40], "done"), seconds=60.0, attempts=1, host="node-7")
        say(plan, dict.fromkeys(names[40:45], "failed"), cause="resources", message="out of memory")
        say(plan, {names[45]: "failed"}, cause="bug", message="KeyError: \x1b[31m'x'")
        say(plan, dict.fromkeys(names[46:50], "running"), seconds=5.0, attempts=1, host="node-7")
        yield folder, plan


@pytest.mark.long
def test_the_status_of_200_jobs_takes_less_than_importing_torch_and_does_not_do_that(
    many: tuple[Path, Plan],
) -> None:
    folder, plan = many
    assert not _loaded(folder, "status --json")["status --json"] & {"torch", "matplotlib", "zarr"}
    ratio, said = times_importing_torch(["-m", "ticketctl", "status", "--json"], folder)
    assert ratio < 0.8
    result: dict[str, Any] = json.loads(said.stdout)["result"]
    assert result["sweep"] == plan.id
    assert result["counts"] == {"done": 40, "failed": 6, "killed": 4, "waiting": 150}
    assert [one["id"] for one in result["all"]] == [job.id for job in plan.jobs]
    assert set(result["all"][0]) >= {
        "id",
        "job",
        "title",
        "needs",
        "kind",
        "cause",
        "message",
        "seconds",
        "host",
    }


def test_failed_jobs_are_told_by_cause_and_no_control_character_reaches_the_terminal(
    many: tuple[Path, Plan],
) -> None:
    folder, plan = many
    said = ask(folder, "status", "--failed").out
    assert said.index("failed: resources, 5 jobs: out of memory") < said.index("failed: bug, 1 job: KeyError")
    assert "\x1b" not in said
    assert all(job.id in said for job in plan.jobs[40:46])
    short = ask(folder, "status", plan.id[:5]).out
    assert "200 jobs: 40 done, 150 waiting, 4 killed, 6 failed" in short
    assert f"4 jobs were stopped or killed: `ticketctl sweep {plan.id}` goes on there" in short


# ------------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("plan none.toml", "none.toml"),
        ("plan 001:Z9", "Z9"),
        ("plan none.jsonl", "there is no such file"),
        ("plan none.toml", "none.toml: there is no such file"),
        ("plan none", "no plan 'none': name a grid (GRID.toml), a paper's table (001:A2)"),
        ("collect none.toml", "none.toml: there is no such file"),
        ("sweep none.jsonl", "there is no such file"),
        ("sweep 001:A2 --engine slum", "--engine slum"),
        ("sweep 001:A2 --set train.lr=1", "--retry alone"),
        ("sweep 001:A2 --device gpu", "gpu"),
        ("sweep 001:A2 --rows nothing", "no such row"),
        ("plan 001:A2 --only rows=x", "no axis 'rows'; did you mean 'row'?"),
        ("status", "no sweep in runs"),
        ("status abc --workspace none", "no sweep in none"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_leaves_nothing(line: str, fault: str, bare: Program) -> None:
    answer = bare(*line.split())
    assert answer.code == 2
    assert fault in answer.complaint


@pytest.mark.parametrize(
    ("text", "line", "code", "fault"),
    [
        ("[axes]\nmethod = 'snap'", "plan grid.toml", 2, "did you mean 'snip'?"),
        ("[axes]\nmethod = 'snip'\nlevel = '1'", "sweep grid.toml", 2, "prunes once"),
        ("[axes]\nmethod = 'snip'", "plan grid.toml --rows 1", 2, "--rows is for a paper's table"),
        (
            "[axes]\nmethod = 'snip'",
            "plan grid.toml --only method=imp",
            2,
            "no combination of the grid is left",
        ),
        ("[axes]\nmethod = 'snip'", "sweep grid.toml --retry bug", 2, "--retry bug: no job failed;"),
        (
            "[axes]\nmethod = 'snip'\nmodel='resnet18'\ndata='cifar10'",
            "sweep grid.toml --offline",
            5,
            "cifar-10",
        ),
        ("[axes", "plan grid.toml", 2, "not TOML"),
        (
            "[axes]\nmethod = 'random'\ndensity = 0.5\nspend = ['none', 'keep.epochs=[999]']",
            "sweep grid.toml",
            2,
            "1 of 2 combinations cannot be: keep.epochs: 999 lies past the end of the training",
        ),
        ("{}", "plan grid.jsonl", 3, "no plan of ours"),
        ("{}", "sweep grid.jsonl", 3, "no plan of ours"),
        ("{}", "sweep grid.jsonl --only a=b", 2, "a plan that is made already"),
    ],
)
def test_a_wrong_file_is_refused_in_a_line_that_names_it(
    text: str, line: str, code: int, fault: str, tmp_path: Path
) -> None:
    (tmp_path / line.split()[1]).write_text(text)
    answer = ask(tmp_path, *line.split())
    assert answer.code == code, answer.err
    assert fault in answer.complaint
    assert len([*tmp_path.iterdir()]) == 1
