"""What would be submitted to Slurm, and to whom: no Slurm is needed for any of this."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.grid import WIDE, plan_in, site_of
from ticketctl.cli.devices import resolve
from ticketctl.errors import LockedError, MissingExtraError, UnavailableError, UsageError
from ticketctl.stages import slurm, slurm_queue, slurm_task
from ticketctl.stages.code_snapshot import NAME, differences, keep_snapshot, snapshot
from ticketctl.stages.job_state import JOBS, JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.plan_files import SWEEPS
from ticketctl.stages.slurm_arrays import arrays_of
from ticketctl.stages.slurm_asked import SlurmAsked, check_workspace, minutes_of, slurm_asked
from ticketctl.stages.slurm_queue import Submitted, own_id, queued, remember, remembered
from ticketctl.stages.slurm_task import Heard, Task, waited_for
from ticketctl.store.leases import take

SBATCH = {
    "array": r"0-\d+%\d+", "cpus-per-task": r"[1-9]\d*", "dependency": r"afterany(:\w+)+", "gpus-per-node": r"[1-9]\d*",
    "job-name": r"[\w-]+", "nodes": "1", "ntasks-per-node": "1", "open-mode": "append|truncate", "output": r"/.+",
    "partition": r"[\w,-]+", "requeue": None, "signal": r"((R|B|RB|BR):)?\w+@\d+", "time": r"\d+", "mem": r"\d+[KMGT]?",
    "account": r"\w+", "exclusive": None, "qos": r"\w+",
}  # fmt: skip
"""Options that sbatch knows, of those that we may write, and what each takes: its manual page, of 22.05."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_in(tmp_path_factory.mktemp("plan") / "runs", size=WIDE)


@pytest.fixture
def fresh(plan: Plan) -> Plan:
    """The plan, of which nothing is done or submitted."""
    for name in (JOBS, SWEEPS):
        shutil.rmtree(plan.workspace / name, ignore_errors=True)
    return plan


def order(plan: Plan, device: str = "cpu", **asked: object) -> slurm.Order:
    return slurm.Order(plan, site_of(plan), slurm_asked(device, **asked), resolve)


def directives(text: str) -> dict[str, str | None]:
    """Options of a script; a line that is none of sbatch's would begin the commands."""
    lines = [line for line in text.splitlines() if line.startswith("#SBATCH ")]
    pairs = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
    return {key: value if sign else None for key, sign, value in pairs}


def arrays(plan: Plan, **asked: object) -> list[dict[str, str | None]]:
    return [directives(text) for _, text in slurm.scripts(order(plan, **asked))]


# ------------------------------------------------------------------------------------------------------------ scripts


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_every_line_of_a_script_is_sbatch_s(fresh: Plan, device: str) -> None:
    asked = {"partition": "gpu,long", "memory": "8G", "options": ["account=lab", "exclusive"]}
    for _, text in slurm.scripts(order(fresh, device, **asked)):
        head, _, body = text.partition("# setup")
        assert text.startswith("#!/bin/bash\n")
        assert "#SBATCH" not in body, "sbatch reads no option below the first command"
        for key, value in directives(head).items():
            form = SBATCH[key]
            assert value is None if form is None else re.fullmatch(form, str(value)), (key, value)


def test_stages_are_arrays_one_after_the_other(fresh: Plan) -> None:
    draws, spends = arrays(fresh)
    assert (draws["array"], spends["array"]) == (
        "0-5%6",
        "0-9%10",
    )  # 2 methods and densities, as counted by hand
    assert "dependency" not in draws
    assert spends["dependency"] == "afterany:ARRAY1"


def test_a_task_is_told_in_time_and_may_be_queued_again(fresh: Plan) -> None:
    for one in arrays(fresh, time="01:30:00"):
        assert one["time"] == "90"
        assert one["signal"] == "USR2@120"
        assert "requeue" in one


def test_threads_are_settled_before_anything_is_loaded(fresh: Plan) -> None:
    for _, text in slurm.scripts(order(fresh, setup=["module load cuda"])):
        lines = text.splitlines()
        [srun] = [number for number, line in enumerate(lines) if line.startswith("srun")]
        [threads] = [
            number for number, line in enumerate(lines) if line.startswith("export OMP_NUM_THREADS=1 ")
        ]
        assert lines.index("module load cuda") < threads < srun


def test_a_step_asks_for_the_cores_of_its_job(fresh: Plan) -> None:
    [text, _] = [text for _, text in slurm.scripts(order(fresh, cpus=3))]
    [srun] = [line for line in text.splitlines() if line.startswith("srun")]
    assert "--cpus-per-task=3" in srun


def test_a_gpu_is_asked_for_unless_the_device_is_a_cpu(fresh: Plan) -> None:
    assert [one["gpus-per-node"] for one in arrays(fresh, device="auto")] == ["1", "1"]
    assert [one["cpus-per-task"] for one in arrays(fresh, device="cuda")] == ["4", "4"]
    assert all("gpus-per-node" not in one for one in arrays(fresh))


def test_short_jobs_share_a_task(fresh: Plan) -> None:
    assert [one["array"] for one in arrays(fresh, per_task=4)] == ["0-1%2", "0-2%3"]


def test_one_task_is_no_array(fresh: Plan) -> None:
    assert all("array" not in one for one in arrays(fresh, per_task=64))


def test_what_is_done_is_not_submitted(fresh: Plan) -> None:
    for job in fresh.jobs[:6]:
        write_state(job_folder(fresh.workspace, job.id), JobState("done"))
    [spends] = arrays(fresh)
    assert spends["array"] == "0-9%10"
    assert "dependency" not in spends


def test_a_dry_run_writes_nothing(fresh: Plan) -> None:
    asked = order(fresh)
    before = sorted(path for path in fresh.workspace.rglob("*") if path.is_file())
    list(slurm.scripts(asked))
    assert sorted(path for path in fresh.workspace.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("01:30:00", 90), ("1-00:00:00", 1440), ("00:09:01", 10), ("5", 5)],
)  # fmt: skip
def test_times_are_read_as_sbatch_reads_them(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["04:00", "4h", "", "-1", "0", "4", "1-", "1:2:3", "٩٠" * 0 + "x"])
def test_times_that_people_and_sbatch_read_differently_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time"):
        minutes_of(text)


@pytest.mark.parametrize(
    "text", ["array=0-9", "time=5", "signal=INT@5", "account=", "=x", "Account=x", "qos=a\nrm", "--output=x"]
)
def test_options_that_are_ours_or_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--slurm"):
        slurm_asked("cpu", options=[text])


@pytest.mark.parametrize("text", ["account", "acount=lab", "partiton=x", "qos=", "mail_type=END"])
def test_options_that_lack_a_value_or_a_letter_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--slurm '{text}': ") as caught:
        slurm_asked("cpu", options=[text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["ntasks-per-core=2", "gpus-per-socket=1", "mem-bind=local", "no-requeue", "gres-flags=enforce-binding",
             "nice", "nodefile=x", "--account=lab", "reservation=r", "time-min=5", "hold", "core-spec=1"],
)  # fmt: skip
def test_options_of_sbatch_that_are_not_known_here_are_left_to_it(text: str) -> None:
    asked = slurm_asked("cpu", options=[text])
    assert [*(asked.options or {})] == [text.removeprefix("--").partition("=")[0]]


@pytest.mark.parametrize("text", ["8Q", "8 G", "G", "-8G", "1.5G", "8GB", "٨G", "8G\n", " "])
def test_memory_is_what_sbatch_takes(text: str) -> None:
    with pytest.raises(
        UsageError, match=f"^--memory {re.escape(repr(text))}: write a whole number with K, M, G"
    ):
        slurm_asked("cpu", memory=text)
    for right in ("8G", "512", "0", "900m", "1T"):
        assert slurm_asked("cpu", memory=right).memory == right


@pytest.mark.parametrize("end", ["\n", "\r", "\v", "\x85", "\u2028", "\x00", "\x1b"])
@pytest.mark.parametrize("option", ["partition", "setup", "slurm"])
def test_no_value_begins_another_line_of_a_script(option: str, end: str) -> None:
    text = f"qos=a{end}#SBATCH --account=theirs"
    typed = {"partition": {"partition": text}, "setup": {"setup": [text]}, "slurm": {"options": [text]}}[
        option
    ]
    with pytest.raises(UsageError, match=f"^--{option} .*: this is one line of a script"):
        slurm_asked("cpu", **typed)


@pytest.mark.parametrize(
    "text", ["a\u00a0b", "50%/a", "100% b", "日本", "\U0001f469\u200d\U0001f52c", "$HOME`id`'\""]
)
def test_an_odd_name_stays_on_its_line(text: str) -> None:
    check_workspace(text)


@pytest.mark.parametrize("text", ["/net/50%j", "/net/5%test", "/net/%2a", "/net/%%", "/net/a\\b"])
def test_a_workspace_that_sbatch_reads_as_a_pattern_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--workspace {re.escape(repr(text))}: sbatch reads % and "):
        check_workspace(text)


def test_a_line_of_setup_is_no_option_of_sbatch() -> None:
    with pytest.raises(
        UsageError, match="--setup '#SBATCH --account=x': options of sbatch are given by --slurm"
    ):
        slurm_asked("cpu", setup=["#SBATCH --account=x"])


def test_a_gpu_by_number_is_refused() -> None:
    with pytest.raises(UsageError, match="--device cuda"):
        slurm_asked("cuda:1")
    with pytest.raises(UsageError, match="--gpus 1"):
        slurm_asked("cpu", gpus=1)


# ------------------------------------------------------------------------------------------------------------- arrays


def graphs() -> Iterator[dict[str, tuple[str, ...]]]:
    """All graphs of four jobs in which a job needs earlier ones."""
    names = "abcd"
    edges = [(names[low], names[high]) for low, high in itertools.combinations(range(4), 2)]
    for taken in itertools.product([False, True], repeat=len(edges)):
        chosen = [edge for edge, there in zip(edges, taken, strict=True) if there]
        yield {name: tuple(low for low, high in chosen if high == name) for name in names}


def chain(graph: dict[str, tuple[str, ...]], name: str) -> int:
    """Longest chain below, by all of them."""
    return max((1 + chain(graph, need) for need in graph[name]), default=0)


@pytest.mark.parametrize("per_task", [1, 2, 3])
def test_arrays_hold_each_job_once_after_all_that_it_needs(plan: Plan, per_task: int) -> None:
    some = plan.jobs[0]
    for graph in graphs():
        jobs = tuple(replace(some, id=name, needs=needs) for name, needs in graph.items())
        small = replace(plan, jobs=jobs, places=())
        found = arrays_of(small, set(graph), per_task)
        assert sorted(name for one in found for name in one.jobs) == sorted(graph)
        before: set[str] = set()
        for one in found:
            assert set(one.needs) <= before
            assert {chain(graph, name) for name in one.jobs} == {one.depth}
            assert all(len(task) <= per_task for task in one.tasks)
            before |= set(one.jobs)


def test_a_part_of_a_plan_keeps_its_stages(plan: Plan) -> None:
    wanted = {job.id for job in plan.jobs[5:8]}
    found = arrays_of(plan, wanted)
    assert [one.depth for one in found] == [0, 1]
    assert {name for one in found for name in one.jobs} == wanted


def test_an_array_has_no_more_tasks_than_slurm_takes(plan: Plan) -> None:
    jobs = tuple(replace(plan.jobs[0], id=f"job-{number}") for number in range(2001))
    found = arrays_of(replace(plan, jobs=jobs, places=()), {job.id for job in jobs})
    assert [len(one.tasks) for one in found] == [1000, 1000, 1]


def test_draws_and_reports_share_no_task(plan: Plan) -> None:
    kinds = ["spend", "audit", "spend", "audit"]
    jobs = [replace(plan.jobs[0], id=f"job-{at}", kind=kind) for at, kind in enumerate(kinds)]
    [found] = arrays_of(replace(plan, jobs=tuple(jobs), places=()), {job.id for job in jobs}, 4)
    assert found.tasks == (("job-0", "job-2"), ("job-1", "job-3"))


# -------------------------------------------------------------------------------------------------------------- queue


FAKE = """#!{python}
import json, os, sys
folder = os.environ["FAKE_SLURM"]
name = os.path.basename(sys.argv[0])
state = json.load(open(folder + "/state.json"))
state["said"].append([name, *sys.argv[1:]])
if name == "sbatch":
    text = open(sys.argv[-1]).read()
    state["scripts"].append(text)
    state["next"] += 1
    many = [line for line in text.splitlines() if line.startswith("#SBATCH --array=0-")]
    count = int(many[0].split("0-")[1].split("%")[0]) + 1 if many else 0
    title = [line for line in text.splitlines() if "--job-name=" in line][0].partition("name=")[2]
    for at in range(count or 1):
        state["queue"][str(state["next"]) + ("_%d" % at if count else "")] = [title, "PENDING"]
    print("Submitted batch job", state["next"])
elif name == "squeue":
    if state["down"]:
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    wanted = [text.partition("=")[2] for text in sys.argv if text.startswith("--jobs=")]
    for task, (title, kind) in state["queue"].items():
        if wanted and task in wanted:
            print(kind)
        elif not wanted:
            print(task + "|" + title + "|" + kind)
json.dump(state, open(folder + "/state.json", "w"))
"""


class Fake:
    """Commands of a Slurm that runs nothing: what they were told, and what they answer."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.json"
        self.write({"said": [], "scripts": [], "queue": {}, "next": 40, "down": False})

    def read(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.path.read_text())
        return found

    def write(self, state: dict[str, object]) -> None:
        self.path.write_text(json.dumps(state))

    def set(self, **change: object) -> None:
        self.write({**self.read(), **change})

    @property
    def scripts(self) -> list[dict[str, str | None]]:
        return [directives(text) for text in self.read()["scripts"]]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    folder = tmp_path / "slurm-bin"
    folder.mkdir()
    import sys

    for name in ("sbatch", "srun", "squeue", "scontrol"):
        (folder / name).write_text(FAKE.replace("{python}", f"{sys.executable} -IS"))
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return Fake(folder)


def test_the_same_command_again_submits_nothing_that_is_queued(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    first = slurm.submit(asked)
    assert [one.array for one in first.arrays] == ["41", "42"]
    assert fake.scripts[1]["dependency"] == "afterany:41"
    assert slurm.told(first) == [
        "array 41: 6 tasks, 6 jobs", "array 42: 10 tasks, 10 jobs, after 41", "submitted 2 arrays",
    ]  # fmt: skip
    said = json.loads(json.dumps(slurm.sent_record(first)))
    assert [one["after"] for one in said["arrays"]] == [[], ["41"]]
    assert [*said["arrays"][0]["tasks"].values()] == [[job.id] for job in fresh.jobs[:6]]
    again = slurm.submit(asked)
    assert again.arrays == ()
    assert slurm.told(again) == ["nothing to submit: 16 tasks in the queue before"]
    assert len(again.queued) == 16
    assert len(fake.scripts) == 2


def test_what_another_engine_is_at_is_left_to_it(fresh: Plan, fake: Fake) -> None:
    folder = job_folder(fresh.workspace, fresh.jobs[0].id)
    lease = take(folder, lambda: None)
    assert lease is not None
    with lease:
        write_state(folder, JobState("running"))
        sent = slurm.submit(order(fresh))
    assert fresh.jobs[0].id not in [
        name for one in sent.arrays for jobs in one.tasks.values() for name in jobs
    ]
    assert slurm.told(sent)[-1] == "submitted 2 arrays; 1 job under way elsewhere"


def test_the_queue_is_told_by_job(fresh: Plan, fake: Fake) -> None:
    assert slurm.queue_of(fresh) == {}
    slurm.submit(order(fresh, per_task=3))
    assert slurm.queue_of(fresh) == {job.id: "PENDING" for job in fresh.jobs}


def test_what_left_the_queue_undone_is_submitted_after_what_is_still_there(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    slurm.submit(asked)
    left = {name: value for name, value in fake.read()["queue"].items() if name.startswith("41_")}
    fake.set(queue=left)  # somebody cancelled all spends
    [again] = slurm.submit(asked).arrays
    assert len(again.tasks) == 10
    assert fake.scripts[-1]["dependency"] == "afterany:41"


def test_the_submitted_scripts_are_those_of_the_dry_run(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    said = [text.replace("ARRAY1", "41") for _, text in slurm.scripts(asked)]
    slurm.submit(asked)
    assert fake.read()["scripts"] == said


def test_ids_of_another_cluster_s_jobs_are_not_taken_for_ours(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    slurm.submit(asked)
    queue = {name: ["somebody", "RUNNING"] for name in fake.read()["queue"]}
    fake.set(queue=queue)
    assert len(slurm.submit(asked).arrays) == 2


def test_a_slurm_that_does_not_answer_is_given_nothing(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    slurm.submit(asked)
    fake.set(down=True)
    with pytest.raises(UnavailableError, match="Unable to contact slurm controller"):
        slurm.submit(asked)
    assert len(fake.scripts) == 2


def test_two_commands_do_not_submit_at_once(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    lease = take(asked.folder / "submit", lambda: None)
    assert lease is not None
    with lease, pytest.raises(LockedError, match="being submitted"):
        slurm.submit(asked)
    assert fake.scripts == []


def test_what_sbatch_refuses_is_told_in_its_words(fresh: Plan, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "slurm-bin/sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n"
    )
    with pytest.raises(UsageError, match="invalid partition"):
        slurm.submit(order(fresh))


def test_without_slurm_nothing_is_submitted(fresh: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="login node"):
        slurm.submit(order(fresh))


def test_without_submitit_the_install_line_comes_first(fresh: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    for work in (slurm.submit, lambda one: list(slurm.scripts(one))):
        with pytest.raises(MissingExtraError, match=r"pip install 'ticketctl\[cluster\]'"):
            work(order(fresh))


def test_damaged_notes_of_what_was_submitted_are_passed_over(tmp_path: Path) -> None:
    ours = Submitted("ours", {"7_0": ("a",), "7_1": ("b",)}, ("6",))
    remember(tmp_path, ours)
    (tmp_path / "array-8.json").write_text("{")
    (tmp_path / "array-9.json").write_text('{"name": "x", "tasks": []}')
    assert remembered(tmp_path) == [ours]


def test_a_single_job_is_found_in_the_queue(fake: Fake) -> None:
    fake.set(queue={"7": ["ours", "RUNNING"]})
    assert queued([Submitted("ours", {"7": ("a",)})]) == {"7": "RUNNING"}


# --------------------------------------------------------------------------------------------------------------- task


def test_a_task_of_an_array_is_not_named_by_the_array_s_id() -> None:
    assert own_id({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}) == "12_3"
    assert own_id({"SLURM_JOB_ID": "12"}) == "12"
    assert own_id({}) == ""


@pytest.mark.parametrize(("kind", "again"), [("RUNNING", True), ("COMPLETING", False), ("PENDING", False)])
def test_a_task_is_queued_again_only_where_slurm_believes_that_it_runs(
    fake: Fake, kind: str, again: bool
) -> None:
    fake.set(queue={"7_1": ["ours", kind]})
    assert slurm_queue.queue_again("7_1") is again
    requeued = [one for one in fake.read()["said"] if one[:2] == ["scontrol", "requeue"]]
    assert requeued == ([["scontrol", "requeue", "7_1"]] if again else [])


@pytest.mark.parametrize(
    ("name", "state", "again"),
    [("SIGUSR2", "stopped", True), ("SIGTERM", "killed", True), ("", "stopped", False), ("SIGTERM", "done", False),
     ("SIGTERM", "failed", False)],
)  # fmt: skip
def test_a_signal_queues_a_task_again_that_leaves_something_undone(
    fresh: Plan, fake: Fake, monkeypatch: pytest.MonkeyPatch, name: str, state: str, again: bool
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    fake.set(queue={"7": ["ours", "RUNNING"]})
    write_state(job_folder(fresh.workspace, fresh.jobs[0].id), JobState(state))
    heard = Heard()
    heard.name = name
    slurm_task._leave(fresh, [fresh.jobs[0].id], heard)
    assert heard.left is again
    assert (["scontrol", "requeue", "7"] in fake.read()["said"]) is again


def test_a_job_whose_need_failed_is_not_done(fresh: Plan, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    draw, spend = fresh.jobs[0], next(job for job in fresh.jobs if job.needs == (fresh.jobs[0].id,))
    write_state(job_folder(fresh.workspace, draw.id), JobState("failed", cause="bug"))
    began = time.monotonic()
    assert waited_for(fresh, [spend.id], lambda: False) == []
    assert time.monotonic() - began < 10, "a failure is no matter of waiting"
    assert "is failed" in caplog.text


def test_what_another_node_wrote_is_waited_for(fresh: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, spend = fresh.jobs[0], next(job for job in fresh.jobs if job.needs == (fresh.jobs[0].id,))
    looks = []

    def slept(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            write_state(job_folder(fresh.workspace, draw.id), JobState("done"))

    monkeypatch.setattr(slurm_task.time, "sleep", slept)
    assert [job.id for job in waited_for(fresh, [spend.id], lambda: False)] == [spend.id]
    assert len(looks) == 3


def test_a_need_that_never_ends_is_not_waited_for_for_ever(fresh: Plan) -> None:
    spend = next(job for job in fresh.jobs if job.needs)
    assert waited_for(fresh, [spend.id], lambda: False, seconds=0.0) == []
    assert waited_for(fresh, [spend.id], lambda: True) == []


def test_signals_are_heard_and_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Heard() as heard:
        signal.raise_signal(signal.SIGCONT)
        assert heard.name == ""
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGTERM)
        assert heard.name == "SIGUSR2"
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_the_pool_begins_does_not_hear_usr2() -> None:
    with slurm_task._deaf():
        child = subprocess.Popen(["sleep", "0.3"])
    child.send_signal(signal.SIGUSR2)
    assert child.wait() == 0
    open_ = subprocess.Popen(["sleep", "5"])
    open_.send_signal(signal.SIGUSR2)
    assert open_.wait() == -signal.SIGUSR2, "else the first half of this test says nothing"


def test_a_cpu_task_has_one_thread_a_slot_and_a_gpu_task_a_share(plan: Plan) -> None:
    def slots(**share: int) -> list[tuple[str, int]]:
        task = Task(site_of(plan), (), resolve, ".", **share)
        return [(slot.device, slot.threads) for slot in task.slots()]

    assert slots(cpus=2) == [("cpu", 1), ("cpu", 1)]
    assert slots(gpus=2, cpus=8, per_gpu=2) == [("cuda:0", 2), ("cuda:0", 2), ("cuda:1", 2), ("cuda:1", 2)]


def test_settled_threads_are_those_of_the_slots() -> None:
    for asked in (
        SlurmAsked(cpus=3),
        SlurmAsked(gpus=2, cpus=8, per_gpu=2),
        SlurmAsked(gpus=1, cpus=1, per_gpu=3),
        SlurmAsked(gpus=2, cpus=8, per_gpu=4, streams=True),
    ):
        task = Task(None, (), resolve, ".", asked.gpus, asked.cpus, asked.per_gpu, {}, asked.streams)
        [line] = asked.parameters("x", None)["setup"]
        assert f"OMP_NUM_THREADS={task.slots()[0].threads} " in line


def test_streams_of_a_task_are_lanes_of_one_process_for_each_gpu(plan: Plan) -> None:
    task = Task(site_of(plan), (), resolve, ".", gpus=2, cpus=8, per_gpu=3, streams=True)
    assert [(slot.device, slot.process) for slot in task.slots()] == [("cuda:0", 0)] * 3 + [("cuda:1", 1)] * 3
    with pytest.raises(UsageError, match="--streams: is for GPUs"):
        slurm_asked("cpu", per_gpu=2, streams=True)


# --------------------------------------------------------------------------------------------------------------- code


def test_the_code_of_a_sweep_is_that_of_its_beginning(tmp_path: Path) -> None:
    first = keep_snapshot(tmp_path)
    assert first == snapshot()
    assert differences(first) == ()
    (tmp_path / NAME).write_text(json.dumps({**first, "package_sha256": "0" * 64}))
    kept = keep_snapshot(tmp_path)
    assert kept["package_sha256"] == "0" * 64
    [said] = differences(kept)
    assert "ticketctl 000000000000 there" in said


def test_other_versions_are_named() -> None:
    now = snapshot()
    [said] = differences({**now, "python": "3.9.1", "packages": {**now["packages"], "torch": "1.0"}})
    assert "python 3.9.1 there" in said
    assert "torch 1.0 there" in said


def test_following_ends_when_the_queue_is_empty(fresh: Plan, fake: Fake) -> None:
    asked = order(fresh)
    sent = slurm.submit(asked)
    seen: list[tuple[str, str]] = []

    class Watcher:
        def begun(self, job: PlanJob) -> None:
            seen.append(("begun", job.id))

        def ended(self, job: PlanJob, state: JobState) -> None:
            seen.append((state.kind, job.id))

        def tick(self, swept: object) -> None:
            if not seen:
                write_state(job_folder(fresh.workspace, fresh.jobs[0].id), JobState("done"))
            else:
                fake.set(queue={})

    swept = slurm.follow(asked, sent, Watcher(), lambda: None, every=0.01)
    assert seen == [("done", fresh.jobs[0].id)]
    assert swept.counts() == {"done": 1, "waiting": 15}
