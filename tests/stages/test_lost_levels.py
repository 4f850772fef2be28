"""A draw's own runs that are lost or damaged after it was done: nobody calls it done, and they are trained anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.stages.written import run
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.job_results import state_in
from ticketctl.stages.job_run import Site, do
from ticketctl.stages.job_state import JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan, PlanJob, plan_of
from ticketctl.stages.plan_files import keep
from ticketctl.stages.retry import way_on
from ticketctl.stages.sweep import forget, survey_states
from ticketctl.stages.sweep_entries import entries_of

GRID = """
[axes]
model = "lenet-300-100"
data = "digits"
method = "imp"
density = 0.64
[sets]
"train.epochs" = 1
"""
WAY = "; remove it, and the same command trains it anew"


def planned(workspace: Path, text: str = GRID) -> tuple[Plan, PlanJob]:
    """The plan, as a sweep keeps it, and its one draw."""
    found = plan_grid(grid_in(text, "g"), range(1), workspace)
    plan = plan_of(found, found.places, found.title, {"grid": text})
    keep(plan)
    (job,) = plan.jobs
    return plan, job


@pytest.fixture
def written(tmp_path: Path) -> tuple[Plan, PlanJob]:
    """A sweep that says it is done, with the runs of levels 0 and 2, which its places want."""
    plan, job = planned(tmp_path)
    (job.draw.folder / "ticket").mkdir(parents=True)
    for level in (0, 2):
        run(job.draw.folder / "levels" / str(level), 0.9, level=level, kept=100 if level else None)
    ticket = (job.draw.folder / "ticket").relative_to(tmp_path).as_posix()
    write_state(job_folder(tmp_path, job.id), JobState("done", runs=(ticket,), seconds=4.0))
    assert survey_states(plan).states[job.id].kind == "done"
    return plan, job


@pytest.mark.parametrize("level", [0, 2])
def test_a_draw_waits_again_where_a_run_is_gone_that_a_place_wants(
    level: int, written: tuple[Plan, PlanJob]
) -> None:
    plan, job = written
    (job.draw.folder / "levels" / str(level) / "run.json").unlink()
    state = state_in(plan, job, 0.0)
    assert (state.kind, state.runs, state.seconds) == ("waiting", (), 4.0)
    assert survey_states(plan).counts() == {"waiting": 1}


def test_a_level_that_no_place_wants_is_nobodys_loss(written: tuple[Plan, PlanJob]) -> None:
    plan, job = written
    assert not (job.draw.folder / "levels" / "1").exists()
    assert state_in(plan, job, 0.0).kind == "done"


def test_a_damaged_run_fails_its_draw_in_a_line_that_says_the_way_out(written: tuple[Plan, PlanJob]) -> None:
    plan, job = written
    path = job.draw.folder / "levels" / "2" / "run.json"
    path.write_text("{")
    state = state_in(plan, job, 0.0)
    assert (state.kind, state.cause) == ("failed", "artifact")
    assert state.message.startswith(f"{path}: not sound JSON")
    assert state.message.endswith(WAY)
    assert way_on(survey_states(plan)) == "what is damaged is to be removed first"
    assert do(Site(_plan_file(plan), str(plan.workspace)), job.id, str).state == state  # type: ignore[arg-type]  # no device is asked for
    forget(plan, [job.id])  # --retry
    assert state_in(plan, job, 0.0) == state
    assert path.read_text() == "{"
    path.unlink()
    assert state_in(plan, job, 0.0).kind == "waiting"


def test_a_damaged_run_of_a_spend_fails_it_and_a_lost_one_lets_it_wait(tmp_path: Path) -> None:
    text = GRID.replace('method = "imp"', 'method = "snip"\nspend = "train.lr=0.1"')
    found = plan_grid(grid_in(text, "g"), range(1), tmp_path)
    plan = plan_of(found, found.places, found.title, {})
    job = next(job for job in plan.jobs if job.kind == "spend")
    run(tmp_path / "r", 0.9)
    write_state(job_folder(tmp_path, job.id), JobState("done", runs=("r",)))
    assert state_in(plan, job, 0.0).kind == "done"
    (tmp_path / "r" / "run.json").write_text("[]")
    state = state_in(plan, job, 0.0)
    assert (state.kind, state.message) == ("failed", f"{tmp_path / 'r/run.json'}: not a JSON object{WAY}")
    (tmp_path / "r" / "run.json").unlink()
    assert state_in(plan, job, 0.0).kind == "waiting"


def test_nothing_is_begun_under_the_old_name_of_a_workspace_that_was_moved(
    written: tuple[Plan, PlanJob], tmp_path: Path
) -> None:
    from ticketctl.errors import ResourceError
    from ticketctl.stages.job_run import plan_in

    plan, job = written
    path = _plan_file(plan)
    plan_in(path, str(tmp_path))  # a process that does many of its jobs has read it
    shutil.rmtree(tmp_path)
    line = f"{path}: moved or removed since the sweep began; sweep again where it lies now"
    with pytest.raises(ResourceError) as caught:
        do(Site(path, str(tmp_path)), job.id, str)  # type: ignore[arg-type]  # as above
    assert str(caught.value) == line
    assert not tmp_path.exists()


def _plan_file(plan: Plan) -> str:
    return str(plan.workspace / ".sweeps" / plan.id / "plan.jsonl")


# ------------------------------------------------------------------------------------------------------ trained anew


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the draw's job was done; nobody changes it."""
    folder = tmp_path_factory.mktemp("swept")
    plan, job = planned(folder / "runs")
    assert _done(plan, job).kind == "done"
    return folder


@pytest.fixture
def copied(swept: Path, tmp_path: Path) -> tuple[Plan, PlanJob]:
    """The same, to be damaged."""
    shutil.copytree(swept / "runs", tmp_path / "runs")
    return planned(tmp_path / "runs")


def _done(plan: Plan, job: PlanJob) -> JobState:
    import torch

    return do(Site(_plan_file(plan), str(plan.workspace)), job.id, torch.device).state


def _bytes(folder: Path) -> dict[str, bytes]:
    """Every file but those that say when and how often."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if Path(name).name not in APART}


APART = {".lock", "provenance.json"}


@pytest.mark.long
@pytest.mark.parametrize("lost", [("0",), ("2",), ("0", "1", "2")])
def test_what_is_lost_and_wanted_is_trained_anew_where_it_lay_with_the_same_bytes(
    lost: tuple[str, ...], copied: tuple[Plan, PlanJob]
) -> None:
    plan, job = copied
    folder = job.draw.folder
    before = _bytes(folder)
    for level in lost:
        shutil.rmtree(folder / "levels" / level)
    assert [one.why for one in entries_of(plan).entries if one.state != "done"] == ["waiting"] * len(
        {*lost} - {"1"}
    )
    assert _done(plan, job).kind == "done"
    unwanted = {name for name in before if name.startswith("levels/1/") and "1" in lost}
    assert _bytes(folder) == {name: data for name, data in before.items() if name not in unwanted}
    assert all(one.state == "done" for one in entries_of(plan).entries)
    assert not (folder / "spends").exists()
    assert survey_states(plan).left == []


@pytest.mark.long
def test_a_damaged_run_is_trained_anew_once_it_is_removed_and_not_before(
    copied: tuple[Plan, PlanJob],
) -> None:
    plan, job = copied
    folder, path = job.draw.folder, job.draw.folder / "levels" / "2" / "run.json"
    before = _bytes(folder)
    path.write_bytes(path.read_bytes()[:-9])
    assert _done(plan, job).kind == "failed"
    assert survey_states(plan).counts() == {"failed": 1}
    path.unlink()
    assert _done(plan, job).kind == "done"
    assert _bytes(folder) == before


@pytest.mark.long
@pytest.mark.parametrize("trained", [False, True])
def test_what_a_kill_left_half_made_anew_is_gone_on_with(trained: bool, copied: tuple[Plan, PlanJob]) -> None:
    plan, job = copied
    level = job.draw.folder / "levels" / "2"
    before = _bytes(job.draw.folder)
    if not trained:
        shutil.rmtree(level)
    (level / "work").mkdir(parents=True)
    write_state(job_folder(plan.workspace, job.id), JobState("running"))
    assert _done(plan, job).kind == "done"
    assert not (level / "work").exists()
    assert _bytes(job.draw.folder) == before


@pytest.mark.long
def test_what_no_spend_trains_as_the_draw_did_fails_and_names_the_draw(
    copied: tuple[Plan, PlanJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ticketctl.stages import wallet

    plan, job = copied
    folder = job.draw.folder
    shutil.rmtree(folder / "levels" / "2")
    monkeypatch.setattr(wallet, "_drawn", lambda *_: None)
    state = _done(plan, job)
    assert (state.kind, state.cause) == ("failed", "artifact")
    assert state.message == (
        f"{folder / 'levels/2'}: its run is gone, and no spend trains it as this draw did; remove {folder}, then "
        "--retry artifact draws anew [E_FILE_MISSING]"
    )
    assert not (folder / "spends").exists()


@pytest.mark.long
def test_a_draw_by_hand_names_the_runs_that_are_gone_and_what_trains_them(
    copied: tuple[Plan, PlanJob], tmp_path: Path
) -> None:
    _, job = copied
    words = ("draw", "--method", "imp", "--density", "0.64", "--epochs", "1", "--quiet")
    folder = job.draw.folder.relative_to(tmp_path)
    whole = ask(tmp_path, *words)
    assert (whole.code, whole.err) == (0, "")
    shutil.rmtree(job.draw.folder / "levels" / "1")
    told = ask(tmp_path, *words)
    assert (told.code, told.out) == (0, whole.out)
    spend = f"ticketctl spend {folder}/ticket --level 1"
    assert told.err == f"{folder}/levels: the run of level 1 is gone; {spend} trains anew\n"
    shutil.rmtree(job.draw.folder / "levels" / "2")
    assert f"the runs of levels 1,2 are gone; {spend},2 trains anew" in ask(tmp_path, *words).err

    assert f"the runs of levels 1,2 are gone; {spend},2 trains anew" in ask(tmp_path, *words).err


@pytest.mark.long
def test_a_plan_counts_what_is_lost_to_its_draw(copied: tuple[Plan, PlanJob], tmp_path: Path) -> None:
    _, job = copied
    (tmp_path / "g.toml").write_text(GRID)
    whole = ask(tmp_path, "plan", "g.toml", "--json", "--quiet").json["result"]
    assert (whole["jobs"]["draw"], whole["trainings"], whole["bytes"]) == ({"all": 1, "there": 1}, 0, 0)
    shutil.rmtree(job.draw.folder / "levels" / "2")
    found = ask(tmp_path, "plan", "g.toml", "--json", "--quiet").json["result"]
    assert (found["jobs"]["draw"], found["trainings"]) == ({"all": 1, "there": 0}, 1)
    assert found["epochs"] == 1.0
    assert found["hours"] > 0
