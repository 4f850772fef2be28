"""A small plan on the digits, carried out by whatever engine, and the bytes of what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ticketctl.cli.devices import resolve
from ticketctl.stages.job_run import Site
from ticketctl.stages.jobs import Plan
from ticketctl.stages.plan_files import keep, sweep_folder
from ticketctl.stages.plan_wanted import Wanted, plan_meant
from ticketctl.stages.pools import LocalPool, Slot, slots_of
from ticketctl.stages.sweep import Swept, sweep

GRID = """
title = "small"
seeds = "0-1"

[axes]
method = {methods}
density = {densities}
spend = ["train.lr=0.02"]

[sets]
"train.epochs" = {epochs}
"train.batch" = 256
"""


SIX = {"methods": '["imp"]', "densities": "[0.25]"}
"""Two draws, and two spends of each."""
WIDE = {"methods": '["imp", "snip"]', "densities": "[0.5, 0.25]"}
"""Six draws, of which imp makes both densities at once, and ten spends: the dense nets are shared."""


def plan_in(workspace: Path, *, epochs: int = 2, size: Mapping[str, str] = SIX) -> Plan:
    """A plan with its work in a workspace that is made if need be."""
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace.parent / f"{workspace.name}.toml"
    path.write_text(GRID.format(epochs=epochs, **size))
    return plan_meant(Wanted(str(path), workspace)).plan


def site_of(plan: Plan) -> Site:
    halt = sweep_folder(plan) / "stop"
    return Site(str(keep(plan)), str(plan.workspace), offline=True, stop=str(halt), argv=("sweep", "test"))


class Mute:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def begun(self, job: object) -> None: ...

    def ended(self, job: object, state: object) -> None:
        self.ends.append(state.kind)

    def tick(self, swept: Swept) -> None: ...


def locally(plan: Plan, slots: Sequence[Slot] = ()) -> Swept:
    """Carried out by the processes of this machine: two that do one job at a time, or those of the slots."""
    pool = LocalPool(slots or slots_of(["cpu"], 2, os.cpu_count() or 1), site_of(plan), resolve)
    try:
        return sweep(plan, pool, Mute(), lambda: None, lambda: None)
    finally:
        pool.close()


def faults(swept: Swept) -> list[str]:
    """Why jobs failed."""
    return [f"{job.title}: {swept.states[job.id].message}" for job in swept.failed]
