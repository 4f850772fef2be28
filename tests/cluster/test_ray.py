"""A sweep on a real Ray cluster of two nodes on this machine, one of which is lost, and another joins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.grid import Mute, faults, locally, plan_in, site_of
from tests.sweep_marathon import files
from ticketctl.cli.devices import resolve
from ticketctl.stages.job_state import job_folder, said
from ticketctl.stages.pool_ray import QUIET, RayPool
from ticketctl.stages.sweep import Swept, sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
pytest.importorskip("ray", reason="needs the extra ray, 79 MB")


class Saboteur(Mute):
    """Takes a node away once both are at work, and gives another once something ended."""

    def __init__(self, cluster: Any, second: Any, pool: RayPool) -> None:
        super().__init__()
        self.cluster, self.second, self.pool = cluster, second, pool
        self.rooms: list[int] = []

    def tick(self, swept: Swept) -> None:
        self.rooms.append(self.pool.slots)
        folders = [job_folder(swept.plan.workspace, name) for name in swept.under_way]
        training = [one for one in map(said, folders) if one.kind == "running" and one.epochs > 0]
        if self.second is not None and len(training) == 2:
            self.cluster.remove_node(self.second, allow_graceful=False)
            self.second = None
        elif self.second is None and self.ends and 1 in self.rooms and self.rooms[-1] == 1:
            self.cluster.add_node(num_cpus=1)


def test_a_sweep_survives_a_lost_node_and_uses_one_that_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    there = plan_in(Path("there/runs"), epochs=300)
    assert faults(locally(there)) == []

    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        plan = plan_in(Path("runs"), epochs=300)
        pool = RayPool(site_of(plan), resolve, address=cluster.address)
        watcher = Saboteur(cluster, second, pool)
        try:
            swept = sweep(plan, pool, watcher, lambda: None, lambda: None)
        finally:
            pool.close()
    finally:
        cluster.shutdown()

    assert faults(swept) == []
    assert swept.counts() == {"done": 6}
    assert watcher.second is None, "the node was never taken away: nothing was shown"
    assert max(state.attempts for state in swept.states.values()) >= 2
    assert 2 in watcher.rooms[watcher.rooms.index(1) :], "the node that joined was not used"
    ours, theirs = files(plan.workspace), files(there.workspace)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
