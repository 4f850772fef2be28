"""Sweeps whose runs were written and not trained: a real plan, and for each place what it is said to have come to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stages.written import run
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.job_state import JobState, job_folder, write_state
from ticketctl.stages.jobs import Plan, plan_of
from ticketctl.stages.plan_files import keep
from ticketctl.stages.sweep_labels import is_dense

Outcome = float | str
"""A test accuracy; or diverged, waiting, failed."""
GRID = """
title = "Two methods, two recipes"
[axes]
model = "lenet-300-100"
data = "digits"
method = ["snip", "random"]
density = [0.2]
spend = ["train.lr=0.1", "train.lr=0.2"]
tweaks = ["none", "ls"]
[sets]
"train.epochs" = 2
"""


def plan_in(workspace: Path, text: str = GRID, seeds: int = 3) -> Plan:
    found = plan_grid(grid_in(text, "g"), range(seeds), workspace)
    plan = plan_of(found, found.places, found.title, {"grid": text})
    keep(plan)
    return plan


def swept(
    workspace: Path, outcome: Callable[[Mapping[str, str], int], Outcome], text: str = GRID, seeds: int = 3
) -> Plan:
    """A sweep.

    Args:
        workspace: where it lies.
        outcome: what becomes of a place, by its labels (`net` is dense of a dense net) and its seed.
        text: of the grid; no combination may be one that a draw comes with.
        seeds: how many.
    """
    plan = plan_in(workspace, text, seeds)
    for job in plan.jobs:
        if job.kind == "draw":
            write_state(job_folder(workspace, job.id), JobState("done", attempts=1))
    for number, place in enumerate(plan.places):
        job = plan.of_use[place.use]
        assert job.kind == "spend"
        found, name = outcome(place.labels, place.seed), f"r/{number}"
        if isinstance(found, float) or found == "diverged":
            kept = None if is_dense(place.use) else 200
            value, status = (found, "done") if isinstance(found, float) else (0.1, "diverged")
            run(workspace / name, value, seed=place.seed, kept=kept, tweaks=place.use.tweaks, status=status)
            write_state(job_folder(workspace, job.id), JobState(status, runs=(name,), attempts=1))
        elif found == "failed":
            failed = JobState("failed", "resources", "out of memory", attempts=1)
            write_state(job_folder(workspace, job.id), failed)
    return plan


def copied(workspace: Path, text: str, seeds: int) -> Plan:
    """A sweep of which every run is a copy of one: many at little cost."""
    plan = plan_in(workspace, text, seeds)
    run(workspace / "one", 0.5)
    for job in plan.jobs:
        runs = ()
        if job.kind == "spend":
            shutil.copytree(workspace / "one", workspace / "r" / job.id)
            runs = (f"r/{job.id}",)
        write_state(job_folder(workspace, job.id), JobState("done", runs=runs, attempts=1))
    return plan


def accuracy(labels: Mapping[str, str], seed: int) -> float:
    """Another for each place, by rules that a reader can add up: 0.5, the method, the rate, the tweak, the seed."""
    base = {"snip": 0.1, "random": 0.0}[labels["method"]] if "net" not in labels else 0.2
    lr, tweak = labels["spend"] == "train.lr=0.2", labels["tweaks"] == "ls"
    return 0.5 + base + 0.05 * lr + (0.02 + 0.001 * seed**2) * tweak + 0.01 * seed
