"""The order in which a sweep begins jobs, and what it makes of those that fail, vanish, or are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path

import pytest

from tests.stages.swept_plan import kinds, plan, say
from ticketctl.errors import ResourceError, StoppedError
from ticketctl.stages import sweep as driver
from ticketctl.stages.job_run import Outcome
from ticketctl.stages.job_state import JobState, job_folder, said, write_state
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.sweep import Swept, forget, survey_states, sweep

DONE, FAILED, STOPPED = JobState("done"), JobState("failed", cause="bug", message="odd"), JobState("stopped")
VANISHED = BrokenProcessPool("a process in the process pool was terminated abruptly")
What = JobState | Outcome | BaseException


class FakePool:
    """Slots in which jobs end as the script says, each after all that were begun before it."""

    def __init__(self, whole: Plan, slots: int = 1, script: Mapping[str, list[What]] | None = None) -> None:
        self.plan, self.slots, self.script = whole, slots, {**(script or {})}
        self.begun: list[str] = []
        self.under_way: dict[str, Future[Outcome]] = {}
        self.most = 0
        self.on_begin: Callable[[str], None] = lambda name: None

    @property
    def free(self) -> int:
        return self.slots - len(self.under_way)

    def begin(self, job: str) -> Future[Outcome]:
        self.begun.append(job)
        self.under_way[job] = future = Future[Outcome]()
        self.most = max(self.most, len(self.under_way))
        self.on_begin(job)
        if not self.free:
            self.end(next(iter(self.under_way)))
        return future

    def end(self, job: str) -> None:
        """As the script says; what it does not say is done."""
        what = (self.script.get(job) or [DONE]).pop(0) if self.script.get(job) else DONE
        future = self.under_way[job]
        if future.done():
            return
        if isinstance(what, BaseException):
            future.set_exception(what)
            return
        outcome = what if isinstance(what, Outcome) else Outcome(job, what)
        if not outcome.elsewhere:
            write_state(job_folder(self.plan.workspace, job), outcome.state)
        future.set_result(outcome)

    def ended(self, job: str) -> None:
        del self.under_way[job]

    def close(self) -> None: ...


class Watcher:
    """Remembers what it was told; at a tick the oldest job ends."""

    def __init__(self, pool: FakePool) -> None:
        self.pool, self.ends = pool, list[tuple[str, str]]()

    def begun(self, job: PlanJob) -> None: ...

    def ended(self, job: PlanJob, state: JobState) -> None:
        self.ends.append((job.id, state.kind))

    def tick(self, swept: Swept) -> None:
        for name in list(self.pool.under_way)[:1]:
            self.pool.end(name)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "TICK", 0.001)
    monkeypatch.setattr(driver, "AGAIN", 0.002)


def never() -> int | None:
    return None


def run(whole: Plan, pool: FakePool, stop: Callable[[], int | None] = never) -> tuple[Swept, Watcher]:
    watcher = Watcher(pool)
    return sweep(whole, pool, watcher, stop, lambda: None), watcher


def test_jobs_begin_once_what_they_need_is_done(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a", "c": "", "d": "b c", "e": "d", "f": "a"})
    pool = FakePool(whole, 2)
    pool.on_begin = lambda name: _must_have(whole.by_id[name].needs, whole)
    swept, watcher = run(whole, pool)
    assert sorted(pool.begun) == [*"abcdef"]
    assert {kind for _, kind in watcher.ends} == {"done"}
    assert (swept.done_now, swept.left, swept.failed) == (6, [], [])
    assert pool.most == 2


def _must_have(needs: tuple[str, ...], whole: Plan) -> None:
    for need in needs:
        assert said(job_folder(whole.workspace, need)).kind == "done"


def test_what_most_depends_on_begins_first(tmp_path: Path) -> None:
    """Chains of 5, 3 and 9 epochs, though none of their first jobs is the longest."""
    needs = {"long alone": "", "a1": "", "a2": "a1", "b1": "", "b2": "b1", "b3": "b2"}
    whole = plan(tmp_path, needs, {"long alone": 5, "a1": 1, "a2": 2, "b1": 2, "b2": 3, "b3": 4})
    pool = FakePool(whole)
    run(whole, pool)
    assert pool.begun == ["b1", "b2", "long alone", "b3", "a1", "a2"]


def test_a_failed_job_blocks_only_what_needs_it(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a", "c": "b", "d": "", "e": "d", "f": "c e"})
    pool = FakePool(whole, 2, {"a": [FAILED]})
    swept, _ = run(whole, pool)
    assert sorted(pool.begun) == ["a", "d", "e"]
    assert {job.id: swept.kind(job.id) for job in whole.jobs} == {
        "a": "failed", "b": "blocked", "c": "blocked", "d": "done", "e": "done", "f": "blocked",
    }  # fmt: skip
    assert swept.counts() == {"failed": 1, "blocked": 3, "done": 2}


def test_what_diverged_is_there_for_what_needs_it(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a"})
    swept, _ = run(whole, FakePool(whole, script={"a": [JobState("diverged")]}))
    assert kinds(swept.states, "ab") == ["diverged", "done"]


def test_what_is_done_or_failed_is_left_as_it_is(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a", "c": "", "d": ""})
    say(whole, {"a": "done", "c": "failed", "d": "killed"})
    pool = FakePool(whole)
    run(whole, pool)
    assert sorted(pool.begun) == ["b", "d"]
    again = FakePool(whole)
    run(whole, again)
    assert again.begun == []


def test_a_process_that_vanishes_is_replaced_three_times_and_no_more(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a", "c": ""})
    say(whole, {"a": "killed"})  # a process that vanishes had begun
    pool = FakePool(whole, script={"a": [VANISHED] * 9, "c": [VANISHED] * 3})
    swept, watcher = run(whole, pool)
    assert (pool.begun.count("a"), pool.begun.count("c")) == (4, 4)
    assert {name: swept.kind(name) for name in "abc"} == {"a": "failed", "b": "blocked", "c": "done"}
    assert swept.states["a"].cause == "killed"
    assert "vanished 4 times" in swept.states["a"].message
    assert said(job_folder(tmp_path, "a")) == swept.states["a"]
    assert sorted(watcher.ends) == [("a", "failed"), ("c", "done")]


def test_a_process_that_vanished_after_its_job_was_done_costs_nothing(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a"})
    pool = FakePool(whole, script={"a": [VANISHED]})
    pool.on_begin = lambda name: say(whole, {name: "done"})
    swept, _ = run(whole, pool)
    assert pool.begun == ["a", "b"]
    assert kinds(swept.states, "ab") == ["done", "done"]


def test_a_job_that_cannot_begin_fails_at_once_by_its_cause(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": ""})
    pool = FakePool(whole, script={"a": [ResourceError("disk: No space left on device")] * 2})
    swept, _ = run(whole, pool)
    assert pool.begun == ["a", "b"]
    assert swept.states["a"] == JobState("failed", cause="resources", message="disk: No space left on device")


def test_where_the_workspace_was_moved_nothing_is_left_under_its_old_name(tmp_path: Path) -> None:
    whole = plan(tmp_path / "old", {"a": ""})
    swept, _ = run(whole, FakePool(whole, script={"a": [ResourceError("plan.jsonl: moved")]}))
    assert swept.states["a"].kind == "failed"
    assert not (tmp_path / "old").exists()


def test_where_nothing_can_be_written_the_sweep_still_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, state: JobState) -> None:
        raise ResourceError(f"{folder}: cannot be written")

    whole = plan(tmp_path, {"a": ""})
    monkeypatch.setattr(driver, "write_state", full)
    swept, _ = run(whole, FakePool(whole, script={"a": [ResourceError("full")]}))
    assert swept.kind("a") == "failed"
    assert survey_states(whole).kind("a") == "waiting"  # and is done once there is room


def test_what_somebody_else_is_at_is_looked_at_again(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a"})
    busy = Outcome("a", JobState("running"), elsewhere=True)
    pool = FakePool(whole, script={"a": [busy, busy, busy, DONE]})
    swept, watcher = run(whole, pool)
    assert pool.begun == ["a", "a", "a", "a", "b"]
    assert watcher.ends == [("a", "done"), ("b", "done")]
    assert swept.left == []


def test_a_job_that_was_stopped_though_nobody_asked_begins_again(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": ""})
    pool = FakePool(whole, script={"a": [STOPPED, DONE]})
    run(whole, pool)
    assert pool.begun == ["a", "a"]


@pytest.mark.parametrize("code", [75, 130])
def test_a_stop_asks_everybody_and_waits_for_all(code: int, tmp_path: Path) -> None:
    whole = plan(tmp_path, dict.fromkeys("abcde", ""))
    pool = FakePool(whole, 3, {name: [DONE if name == "a" else STOPPED] for name in "abcde"})
    asked: list[int] = []
    looks = count()
    watcher = Watcher(pool)
    pool_end = pool.end

    def end(job: str) -> None:
        if asked:
            pool_end(job)

    pool.end = end  # type: ignore[method-assign]  # nothing ends before the stop

    def ask() -> None:
        asked.append(len(pool.under_way))
        for name in list(pool.under_way):
            pool.end(name)

    with pytest.raises(StoppedError, match="goes on from here") as stopped:
        sweep(whole, pool, watcher, lambda: code if next(looks) >= 2 else None, ask)
    assert stopped.value.exit_code == code
    assert asked == [3]
    assert pool.under_way == {}
    assert sorted(watcher.ends) == [("a", "done"), ("b", "stopped"), ("c", "stopped")]
    assert pool.begun == ["a", "b", "c"]  # nothing is begun after it


def test_whoever_does_not_stop_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "PATIENCE", 0.02)
    whole = plan(tmp_path, {"a": "", "b": ""})
    pool = FakePool(whole, 2)
    pool.end = lambda job: None
    looks = count()
    with pytest.raises(StoppedError):
        run(whole, pool, lambda: 75 if next(looks) else None)


def test_failed_jobs_wait_again_once_they_are_forgotten_and_keep_their_attempts(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", "b": "a"})
    say(whole, {"a": "failed"}, cause="resources", message="full", attempts=2, seconds=7.0)
    assert [job.id for job in survey_states(whole).failed] == ["a"]
    forget(whole, ["a"])
    assert survey_states(whole).states["a"] == JobState("waiting", attempts=2, seconds=7.0)
    assert [job.id for job in survey_states(whole).left] == ["a", "b"]


def test_a_survey_makes_nothing(tmp_path: Path) -> None:
    whole = plan(tmp_path / "none", {"a": ""})
    assert survey_states(whole).kind("a") == "waiting"
    assert list(tmp_path.iterdir()) == []


def test_blocked_is_told_through_a_chain_of_waiting_jobs(tmp_path: Path) -> None:
    whole = plan(tmp_path, {"a": "", **{f"b{n}": f"b{n - 1}" if n else "a" for n in range(40)}})
    say(whole, {"a": "failed"})
    assert survey_states(whole).counts() == {"failed": 1, "blocked": 40}
    say(whole, {"b39": "done"})  # made before its need failed in another plan
    assert survey_states(whole).counts() == {"failed": 1, "blocked": 39, "done": 1}
