"""Jobs have ids that are the work's own, in an order in which they can be done; plans go through files and back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticketctl.errors import ArtifactError, UsageError
from ticketctl.stages.agenda import Draw, Part, Place, Use
from ticketctl.stages.grid import Gridded, plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.jobs import Plan, PlanJob, from_workspace, plan_of
from ticketctl.stages.measured import Reading
from ticketctl.stages.plan_files import as_bytes, begun, keep, newest_form, read_plan

RUNS = Path("runs")
GRID = """
title = "T"
[axes]
method = ["imp", "snip", "random"]
density = [0.2, 0.5]
tweaks = ["none", "kd"]
spend = ["none", "train.lr=0.02"]
[sets]
"train.epochs" = 2
"""


def gridded(text: str = GRID, seeds: Sequence[int] = (0, 1), workspace: Path = RUNS) -> Gridded:
    return plan_grid(grid_in(text, "g"), seeds, workspace)


def planned(text: str = GRID, seeds: Sequence[int] = (0, 1), workspace: Path = RUNS) -> Plan:
    found = gridded(text, seeds, workspace)
    return plan_of(found, found.places, found.title, {"grid": text})


WHOLE = planned()


def ids(plan: Plan) -> list[str]:
    return [job.id for job in plan.jobs]


# --------------------------------------------------------------------------------------------------------------- ids


def test_the_same_work_has_the_same_ids_wherever_and_in_whatever_order_it_is_planned() -> None:
    assert ids(planned(workspace=Path("/some where/else"))) == ids(WHOLE)
    turned = GRID.replace('"imp", "snip", "random"', '"random", "snip", "imp"').replace(
        "0.2, 0.5", "0.5, 0.2"
    )
    draws = {job.id for job in planned(turned, seeds=(1, 0)).jobs if job.kind == "draw"}
    assert draws == {job.id for job in WHOLE.jobs if job.kind == "draw"}
    pruned = {job.id for job in planned(turned, seeds=(1, 0)).jobs if job.use and job.use.level != 0}
    assert pruned == {job.id for job in WHOLE.jobs if job.use and job.use.level != 0}


def test_every_job_has_an_id_of_its_own() -> None:
    assert len({*ids(WHOLE)}) == len(WHOLE.jobs)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in ids(WHOLE))


ONE = '[axes]\nmethod = "snip"\ndensity = 0.5\ntweaks = "ls"\nspend = "train.lr=0.02"\n[sets]\n"train.epochs" = 2\n'
OTHERWISE = {
    "method": ONE.replace("snip", "random"),
    "density": ONE.replace("0.5", "0.25"),
    "a key of the draw": ONE + '"draw.batches" = 3\n',
    "a key of both": ONE.replace('"train.epochs" = 2', '"train.epochs" = 3'),
    "tweaks": ONE.replace('"ls"', '"skip"'),
    "two tweaks": ONE.replace('"ls"', '"ls,skip"'),
    "the spend": ONE.replace("0.02", "0.03"),
    "a key of the spend": ONE + '"spend.start" = "init"\n',
    "a key of a tweak": ONE + '"tweaks.ls.alpha" = 0.2\n',
    "the control": 'controls = ["reinit"]\n' + ONE,
}


def ticket_job(plan: Plan) -> PlanJob:
    return [job for job in plan.jobs if job.kind == "spend" and job.use and job.use.level is None][-1]


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_work_has_another_id(name: str) -> None:
    other = planned(OTHERWISE[name], seeds=[0])
    assert ticket_job(other).id != ticket_job(planned(ONE, seeds=[0])).id


def test_another_seed_or_level_is_other_work() -> None:
    one, other = (planned(ONE, seeds=[seed]) for seed in (0, 1))
    assert not {*ids(one)} & {*ids(other)}
    ladder = ONE.replace("snip", "imp").replace("density = 0.5", 'level = ["1", "2"]') + '"draw.rounds" = 2\n'
    spends = [job for job in planned(ladder, seeds=[0]).jobs if job.use and job.use.level]
    assert [job.use and job.use.level for job in spends] == [1, 2]
    assert spends[0].id != spends[1].id


def test_a_report_is_other_work_once_its_recipe_says_something_else(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    text = f'audits = ["{mine}"]\n{ONE}'
    found = []
    for images in (64, 128):
        mine.write_text(f'extends = "audit/quick"\n[audit]\nimages = {images}\n')
        found.append({job.id for job in planned(text, seeds=[0]).jobs if job.kind == "audit"})
    assert len(found[0]) == len(found[1]) == 2
    assert not found[0] & found[1]


def test_where_the_workspace_lies_is_no_part_of_a_key() -> None:
    for there in ("runs", "/data/my runs", "a+b"):
        text = f'data.drop.record=["{there}/lenet/imp-1/seed-0/levels/0","{there}/x"]'
        assert from_workspace(text, Path(there)) == 'data.drop.record=["lenet/imp-1/seed-0/levels/0","x"]'
    for text in ("a=my-runs/x", "a=/runs/x", "a=other/runs/x", "a=../runs/x", "a=runs"):
        assert from_workspace(text, RUNS) == text


# ------------------------------------------------------------------------------------------------------------- order


def test_jobs_come_after_all_that_they_need() -> None:
    seen: set[str] = set()
    for job in WHOLE.jobs:
        assert {*job.needs} <= seen, job.title
        seen.add(job.id)
    assert WHOLE.below([WHOLE.jobs[0].id]) == reached(WHOLE.jobs, WHOLE.jobs[0].id)


def reached(jobs: Iterable[PlanJob], start: str) -> set[str]:
    """By asking every job again and again, whatever their order."""
    found: set[str] = {start}
    while more := {job.id for job in jobs if {*job.needs} & found} - found:
        found |= more
    return found


def test_a_pupil_needs_its_ticket_and_its_teacher_which_is_trained_once() -> None:
    """Two spends of kd over two seeds: the teacher of each is the dense net without tweaks, whoever drew."""
    pupils = [job for job in WHOLE.jobs if job.use and job.use.tweaks == ("kd",) and job.use.level != 0]
    assert len(pupils) == 2 * (2 + 2 + 2) * 2
    for job in pupils:
        needed = [WHOLE.by_id[name] for name in job.needs]
        assert needed[0].draw == job.draw
    dense = [job for job in WHOLE.jobs if job.use and job.use.level == 0 and job.kind == "spend"]
    # under the draw's own recipe imp trains it; under the other rate, and as a pupil, once for each seed
    assert Counter((job.use and job.use.tweaks, job.use and job.use.sets) for job in dense) == {
        ((), ("train.lr=0.02",)): 2,
        (("kd",), ()): 2,
        (("kd",), ("train.lr=0.02",)): 2,
    }


def test_a_level_that_the_draw_trains_is_no_job_of_its_own() -> None:
    plain = [place for place in WHOLE.places if place.labels["tweaks"] == place.labels["spend"] == "none"]
    assert {WHOLE.of_use[place.use].kind for place in plain} == {"draw"}


def test_what_goes_on_from_another_spend_needs_it() -> None:
    text = ONE.replace('"ls"', '["ls,redense"]')
    (job,) = [job for job in planned(text, seeds=[0]).jobs if job.use and "redense" in job.use.tweaks]
    needed = [planned(text, seeds=[0]).by_id[name] for name in job.needs]
    assert [(one.kind, one.use and one.use.tweaks) for one in needed] == [("draw", None), ("spend", ("ls",))]


def test_reports_need_the_run_that_they_are_of() -> None:
    plan = planned('audits = ["audit/quick"]\n' + GRID)
    audits = [job for job in plan.jobs if job.kind == "audit"]
    assert len(audits) == len({place.use for place in plan.places})
    for job in audits:
        assert job.use is not None
        assert [plan.by_id[name] for name in job.needs] == [plan.of_use[job.use]]


def test_a_draw_is_made_with_controls_where_some_use_wants_them() -> None:
    plan = planned('controls = ["reinit"]\n' + ONE, seeds=[0])
    (draw,) = [job.draw for job in plan.jobs if job.kind == "draw"]
    assert draw.recipe.draw is not None
    assert draw.recipe.draw.controls
    assert {job.draw.recipe.draw.controls for job in plan.jobs if job.draw.recipe.draw} == {True}


# ------------------------------------------------------------------------------------------------------------- files


def same(one: Plan, other: Plan) -> None:
    assert (one.id, one.title, one.about) == (other.id, other.title, other.about)
    assert one.jobs == other.jobs
    assert [job.draw.recipe.record() for job in one.jobs] == [job.draw.recipe.record() for job in other.jobs]
    assert [(*place.labels.items(), place.use) for place in one.places] == [
        (*place.labels.items(), place.use) for place in other.places
    ]


def through(plan: Plan, folder: Path, workspace: Path | None = None) -> Plan:
    (folder / "p.jsonl").write_bytes(as_bytes(plan))
    return read_plan(folder / "p.jsonl", workspace or plan.workspace)


def test_a_plan_is_the_same_after_its_file(tmp_path: Path) -> None:
    plan = planned('audits = ["audit/quick"]\ncontrols = ["reinit"]\n' + GRID)
    same(through(plan, tmp_path), plan)
    elsewhere = through(plan, tmp_path, Path("/else where"))
    assert ids(elsewhere) == ids(plan)
    assert elsewhere.id == plan.id
    assert as_bytes(elsewhere) == as_bytes(plan)
    assert {job.draw.folder.relative_to("/else where") for job in elsewhere.jobs} == {
        job.draw.folder.relative_to("runs") for job in plan.jobs
    }


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DRAWS = st.sampled_from([job.draw for job in WHOLE.jobs if job.kind == "draw"])
USES = st.builds(
    Use,
    DRAWS,
    st.sampled_from(["", "reinit", "shuffled"]),
    st.sampled_from([(), ("train.lr=0.07",), ("train.epochs=3", 'data.drop.record=["runs/a/levels/0"]')]),
    st.sampled_from([None, 0, 1, 5]),
    st.sampled_from([(), ("ls",), ("kd", "ls"), ("redense",)]),
)
READINGS = st.builds(
    Reading, st.just("audit"), st.just("audit/quick"), st.just("trained"), st.just(""),
    st.sampled_from([None, Fraction(1, 3)]),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    uses=st.lists(USES, min_size=1, max_size=4), readings=st.lists(READINGS, max_size=2), title=WORDS,
    labels=st.dictionaries(WORDS, WORDS, max_size=3), about=st.dictionaries(WORDS, WORDS | st.integers(0, 9)),
)  # fmt: skip
def test_any_plan_is_the_same_after_its_file(
    uses: list[Use], readings: list[Reading], title: str, labels: dict[str, str], about: dict[str, Any],
    tmp_path: Path,
) -> None:  # fmt: skip
    draws = tuple(dict.fromkeys(use.draw for use in uses))
    part = Part(RUNS, draws, tuple(uses), tuple((reading, use) for reading in readings for use in uses))
    try:
        plan = plan_of(part, [Place(labels, use.draw.seed, use, "m") for use in uses], title, about)
    except UsageError:  # sets that name tweaks that are not there, and the like
        return
    same(through(plan, tmp_path), plan)


LINES = as_bytes(planned(ONE + '"tweaks.ls.alpha" = 0.2\n', seeds=[0])).splitlines()


def sealed(records: list[dict[str, Any]]) -> bytes:
    """As somebody would write it who knows how it is done."""
    head, *rest = records
    lines = b"".join(json.dumps(one, sort_keys=True, separators=(",", ":")).encode() + b"\n" for one in rest)
    jobs = [one for one in rest if "job" in one]
    places = [{key: one[key] for key in ("labels", "seed", "metric")} for one in rest if "job" not in one]
    try:
        told = [{**one, "labels": dict(one["labels"])} for one in places]
    except (TypeError, ValueError):
        told = []
    body = {"jobs": [one["id"] for one in jobs], "places": told}
    own = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]
    head = {**head, "id": own, "jobs": len(jobs), "sha256": hashlib.sha256(lines).hexdigest()}
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n" + lines


def test_the_forger_of_these_tests_knows_how_it_is_done() -> None:
    assert sealed([json.loads(line) for line in LINES]) == b"".join(line + b"\n" for line in LINES)


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as error:
        read_plan(path, RUNS)
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_plan_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = b"".join(line + b"\n" for line in LINES)
    for end in [*range(1, len(whole) - 1, 97), len(whole) - 2]:
        said = refused(tmp_path / "p.jsonl", whole[:end])
        assert "cut off or changed; plan it again" in said
    refused(tmp_path / "p.jsonl", b"")
    for gone in range(len(LINES)):
        refused(tmp_path / "p.jsonl", b"\n".join([*LINES[:gone], *LINES[gone + 1 :]]))


def test_a_plan_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    whole = b"".join(line + b"\n" for line in LINES)
    start = len(LINES[0]) + 1
    for at in range(start, len(whole) - 1, 61):
        other = b"7" if whole[at : at + 1] != b"7" else b"8"
        refused(tmp_path / "p.jsonl", whole[:at] + other + whole[at + 1 :])


HOSTILE: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "an id that is a path": lambda one: one[1].update(id="../../../etc/x"),
    "an id with a line end": lambda one: one[1].update(id=one[1]["id"][:-1] + "\n"),
    "an id twice": lambda one: one.insert(2, {**one[1]}),
    "a need that is nowhere": lambda one: one[2].update(needs=["0" * 16]),
    "a need that comes later": lambda one: one[1].update(needs=[one[2]["id"]]),
    "itself needed": lambda one: one[1].update(needs=[one[1]["id"]]),
    "a kind that is none": lambda one: one[1].update(job="rm"),
    "a report without a reading": lambda one: one[2].update(job="audit"),
    "a folder above": lambda one: one[1]["draw"].update(folder="../x"),
    "a folder of the system": lambda one: one[1]["draw"].update(folder="/etc"),
    "another folder of the workspace": lambda one: one[1]["draw"].update(folder="mine/of/value"),
    "no folder": lambda one: one[1]["draw"].update(folder=""),
    "a recipe that cannot be": lambda one: one[1]["draw"]["recipe"]["train"].update(epochs=-1),
    "a recipe with unknown keys": lambda one: one[1]["draw"]["recipe"].update(shell="rm"),
    "endless epochs": lambda one: one[1].update(epochs="inf"),
    "epochs that are none": lambda one: one[1].update(epochs="nan"),
    "negative epochs": lambda one: one[1].update(epochs="-1"),
    "a seed that is text": lambda one: one[1]["draw"].update(seed="x"),
    "a draw that is nowhere": lambda one: one[2]["use"].update(draw="0" * 16),
    "labels that are no pairs": lambda one: one[-1].update(labels=[["a"]]),
    "a list for a record": lambda one: one.__setitem__(1, []),
    "about that is text": lambda one: one[0].update(about="x"),
    "another kind of file": lambda one: one[0].update(kind="ticketctl.ticket"),
    "a newer version": lambda one: one[0].update(version=2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_plan_that_somebody_made_up_is_refused(name: str, tmp_path: Path) -> None:
    records = [json.loads(line) for line in LINES]
    HOSTILE[name](records)
    try:
        data = sealed(records)
    except (TypeError, KeyError, ValueError):
        data = b"".join(json.dumps(one).encode() + b"\n" for one in records)
    said = refused(tmp_path / "p.jsonl", data)
    assert "version 2, this ticketctl reads 1" in said if name == "a newer version" else said


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"{}", b"[]", b"null\n", b"\xff\xfe", b"[" * 10_000, b'{"kind":NaN}', b'{"a":1,"a":2}'],
)
def test_what_is_no_plan_at_all_is_refused(data: bytes, tmp_path: Path) -> None:
    refused(tmp_path / "p.jsonl", data)


def test_a_folder_a_link_and_nothing_are_no_plans(tmp_path: Path) -> None:
    for name in ("none.jsonl", "."):
        with pytest.raises(UsageError, match="there is no such file"):
            read_plan(tmp_path / name, RUNS)
    (tmp_path / "p.jsonl").write_bytes(as_bytes(WHOLE))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "p.jsonl")
    with pytest.raises(ArtifactError, match="links are not followed"):
        read_plan(tmp_path / "link.jsonl", RUNS)


# -------------------------------------------------------------------------------------------------------- workspaces


def test_a_sweep_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sweep in"):
        begun(None, tmp_path)
    plan = planned(ONE, workspace=tmp_path)
    path = keep(plan)
    assert keep(plan) == path == tmp_path / ".sweeps" / plan.id / "plan.jsonl"
    assert begun(None, tmp_path) == begun(plan.id[:4], tmp_path) == begun(plan.id, tmp_path) == path
    with pytest.raises(UsageError, match="no sweep of this name"):
        begun("xyz", tmp_path)


def test_what_became_of_a_plan_is_found_beside_a_damaged_one(tmp_path: Path) -> None:
    plan = planned(ONE, workspace=tmp_path)
    keep(plan)
    assert newest_form(plan) == plan
    later = replace(
        planned(GRID, workspace=tmp_path), about={"retried": [{"plan": plan.id, "jobs": [], "set": []}]}
    )
    keep(later)
    for name, data in (("a" * 12, b"not a plan"), ("b" * 12, b'{"about":{"retried":[7]}}\n')):
        (tmp_path / ".sweeps" / name).mkdir()
        (tmp_path / ".sweeps" / name / "plan.jsonl").write_bytes(data)
    assert newest_form(plan).id == later.id
    assert newest_form(later).id == later.id


def test_draws_are_compared_by_where_they_lie() -> None:
    one = WHOLE.jobs[0].draw
    assert Draw(one.folder, one.seed, "another name", one.recipe) == one
