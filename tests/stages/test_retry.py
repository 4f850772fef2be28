"""Failed jobs again: which of them, and as which new jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.stages import tiny
from tests.stages.swept_plan import say
from ticketctl.errors import UsageError
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.jobs import Plan, PlanJob, plan_of
from ticketctl.stages.plan_cost import cost_of
from ticketctl.stages.plan_files import as_bytes, keep, newest_form, read_plan
from ticketctl.stages.plan_wanted import Wanted, plan_meant
from ticketctl.stages.retry import advised, changed, check_rows, check_same, chosen, retried, way_on
from ticketctl.stages.sweep import survey_states
from ticketctl.stages.sweep_entries import entries_of, plan_named

GRID = """
audits = ["audit/quick"]
[axes]
method = ["snip", "random"]
density = 0.5
spend = ["train.lr=0.02", "train.lr=0.03"]
[sets]
"train.epochs" = 2
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    found = plan_grid(grid_in(GRID, "g"), [0], tmp_path)
    return plan_of(found, found.places, "T", {})


def job(plan: Plan, kind: str, method: str, rate: str = "") -> PlanJob:
    """Of the ticket, not of a dense net."""
    (found,) = [
        one for one in plan.jobs
        if one.kind == kind and f"{method} to" in one.title and rate in one.title and "dense" not in one.title
    ]  # fmt: skip
    return found


def test_failed_jobs_are_chosen_by_their_cause(plan: Plan) -> None:
    one, other, third = (job(plan, "draw", name) for name in ("snip", "random", "snip"))
    assert one == third
    say(plan, {one.id: "failed"}, cause="resources")
    say(plan, {other.id: "failed"}, cause="diverged")
    swept = survey_states(plan)
    assert chosen(swept, "resources") == [one]
    assert chosen(swept, "failed") == [one, other]
    with pytest.raises(UsageError, match="--retry killed: no job failed for that"):
        chosen(swept, "killed")
    with pytest.raises(UsageError, match="did you mean 'resources'"):
        chosen(swept, "resource")
    with pytest.raises(
        UsageError, match=r"--retry bug: no job failed for that; there is diverged, failed, resources$"
    ):
        chosen(swept, "bug")
    with pytest.raises(UsageError, match="--set a=b: no key a"):
        chosen(swept, "bug", ["a=b"])
    assert check_same([one, other], swept) == [one]  # the other would diverge again, bit for bit
    with pytest.raises(UsageError, match="would again, bit for bit"):
        check_same([other], swept)


@pytest.mark.parametrize("cause", ["failed", "resources", "bug", "nonsense"])
@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ((), "--retry {}: no job failed; without --retry the sweep does what is left"),
        (["train.batch=32"], "--retry {}: no job failed; without --retry the sweep does what is left"),
        (["train.batch=32", "a=b"], "--set train.batch=32 a=b: no key a; there is "),
        (["train.lr=1"], "--set train.lr=1: train.lr is what the axis spend of the sweep says"),
        (["train.lr"], "--set 'train.lr': write KEY=VALUE"),
    ],
)
def test_where_nothing_failed_a_retry_is_refused_and_its_keys_are_looked_at(
    cause: str, sets: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "g.toml").write_text(GRID)
    words = [word for text in sets for word in ("--set", text)]
    answer = ask(tmp_path, "sweep", "g.toml", "--retry", cause, *words, "--quiet", "--device", "cpu")
    assert answer.code == 2
    assert answer.complaint.startswith(f"ticketctl: {said.format(cause)}")
    assert [path.name for path in tmp_path.iterdir()] == ["g.toml"]


AXES = """
[axes]
model = "lenet-300-100"
data = "digits"
method = "snip"
density = 0.5
"data.noise.rate" = 0.1
"train.lr" = [0.05, 0.1]
spend = ["none", "train.epochs=3; train.batch=32", "spend/sam"]
[sets]
"train.epochs" = 2
"""


@pytest.mark.parametrize(
    ("key", "axis"),
    [
        ("train.lr=0.2", "train.lr"),
        ("train={momentum=0.5, lr=0.2}", "train.lr"),
        ("data.noise.rate=0.4", "data.noise.rate"),
        ("data.noise=none", "data.noise.rate"),
        ("draw.density=0.2", "density"),
        ("draw.rounds=2", "density"),
        ("draw.params.rate=0.3", "density"),
        ("draw.method=random", "method"),
        ("model.name=vgg16", "model"),
        (" data.name = cifar10", "data"),
        ("train.batch=64", "spend"),
        ("train.epochs=4", "spend"),
        ("seeds.init=7", "seeds"),
    ],
)
def test_a_key_that_an_axis_says_is_refused_for_its_row_would_be_called_by_the_old_value(
    key: str, axis: str, tmp_path: Path
) -> None:
    plan = planned(AXES, tmp_path)
    with pytest.raises(UsageError) as said:
        check_rows(plan, ["train.momentum=0.8", key])
    name = key.partition("=")[0].strip().replace("params.", "")
    own = {"train": "train.lr"}.get(name, name)
    what = "an axis of the sweep" if own == axis else f"what the axis {axis} of the sweep says"
    where = (
        "sets, or on an axis of its own,"
        if own == "draw.rate"
        else axis
        if axis == "seeds"
        else f"axes.{axis}"
    )
    assert str(said.value) == (
        f"--set train.momentum=0.8 {key}: {own} is {what}, and the row would keep the name of the old value; put the "
        f"new one into {where} of the grid and sweep again: what is done is found"
    )


def test_a_key_that_no_axis_says_is_taken_and_so_is_any_of_a_table_of_a_paper(tmp_path: Path) -> None:
    check_rows(
        planned(AXES, tmp_path), ["train.momentum=0.8", "train.lrx=3", "data.validation=0", "a=2020-01-01"]
    )
    named = planned(AXES.replace("density = 0.5", "level = 'deepest'").replace("snip", "imp"), tmp_path)
    check_rows(named, ["draw.density=0.2"])  # the deepest level is called so whatever it keeps
    cells = plan_meant(Wanted("001:A2", tmp_path, rows=["LTH"], seeds=[0])).plan
    check_rows(cells, ["train.lr=0.2", "draw.density=0.2"])
    with pytest.raises(UsageError, match="the old value; name the new one with --seed and sweep again"):
        check_rows(cells, ["seeds.init=7"])  # a table has no grid to put it into


def test_keys_of_a_spend_recipe_whose_file_is_gone_are_those_that_it_changed(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("[train]\nbatch = 16\n")
    plan = planned(AXES.replace("spend/sam", str(own)), tmp_path)
    own.unlink()
    with pytest.raises(UsageError, match=r"train\.batch is what the axis spend of the sweep says"):
        check_rows(plan, ["train.batch=8"])
    check_rows(plan, ["train.momentum=0.8"])


def test_advice_names_no_key_that_an_axis_says(tmp_path: Path) -> None:
    rate = "it had train.lr = 1; try a lower rate, e.g. --set train.lr=0.1"
    memory = "out of memory; a smaller batch helps (--retry resources --set train.batch=64)"
    odd = "what; --set a..b=1"
    axes = 'method = ["snip", "random"]\ndensity = 0.5\n'
    for number, (more, lr, said) in enumerate(
        (
            ("", "train.lr=0.01", (rate, memory, odd)),
            ('"train.lr" = [1, 2]', "train.warmup=1ep", ("it had train.lr = 1", memory, odd)),
            ('"train.lr" = 1\n"train.warmup" = "0"', "KEY=VALUE", ("it had train.lr = 1", memory, odd)),
            ("spend = 'train.batch=32'", "train.lr=0.01", (rate, "out of memory", odd)),
        )
    ):
        plan = planned(f"[axes]\n{axes}{more}", tmp_path / str(number))
        assert tuple(advised(text, plan) for text in (rate, memory, odd)) == said
        one, other, *_ = (job for job in plan.jobs if job.kind == "draw")
        say(plan, {one.id: "failed"}, cause="diverged")
        swept = survey_states(plan)
        assert way_on(swept) == f"--retry diverged --set {lr} does them otherwise"
        with pytest.raises(UsageError, match=f": 1 job diverged, .*; change something: --set {lr}$"):
            check_same([one], swept)
        say(plan, {other.id: "failed"}, cause="bug")
        assert way_on(survey_states(plan)) == "--retry failed does them again"


@pytest.mark.parametrize(
    ("rates", "advice"), [("", "train.lr=0.01"), ('"train.lr" = 1e6\n', "train.warmup=1ep")]
)
def test_a_sweep_of_which_all_failures_diverged_says_how_it_goes_on_and_so_does_the_retry(
    rates: str, advice: str, tmp_path: Path
) -> None:
    plan = planned(f"dense = false\n[axes]\n{rates}method = 'snip'\ndensity = 0.5\n", tmp_path / "runs")
    keep(plan)
    message = "the loss is not finite; it had train.lr = 1e+06; try a lower rate, e.g. --set train.lr=0.1"
    say(plan, {plan.jobs[0].id: "failed"}, cause="diverged", message=message)
    answer = ask(tmp_path, "sweep", "newest", "--quiet", "--device", "cpu")
    assert answer.code == 4
    assert answer.complaint == (
        "ticketctl: 1 job failed; ticketctl status --failed says why, "
        f"--retry diverged --set {advice} does them otherwise"
    )
    for name in ("newest", plan.id):
        told = ask(tmp_path, "status", name).out
        assert "\n1 job: 1 failed\n" in told
        assert ("--set train.lr" in told) == (not rates)
    for cause in ("failed", "diverged"):
        again = ask(tmp_path, "sweep", "newest", "--retry", cause, "--quiet", "--device", "cpu")
        assert again.code == 2
        assert again.complaint == (
            "ticketctl: --retry: 1 job diverged, and would again, bit for bit; change something: "
            f"--set {advice}"
        )


def test_retried_jobs_are_named_the_first_two(tmp_path: Path) -> None:
    plan = planned(LADDER.replace('method = "imp"', 'method = ["snip", "random", "synflow"]'), tmp_path)
    draws = [job for job in plan.jobs if job.kind == "draw"]
    first = changed(plan, draws[:1], ["train.batch=32"])
    assert retried(first) == [f"1 job was retried with train.batch=32: [{draws[0].title}]"]
    both = changed(first, draws[1:3], ["train.batch=16"])
    named = f"[{draws[1].title}], [{draws[2].title}]"
    assert retried(both)[1:] == [f"2 jobs were retried with train.batch=16: {named}"]
    all_ = changed(plan, draws, ["train.batch=16", "train.lr=0.2"])
    named = f"[{draws[0].title}], [{draws[1].title}] and {len(draws) - 2} more"
    assert retried(all_) == [f"{len(draws)} jobs were retried with train.batch=16 train.lr=0.2: {named}"]
    assert retried(read_plan(keep(all_), plan.workspace)) == retried(all_)
    older = {"plan": plan.id, "jobs": ["x"], "set": ["train.batch=16"]}  # of before jobs were named
    assert retried(replace(plan, about={"retried": [older]})) == ["1 job was retried with train.batch=16"]


def test_another_key_of_a_spend_makes_another_job_and_leaves_the_rest(plan: Plan) -> None:
    old = job(plan, "spend", "snip", "lr=0.02")
    other = changed(plan, [old], ["train.batch=32"])
    audit = next(one for one in plan.jobs if old.id in one.needs)
    gone, new = (
        {one.id for one in a.jobs} - {one.id for one in b.jobs} for a, b in ((plan, other), (other, plan))
    )
    assert gone == {old.id, audit.id}
    assert len(new) == 2
    (fresh,) = [one for one in other.jobs if one.id in new and one.kind == "spend"]
    assert fresh.use is not None
    assert {*fresh.use.sets} == {"train.lr=0.02", "train.batch=32"}
    assert fresh.draw == old.draw
    assert len(other.places) == len(plan.places)
    assert [place.labels for place in other.places] == [place.labels for place in plan.places]
    assert other.id != plan.id


def test_another_key_of_a_draw_makes_other_jobs_of_all_that_needs_it(plan: Plan) -> None:
    old = job(plan, "draw", "random")
    other = changed(plan, [old], ["train.batch=32"])
    gone = {one.id for one in plan.jobs} - {one.id for one in other.jobs}
    assert gone == plan.below([old.id])
    fresh = job(other, "draw", "random")
    assert fresh.draw.recipe.train.batch == 32
    assert fresh.draw.folder != old.draw.folder
    assert {one.draw for one in other.jobs if "random to" in one.title} == {fresh.draw}
    seen: set[str] = set()
    for one in other.jobs:
        assert {*one.needs} <= seen
        seen.add(one.id)


def test_what_became_of_a_plan_is_found_by_the_plan_that_it_was(plan: Plan) -> None:
    keep(plan)
    second = changed(plan, [job(plan, "draw", "random")], ["train.batch=32"])
    keep(second)
    third = changed(second, [job(second, "draw", "snip")], ["train.batch=16"])
    path = keep(third)
    assert [one["set"] for one in third.about["retried"]] == [["train.batch=32"], ["train.batch=16"]]
    assert [one["plan"] for one in third.about["retried"]] == [plan.id, second.id]
    for one in (plan, second, third):
        assert newest_form(one).id == third.id
    assert as_bytes(read_plan(path, plan.workspace)) == as_bytes(third)


def test_however_a_sweep_is_named_it_is_what_became_of_it(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(GRID)
    (tmp_path / "p.jsonl").write_bytes(as_bytes(plan))
    second = changed(plan, [job(plan, "draw", "random")], ["train.batch=32"])
    for one in (second, plan):  # what it came of is written last, and so is the newest by its file
        keep(one)
    for name in (
        None,
        "newest",
        plan.id,
        plan.id[:5],
        second.id,
        str(tmp_path / "g.toml"),
        str(tmp_path / "p.jsonl"),
    ):
        assert plan_named(name, tmp_path).id == second.id
    title = job(plan, "draw", "random").title
    assert retried(second) == [f"1 job was retried with train.batch=32: [{title}]"]


def test_a_grid_that_was_swept_with_other_options_is_told_with_the_sweep_that_was(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(GRID)
    swept = plan_meant(Wanted(str(tmp_path / "g.toml"), tmp_path, seeds=[3, 4])).plan
    keep(swept)
    assert not entries_of(plan_named(swept.id, tmp_path)).remarks
    odd = tmp_path / ".sweeps" / "0123" / "plan.jsonl"  # whoever wrote it, nothing is told of it
    odd.parent.mkdir()
    odd.write_text('{"about": ["g.toml"]}\n')
    other = plan_named(str(tmp_path / "g.toml"), tmp_path)
    said = f"no sweep of this very plan was begun; of the same there is {swept.id}"
    assert entries_of(other).remarks == (said,)
    keep(other)
    assert not entries_of(other).remarks


def test_a_key_that_cannot_be_is_refused(plan: Plan) -> None:
    spend, draw = job(plan, "spend", "snip", "lr=0.02"), job(plan, "draw", "snip")
    audit = next(one for one in plan.jobs if one.kind == "audit")
    for jobs, sets, fault in (
        ([spend], ["draw.density=0.2"], "whose tickets are drawn already"),
        ([spend], ["train.lr=0.02"], "changes nothing of a spend"),
        ([draw], ["train.epochs=2"], "changes nothing of"),
        ([draw], ["train.epoch=3"], "epoch"),
        ([draw], ["tweaks.none.a=3"], "no such tweak"),
        ([spend], ["train.lr"], "train.lr"),
        ([audit, spend], ["train.lr=0.5"], "is a report"),
    ):
        with pytest.raises(UsageError, match=fault) as refused:
            changed(plan, jobs, sets)
        assert "\n" not in str(refused.value)


LADDER = """
controls = ["shuffled"]
[axes]
method = "imp"
density = [0.5, 0.3]
spend = ["none", "train.lr=0.02"]
[sets]
"train.epochs" = 2
"""
CANNOT = {
    "train.warmup=3ep": "spend",
    'train.schedule=step; train.milestones=["1ep","3ep"]': "spend",
    "keep.epochs=[9]": "spend",
    "keep.metrics=['nope']": "spend",
    "spend.start=trained": "spend",
    "spend.optimizer=kept": "spend",
    "draw.rewind=2ep": "draw",
}


def planned(text: str, folder: Path) -> Plan:
    found = plan_grid(grid_in(text, "g"), [0], folder)
    return plan_of(found, found.places, "T", {})


def refusal(plan: Plan, jobs: list[PlanJob], sets: list[str]) -> str:
    """Names the keys and the first of the jobs, in a line."""
    with pytest.raises(UsageError) as said:
        changed(plan, jobs, sets)
    text = str(said.value)
    assert text.startswith(f"--set {' '.join(sets)}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("keys", CANNOT)
def test_new_jobs_are_asked_what_a_grid_with_their_keys_is_asked(keys: str, tmp_path: Path) -> None:
    sets, kind = keys.split("; "), CANNOT[keys]
    name, value = sets[-1].split("=", 1)
    axes = LADDER.replace(
        '"train.lr=0.02"', f"""'{keys}'""" if "'" not in keys else f'''"train.lr=0.02; {keys}"'''
    )
    if kind == "draw":
        axes = LADDER.replace("[sets]", f'[sets]\n"{name}" = "{value}"')
    with pytest.raises(UsageError) as of_grid:
        planned(axes, tmp_path)
    plan = planned(LADDER, tmp_path)
    text = refusal(plan, [job for job in plan.jobs if job.kind == kind], sets)
    reason = text.partition("cannot be: ")[2].partition(" [")[0]
    assert reason
    assert reason in str(of_grid.value)
    assert "imp to 30 %" in text


def test_levels_that_others_want_have_to_stay_in_the_ladder(tmp_path: Path) -> None:
    plan = planned(LADDER, tmp_path)
    draws = [job for job in plan.jobs if job.kind == "draw"]
    assert "level 6: imp has levels 0 to 4" in refusal(plan, draws, ["draw.density=0.5"])
    assert "is drawn in levels" in refusal(plan, draws, ["draw.method=snip"])
    alone = planned(LADDER.replace(', "train.lr=0.02"', "").replace('controls = ["shuffled"]', ""), tmp_path)
    assert [job.kind for job in alone.jobs] == ["draw"]
    assert "level 6: imp has levels 0 to 4" in refusal(alone, [*alone.jobs], ["draw.density=0.5"])
    changed(plan, draws, ["draw.density=0.2"])
    plan = planned(LADDER.replace("density = [0.5, 0.3]", 'level = "deepest"'), tmp_path)
    draws = [job for job in plan.jobs if job.kind == "draw"]
    once = changed(
        plan, draws, ["draw.method=random", "draw.rounds=none", "draw.density=0.5", "draw.rate=none"]
    )
    assert len(once.places) == len(plan.places)


def test_a_key_that_nobody_would_read_and_data_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    plan = planned(LADDER, tmp_path)
    spends = [job for job in plan.jobs if job.kind == "spend"]
    draws = [job for job in plan.jobs if job.kind == "draw"]
    assert "which is a draw" in refusal(plan, draws, ["spend.start=trained"])
    assert "the plan says" in refusal(plan, spends, ["spend.tweaks=['ls']"])
    assert "ls has no such key" in refusal(plan, spends, ["tweaks.ls.nope=1"])
    assert "ls is not spent" in refusal(plan, spends, ["tweaks.ls.alpha=0.2"])
    gone = "data imagefolder:nothere: there is no nothere"
    assert gone in refusal(plan, draws, ["data.name=imagefolder:nothere"])
    assert "cannot be spent as resnet20" in refusal(plan, spends, ["model.name=resnet20"])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["spend={tweaks=['ls']}"], "spend.tweaks: which tweaks are spent the plan says"),
        (["spend.tweaks = ['ls']", "train.lr=0.5"], "spend.tweaks: which tweaks are spent the plan says"),
        (["draw={rounds=2}", "train.lr=0.5"], "whose tickets are drawn already"),
        ([" draw.rounds=2", "train.lr=0.5"], "whose tickets are drawn already"),
        (["data.name=imagefolder"], "data.name (imagefolder, and not digits) is the draw's"),
        (
            ["data={name='tensors:a.safetensors'}"],
            "data.name (tensors:a.safetensors, and not digits) is the draw's",
        ),
        (["spend=3"], "spend: must be a table"),
    ],
)
def test_a_key_of_a_spend_that_nobody_would_read_is_refused_however_it_is_written(
    keys: list[str], said: str, tmp_path: Path
) -> None:
    plan = planned(LADDER, tmp_path)
    assert said in refusal(plan, [job for job in plan.jobs if job.kind == "spend"], keys)


def test_jobs_that_needed_no_change_are_not_asked(plan: Plan) -> None:
    """Those of the old plan would be blamed on keys that are none of theirs."""
    late = replace(plan.places[0].use, sets=("train.warmup=9ep",))
    place = replace(plan.places[0], use=late)
    older = plan_of(replace(plan.agenda, uses=(*plan.agenda.uses, late)), [*plan.places, place], "T", {})
    one = changed(older, [job(plan, "spend", "snip", "lr=0.02")], ["train.epochs=4", "train.warmup=3ep"])
    assert len(one.jobs) == len(older.jobs) == len(plan.jobs) + 1


def test_what_data_say_of_the_new_keys_is_refused_with_the_jobs(plan: Plan, tmp_path: Path) -> None:
    old = job(plan, "spend", "snip", "lr=0.02")
    other = changed(plan, [old], ["train.warmup=999it"])
    with pytest.raises(UsageError) as said:
        cost_of(other, tiny.around(tmp_path), timed=0)
    text = str(said.value)
    assert text.startswith("--set train.warmup=999it: 1 of ")
    assert "jobs cannot be: train.warmup: 999it lies past the end" in text
    assert "snip to 50 %" in text
    assert "exclude" not in text
    assert "\n" not in text


@pytest.mark.parametrize("keys", ["train.warmup=9ep", "train.warmup=999it"])
def test_a_sweep_that_is_refused_with_its_keys_writes_nothing(keys: str, tmp_path: Path) -> None:
    plan = planned(GRID, tmp_path / "runs")
    keep(plan)
    old = job(plan, "spend", "snip", "lr=0.02")
    say(plan, {old.id: "failed"}, cause="resources")
    before = tiny.files_below(tmp_path)
    answer = ask(
        tmp_path, "sweep", "newest", "--retry", "resources", "--set", keys, "--quiet", "--device", "cpu"
    )
    assert answer.code == 2
    assert answer.complaint.startswith(f"ticketctl: --set {keys}: 1 of ")
    assert "snip to 50 %" in answer.complaint
    assert tiny.files_below(tmp_path) == before
    assert newest_form(plan).id == plan.id
