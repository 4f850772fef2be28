"""The engines of `ticketctl sweep` that are clusters: Slurm through submitit, and Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.devices import resolve
from ticketctl.cli.output import note, print_json, print_line
from ticketctl.cli.sweep_view import view
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.cli.signals import Stop
    from ticketctl.stages.job_run import Site
    from ticketctl.stages.jobs import Plan
    from ticketctl.stages.pools import Pool
    from ticketctl.stages.slurm_asked import SlurmAsked
    from ticketctl.stages.sweep import Swept

ENGINES = ("local", "slurm", "ray")
STREAMS = 32
"""As many as torch has: with more of them two jobs would share one."""


@dataclass(frozen=True)
class Cluster:
    """Where jobs run, and what is asked of a cluster."""

    engine: Annotated[str, typer.Option(help="local (processes of this machine), slurm, or ray.")] = "local"
    workers: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Jobs at a time, here or on Ray. Default: one a core.")
    ] = None
    per_gpu: Annotated[int, typer.Option(min=1, max=64, help="Jobs at a time on each GPU.")] = 1
    streams: Annotated[
        bool,
        typer.Option("--streams", help="Jobs of a GPU in one process, each on a stream. Default: processes."),
    ] = False
    partition: Annotated[str | None, typer.Option(help="Of Slurm. Default: the cluster's.")] = None
    time: Annotated[
        str | None, typer.Option(help="Of a task of Slurm: minutes, or 04:00:00. Default: 240.")
    ] = None
    array_parallel: Annotated[
        int | None, typer.Option(min=1, help="Tasks of an array of Slurm at once. Default: 256.")
    ] = None
    per_task: Annotated[
        int | None, typer.Option(min=1, help="Jobs that a task of Slurm does. Default: 1.")
    ] = None
    gpus: Annotated[int | None, typer.Option(min=0, help="For each task of Slurm. Default: 1.")] = None
    cpus: Annotated[
        int | None, typer.Option(min=1, help="For each task of Slurm or Ray. Default: 1, beside a GPU 4.")
    ] = None
    memory: Annotated[
        str | None, typer.Option(help="For each task of Slurm: 8G. Default: the cluster's.")
    ] = None
    slurm: Annotated[
        list[str] | None, typer.Option("--slurm", help="Any option of sbatch: account=lab. Repeatable.")
    ] = None
    setup: Annotated[
        list[str] | None, typer.Option(help="A line of shell before a task of Slurm. Repeatable.")
    ] = None
    wait: Annotated[bool, typer.Option("--wait", help="With Slurm: stay until its queue is empty.")] = False
    ray_address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; local begins one. Default: auto.")
    ] = None

    def check(self) -> None:
        """Refuse what belongs to another engine.

        Raises:
            UsageError: no such engine, or an option that it does not take.
        """
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: there is {', '.join(ENGINES)}")
        usual = Cluster()
        of_slurm = (
            "partition",
            "time",
            "array_parallel",
            "per_task",
            "gpus",
            "memory",
            "slurm",
            "setup",
            "wait",
        )
        alien = {
            "local": (*of_slurm, "cpus", "ray_address"),
            "slurm": ("workers", "ray_address"),
            "ray": (*of_slurm, "streams"),
        }[self.engine]
        odd = next((name for name in alien if getattr(self, name) != getattr(usual, name)), None)
        if odd is not None:
            raise UsageError(f"--{odd.replace('_', '-')}: is not for --engine {self.engine}")
        blank = next(
            (name for name in ("partition", "time", "memory", "ray_address") if getattr(self, name) == ""),
            None,
        )
        if blank is not None:
            raise UsageError(
                f"--{blank.replace('_', '-')}: nothing stands there; leave it out for the default"
            )
        if self.streams and not 1 < self.per_gpu <= STREAMS:
            raise UsageError(
                f"--streams: of how many jobs on a GPU? Add --per-gpu N, from 2 to {STREAMS} ({self.per_gpu} here)"
            )
        if self.engine == "slurm":
            self.of_slurm("auto")

    def of_slurm(self, device: str) -> SlurmAsked:
        """One task's share of the cluster.

        Raises:
            UsageError: something cannot be.
        """
        from ticketctl.stages.slurm_asked import slurm_asked

        return slurm_asked(
            device, partition=self.partition or "", time=self.time or "240", gpus=self.gpus, cpus=self.cpus,
            array_parallel=self.array_parallel or 256, memory=self.memory or "", per_task=self.per_task or 1,
            per_gpu=self.per_gpu, streams=self.streams, options=self.slurm or (), setup=self.setup or (),
        )  # fmt: skip


def check_extra(engine: str) -> None:
    """Refuse an engine whose package is not here, before any work.

    Raises:
        MissingExtraError: says how to install it.
    """
    if engine == "slurm":
        from ticketctl.stages.slurm import need_submitit

        need_submitit()
    elif engine == "ray":
        from ticketctl.stages.pool_ray import need_ray

        need_ray()


def site_of(plan: Plan, at: opt.Site, stop: str = "") -> Site:
    """Where jobs of the plan are done."""
    from ticketctl.stages.job_run import Site
    from ticketctl.stages.plan_files import keep, sweep_folder

    path = sweep_folder(plan) / "plan.jsonl" if at.dry_run else keep(plan)
    data_dir = None if at.data_dir is None else str(at.data_dir.absolute())
    argv = tuple(sys.argv[1:])
    return Site(str(path.absolute()), str(plan.workspace.absolute()), "cpu", data_dir, at.offline, stop, argv)


def on_slurm(plan: Plan, at: opt.Site, asked: Cluster, stop: Stop) -> Swept | None:
    """Submit what is left, or print the scripts; with `--wait`, what became of it all."""
    from ticketctl.stages import slurm
    from ticketctl.stages.slurm_asked import check_workspace

    wanted = asked.of_slurm(at.device)
    check_workspace(str(plan.workspace.absolute()))  # where its logs lie, as the script says
    order = slurm.Order(plan, site_of(plan, at), wanted, resolve)
    if at.dry_run:
        _show_scripts([text for _, text in slurm.scripts(order)], at)
        return None
    sent = slurm.submit(order)
    if asked.wait:
        for line in slurm.told(sent):
            note(line, at.quiet)
        with view(plan, 1, at.quiet) as watcher:
            return slurm.follow(order, sent, watcher, stop)
    if at.json:
        print_json({"sweep": plan.id, **slurm.sent_record(sent)})
    else:
        for line in slurm.told(sent):
            print_line(line)
    return None


def _show_scripts(texts: list[str], at: opt.Site) -> None:
    if at.json:
        print_json(texts)
        return
    for text in texts:
        print_line(text)


@contextmanager
def ray_pool(plan: Plan, at: opt.Site, asked: Cluster) -> Iterator[tuple[Pool, int, Any]]:
    """The slots of a Ray cluster, how many there are now, and how they are asked to stop."""
    from dataclasses import replace

    from ticketctl.stages.plan_files import sweep_folder
    from ticketctl.stages.pool_ray import RayPool

    halt = (sweep_folder(plan) / f"stop-{time.time_ns()}").absolute()
    device = "cpu" if at.device == "cpu" else "cuda"
    site = replace(site_of(plan, at, str(halt)), device=device)
    cpus = asked.cpus or (1 if device == "cpu" else 4)
    pool = RayPool(
        site, resolve, address=asked.ray_address or "auto", per_gpu=asked.per_gpu, cpus=cpus, most=asked.workers
    )  # fmt: skip
    try:
        yield pool, max(1, pool.slots), halt.touch
    finally:
        pool.close()
        with suppress(OSError):
            halt.unlink(missing_ok=True)
