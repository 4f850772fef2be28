"""Several jobs at a time in one process: the bytes of each job alone."""

from __future__ import annotations

import re
import runpy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
import torch

from tests.cluster.grid import faults, locally, plan_in, site_of
from tests.sweep_marathon import command, files
from ticketctl.errors import UsageError
from ticketctl.stages import pools
from ticketctl.stages.job_run import Outcome, do
from ticketctl.stages.jobs import PlanJob
from ticketctl.stages.pools import Slot, check_lanes, slots_of
from ticketctl.stages.workers import _answer, _Streams
from ticketctl.store.files import temporary_beside

if TYPE_CHECKING:
    from ticketctl.stages.job_run import Resolve

NETS = '["snip"]\nmodel = ["resnet20s", "lenet-300-100"]'
DETERMINISTIC = {"methods": '["random"]\n"train.deterministic" = [true]', "densities": "[0.25]"}
CONV = {"methods": NETS, "densities": "[0.25]"}
"""Convolutions and statistics of batches beside the net without them."""


def written(place: Path, slots: list[Slot], epochs: int) -> dict[str, str]:
    plan = plan_in(place, epochs=epochs, size=CONV)
    assert faults(locally(plan, slots)) == []
    return files(place)


def alike(ours: dict[str, str], theirs: dict[str, str]) -> bool:
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    return len(ours) > 30


@pytest.mark.long
@pytest.mark.timeout(600)
def test_jobs_in_three_lanes_of_one_process_end_with_the_bytes_of_each_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = written(Path("lanes"), slots_of(["cpu"], 3, 1, streams=True), 1)
    assert alike(ours, written(Path("alone"), slots_of(["cpu"], 1, 1), 1))


def test_the_marathon_in_lanes_has_its_jobs_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Slot] = []
    monkeypatch.setattr(pools, "slots_of", slots_of)  # is put back
    asked = ["cpu"], 2, 2
    monkeypatch.setattr(
        "ticketctl.__main__.main", lambda: found.extend(pools.slots_of(*asked, streams=False))
    )
    argv = command(tmp_path / "grid.toml", tmp_path, 2, lanes=True)
    runpy.run_path(argv[1], run_name="__main__")
    assert [slot.process for slot in found] == [0, 0]


def test_two_lanes_that_write_one_file_write_it_in_two_places(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as lanes:
        met = Barrier(2)  # both threads are there

        def place(_: int) -> Path:
            met.wait(10)
            return temporary_beside(tmp_path / "file")

        assert len({*lanes.map(place, range(2))}) == 2


def _no_stream(name: str) -> torch.device:
    return torch.device("cuda", 99)  # its stream cannot be made


def _leaves(name: str) -> torch.device:
    raise SystemExit(f"left at {name}")


@pytest.mark.parametrize(
    ("resolve", "said"), [(_no_stream, "CUDA|driver|NVIDIA|device"), (_leaves, "SystemExit: left at cpu")]
)
def test_what_goes_wrong_before_a_lane_has_its_stream_is_in_the_outcome_of_the_job(
    resolve: Resolve, said: str, tmp_path: Path
) -> None:
    """Else it looks as if the process had vanished."""
    plan = plan_in(tmp_path / "work", epochs=1)
    answer = _answer((do, site_of(plan), plan.jobs[0].id, resolve), 0, _Streams(2))
    assert isinstance(answer, Outcome)
    assert (answer.state.kind, answer.state.cause) == ("failed", "bug")
    assert re.search(said, answer.state.message)


def test_lanes_are_refused_where_only_some_trainings_are_deterministic(tmp_path: Path) -> None:
    """Torch has one answer for a process."""
    alike = plan_in(tmp_path / "alike", size=DETERMINISTIC)
    check_lanes(alike)
    for changed in (
        alike.jobs,
        alike.jobs[-1:],
    ):  # all spends, which leaves the draws as they were; one of them
        jobs = tuple(_spent_by_chance(job) if job in changed else job for job in alike.jobs)
        with pytest.raises(UsageError, match=r"--streams: train\.deterministic holds for a process"):
            check_lanes(replace(alike, jobs=jobs))


def _spent_by_chance(job: PlanJob) -> PlanJob:
    use = job.use and replace(job.use, sets=(*job.use.sets, "train.deterministic=false"))
    return replace(job, use=use)


@pytest.mark.gpu(real="its jobs are in processes of their own")
@pytest.mark.timeout(600)
def test_jobs_on_four_streams_of_a_gpu_end_with_the_bytes_of_each_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = written(Path("streams"), slots_of(["cuda:0"], 4, 1, streams=True), 2)
    assert alike(ours, written(Path("alone"), slots_of(["cuda:0"], 1, 1), 2))
