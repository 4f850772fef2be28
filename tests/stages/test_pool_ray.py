"""The pool over Ray, with a Ray of our own that runs tasks in threads: tests/cluster/test_ray.py has the real one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.cluster.grid import Mute, plan_in, site_of
from ticketctl.errors import MissingExtraError, UnavailableError
from ticketctl.stages import pool_ray
from ticketctl.stages.job_run import Outcome, Site
from ticketctl.stages.job_state import JOBS, JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan
from ticketctl.stages.plan_files import SWEEPS
from ticketctl.stages.pool_ray import RayPool
from ticketctl.stages.sweep import sweep


class LostError(Exception):
    """As Ray's, of a node that is no more."""


@dataclass
class FakeRay(ModuleType):
    """What the pool uses of Ray: init, remote, options, futures, resources."""

    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 2.0})
    asked: list[dict[str, Any]] = field(default_factory=list)
    began: list[dict[str, Any]] = field(default_factory=list)
    lose: int = 0
    """Tasks that are still to be lost."""
    refuse: str = ""

    def __post_init__(self) -> None:
        super().__init__("ray")
        self.threads = ThreadPoolExecutor(8)
        signal.signal(signal.SIGTERM, lambda *_: None)  # as the real one, when it is imported

    def init(self, **asked: Any) -> None:
        if self.refuse:
            raise ConnectionError(self.refuse)
        self.asked.append(asked)

    def shutdown(self) -> None:
        self.threads.shutdown()

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, work: Callable[..., Outcome]) -> Any:
        ray = self

        class Task:
            def options(self, **options: Any) -> Any:
                ray.began.append(options)
                return self

            def remote(self, *arguments: Any) -> Any:
                future: Future[Outcome] = (
                    ray.threads.submit(_lost) if ray.lose else ray.threads.submit(work, *arguments)
                )
                ray.lose = max(0, ray.lose - 1)
                return Reference(future)

        return Task()


@dataclass
class Reference:
    """An ObjectRef."""

    found: Future[Outcome]

    def future(self) -> Future[Outcome]:
        return self.found


def _lost() -> Outcome:
    raise LostError("the node died")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    before = signal.getsignal(signal.SIGTERM)
    found = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", found)
    monkeypatch.setattr(pool_ray, "find_spec", lambda name: name)
    monkeypatch.setattr(pool_ray, "do", _done)
    yield found
    found.shutdown()
    signal.signal(signal.SIGTERM, before)


def _done(site: Site, name: str, resolve: object) -> Outcome:
    del resolve
    state = JobState("done", attempts=1)
    write_state(job_folder(Path(site.workspace), name), state)
    return Outcome(name, state)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_in(tmp_path_factory.mktemp("plan") / "runs")


@pytest.fixture
def plan(planned: Plan) -> Plan:
    """Of which nothing is done."""
    for name in (JOBS, SWEEPS):
        shutil.rmtree(planned.workspace / name, ignore_errors=True)
    return planned


def pool_of(plan: Plan, device: str = "cpu", **more: Any) -> RayPool:
    return RayPool(replace(site_of(plan), device=device), lambda name: None, **more)


def test_a_plan_is_done_and_no_more_runs_than_there_is_room_for(ray: FakeRay, plan: Plan) -> None:
    pool = pool_of(plan)
    assert pool.free == 2
    pool.begin(plan.jobs[0].id).result()
    assert pool.free == 1
    pool.ended(plan.jobs[0].id)
    assert sweep(plan, pool, Mute(), lambda: None, lambda: None).counts() == {"done": 6}


def test_rooms_follow_the_cluster(ray: FakeRay, plan: Plan) -> None:
    pool = pool_of(plan)
    pool.begin(plan.jobs[0].id)
    pool.begin(plan.jobs[1].id)
    ray.resources = {"CPU": 5.0}  # a node joined
    assert pool.free == 3
    ray.resources = {"CPU": 1.0}  # two were lost
    assert pool.free == 0
    ray.resources = {}
    assert pool.free == 0


@pytest.mark.parametrize(
    ("resources", "asked", "slots"),
    [({"CPU": 8, "GPU": 2}, {"per_gpu": 3}, 6), ({"CPU": 4, "GPU": 2}, {"per_gpu": 3}, 4), ({"CPU": 64}, {}, 0),
     ({"CPU": 64, "GPU": 2}, {"per_gpu": 2, "cpus": 8}, 4), ({"CPU": 64, "GPU": 8}, {"most": 3}, 3)],
)  # fmt: skip
def test_slots_of_gpus(
    ray: FakeRay, plan: Plan, resources: dict[str, float], asked: dict[str, int], slots: int
) -> None:
    ray.resources = resources
    assert pool_of(plan, "cuda", **asked).slots == slots


def test_a_job_asks_for_its_share_and_settles_its_threads(ray: FakeRay, plan: Plan) -> None:
    pool_of(plan).begin("job").result()
    pool_of(plan, "cuda", per_gpu=4, cpus=2).begin("job").result()
    on_cpu, on_gpu = ray.began
    assert (on_cpu["num_cpus"], on_cpu.get("num_gpus")) == (1, None)
    assert (on_gpu["num_cpus"], on_gpu["num_gpus"]) == (2, 0.25)
    assert on_cpu["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "1"
    assert on_gpu["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"
    assert {on_cpu["max_retries"], on_gpu["max_retries"]} == {0}, (
        "the driver begins lost jobs again, and counts them"
    )


def test_lost_jobs_are_begun_again(ray: FakeRay, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.sweep.AGAIN", 0.0)
    ray.lose = 3
    pool = pool_of(plan)
    assert sweep(plan, pool, Mute(), lambda: None, lambda: None).counts() == {"done": 6}
    assert len(ray.began) == 9


def test_a_node_with_other_code_says_so(ray: FakeRay, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(pool_ray, "do", lambda site, name, resolve: said.append(site.notes))
    pool = pool_of(plan)
    pool.begin("same").result()
    pool.began = {**pool.began, "package_sha256": "0" * 64}
    pool.begin("other").result()
    assert said[0] == ()
    assert "000000000000" in said[1][0]


def test_nothing_is_reported_to_ray_s_makers(
    ray: FakeRay, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    pool_of(plan, address="local")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    [asked] = ray.asked
    assert asked["log_to_driver"] is False
    assert asked["include_dashboard"] is False


def test_sigterm_stays_ours(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def ours(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, ours)
    try:
        monkeypatch.setattr(pool_ray, "find_spec", lambda name: name)
        monkeypatch.setattr(
            pool_ray, "_quiet_ray", FakeRay
        )  # takes the signal, as the real one's import does
        pool_of(plan)
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_cluster_that_is_not_there_is_told(ray: FakeRay, plan: Plan) -> None:
    ray.refuse = "Could not find any running Ray instance.\nPlease specify the one to connect to"
    with pytest.raises(UnavailableError, match="--ray-address auto: no Ray cluster there") as caught:
        pool_of(plan)
    assert "\n" not in str(caught.value)


def test_without_ray_the_install_line_comes_first(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_ray, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ticketctl\[ray\]'"):
        pool_of(plan)
