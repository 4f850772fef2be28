"""A sweep on a real Slurm of one node, disturbed in every way that we know: the bytes of the undisturbed one."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.grid import Mute, faults, locally, plan_in, site_of
from tests.cluster.slurm_node import Node, missing
from tests.sweep_marathon import files
from ticketctl.cli.devices import resolve
from ticketctl.stages import slurm
from ticketctl.stages.job_state import job_folder, said
from ticketctl.stages.jobs import Plan
from ticketctl.stages.slurm_asked import slurm_asked
from ticketctl.store.leases import claim_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(missing()), reason=f"no Slurm here: {', '.join(missing())} (Debian: slurm-wlm munge)"
    ),
]
pytest.importorskip("submitit", reason="needs the extra cluster")

EPOCHS = 60
"""Some seconds of a draw, so that there is something to disturb."""


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
        Node(Path(folder), grace=20) as found,
    ):
        for name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, found.environment[name])
        yield found


class Disturbed:
    """A sweep on a node, and what happens to it."""

    def __init__(self, plan: Plan, node: Node) -> None:
        self.plan, self.node = plan, node
        self.order = slurm.Order(plan, site_of(plan), slurm_asked("cpu", time="30"), resolve)

    def wait(self, ready: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        """Until it is so."""
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"{what}: {self.node.queue()}\n{self.node.tell('slurmctld.log')}"
            time.sleep(0.2)

    def busy(self, number: int, attempts: int) -> int:
        """Wait until a job is at work in this attempt; answers with its process."""
        folder = job_folder(self.plan.workspace, self.plan.jobs[number].id)

        def there() -> bool:
            state, claim = said(folder), claim_in(folder)
            at = state.kind == "running" and state.attempts >= attempts and state.epochs > 0
            return bool(at and claim and claim.holder and claim.holder.gone is False)

        self.wait(there, f"job {number} at work for the {attempts}th time")
        claim = claim_in(folder)
        assert claim is not None
        assert claim.holder is not None
        return claim.holder.pid

    def attempts(self, number: int) -> int:
        return said(job_folder(self.plan.workspace, self.plan.jobs[number].id)).attempts


def test_a_sweep_that_is_requeued_preempted_and_killed_ends_with_the_bytes_of_one_that_is_not(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = plan_in(Path("there/runs"), epochs=EPOCHS)
    assert faults(locally(there)) == []

    plan = plan_in(Path("runs"), epochs=EPOCHS)
    sweep = Disturbed(plan, node)
    first = slurm.submit(sweep.order)
    draws, spends = (one.array for one in first.arrays)
    assert slurm.submit(sweep.order).arrays == ()

    sweep.busy(0, 1)
    node.command("scontrol", "requeue", f"{draws}_0")  # as after a node that failed

    os.kill(sweep.busy(1, 1), signal.SIGKILL)  # the process that trains: its task begins another
    child = sweep.busy(1, 2)
    os.kill(_parent(child), signal.SIGKILL)  # the task itself
    sweep.wait(lambda: f"{draws}_1" not in node.queue(), "the killed task out of the queue")
    node.command("scontrol", "requeue", f"{draws}_1")

    sweep.busy(0, 2)
    node.command("scancel", "--signal=USR2", f"{draws}_0")  # as ahead of the end of its time
    sweep.wait(lambda: node.queue().get(f"{draws}_0") == "PENDING", "the task queued again of itself")

    node.command("scancel", f"{spends}_3")  # by hand: nobody begins that one again of himself

    sweep.busy(0, 3)
    urgent = node.command("sbatch", "--parsable", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null",
                          "--wrap=sleep 2").strip()  # fmt: skip
    sweep.wait(lambda: node.queue().get(urgent) == "RUNNING", "the urgent job preempts")
    assert node.queue().get(f"{draws}_0") == "PENDING", "a preempted task is queued again"

    sweep.wait(lambda: not node.queue(), "an empty queue", 600.0)
    swept = slurm.follow(sweep.order, first, Mute(), lambda: None, every=0.1)
    assert swept.counts() == {"done": 5, "waiting": 1}
    assert sweep.attempts(0) >= 4
    assert sweep.attempts(1) >= 3

    [again] = slurm.submit(sweep.order).arrays
    assert list(again.tasks.values()) == [(first.arrays[1].tasks[f"{spends}_3"])]
    sweep.wait(lambda: not node.queue(), "an empty queue")
    assert slurm.submit(sweep.order).arrays == ()
    ours, theirs = files(plan.workspace), files(there.workspace)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_failed_draw_stops_its_own_spends_and_no_other(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_in(Path("runs"), epochs=1)
    bad = plan.jobs[0]
    bad.draw.folder.mkdir(parents=True)
    (bad.draw.folder / "intent.json").write_text("{")  # what was begun there is unreadable
    order = slurm.Order(plan, site_of(plan), slurm_asked("cpu", time="30", per_task=2), resolve)
    sent = slurm.submit(order)
    swept = slurm.follow(order, sent, Mute(), lambda: None, every=0.5)
    below = plan.below([bad.id]) - {bad.id}
    assert {job.id for job in swept.failed} == {bad.id}
    assert {job.id for job in plan.jobs if swept.kind(job.id) == "blocked"} == below
    assert swept.counts()["done"] == len(plan.jobs) - 1 - len(below)
    assert slurm.submit(order).arrays == ()
