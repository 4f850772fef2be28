"""`ticketctl sweep`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.cluster import Cluster, check_extra, on_slurm, ray_pool, site_of
from ticketctl.cli.console import amount
from ticketctl.cli.devices import check, gpus, resolve
from ticketctl.cli.output import note, print_json, print_line
from ticketctl.cli.plan import Which, slots_here, tell, told
from ticketctl.cli.signals import Stop
from ticketctl.cli.status import failures, summary, summary_record
from ticketctl.cli.sweep_view import view
from ticketctl.errors import ResourceError, UnavailableError, UsageError

if TYPE_CHECKING:
    from ticketctl.stages.jobs import Plan
    from ticketctl.stages.pools import Pool
    from ticketctl.stages.sweep import Swept

Retry = Annotated[
    str | None,
    typer.Option(help="Failed jobs again: of one cause (ticketctl status --failed), or failed: all of them."),
]
RetrySets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="With --retry: recipe keys that differ, train.batch=64; these are new jobs. Repeatable."
    ),
]


SOON = 3.0
"""Seconds, about, in which nets are timed before a sweep begins."""


@opt.spread
def sweep(
    *,
    which: Which,
    retry: Retry = None,
    set_: RetrySets = None,
    device: opt.Device = "auto",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    asked: Cluster,
    how: opt.Manner,
) -> None:
    """Carry out a plan: every job once, several at a time; the same command again goes on where it stopped.

    On a CPU each job has one thread, so that results are those of the job alone, however many run. Ctrl-C stops all
    jobs at their next step with a checkpoint. Two sweeps on one workspace share what they have in common. A failed
    job leaves the others alone; the exit code is then that of its cause.

    Examples:

    ticketctl sweep grid.toml

    ticketctl sweep 001:A2 --rows LTH,skip --scale 0.1 --workers 2

    ticketctl sweep grid.toml --retry resources --set train.batch=64

    ticketctl sweep grid.toml --engine slurm --partition gpu --time 04:00:00 --dry-run
    """
    check(device)
    asked.check()
    if asked.streams and asked.engine == "local" and not gpus(device):
        raise UnavailableError("--streams: no GPU here; on a CPU each job has a process of its own")
    if set_ and retry is None:
        raise UsageError("--set: with --retry alone; a plan's keys stand in its grid, or in its table")
    stop = Stop().install()
    found = which.meant(workspace)
    tell(found, how.quiet)
    at = how.at(device, workspace, which.data)
    plan = _again(found.plan, retry, set_ or (), at)
    if asked.streams:
        from ticketctl.stages.pools import check_lanes

        check_lanes(plan)
    check_extra(asked.engine)
    swept = _submitted(plan, at, stop, asked) if asked.engine == "slurm" else _swept(plan, at, stop, asked)
    if swept is not None:
        _show(swept, at)


def _again(plan: Plan, cause: str | None, sets: list[str] | tuple[()], at: opt.Site) -> Plan:
    """The newest form of the plan: with jobs that were retried in place of those that failed."""
    from ticketctl.stages.plan_files import newest_form
    from ticketctl.stages.retry import changed, check_same, chosen, many
    from ticketctl.stages.sweep import forget, survey_states

    plan = newest_form(plan)
    if cause is None:
        return plan
    swept = survey_states(plan)
    jobs = chosen(swept, cause, sets)
    if sets:
        return changed(plan, jobs, sets)
    again = check_same(jobs, swept)
    if left := [job for job in jobs if job not in again]:
        note(f"{many(left)} diverged, and would again: --set changes something", at.quiet)
    if not at.dry_run:
        forget(plan, [job.id for job in again])
    return plan


def _submitted(plan: Plan, at: opt.Site, stop: Stop, asked: Cluster) -> Swept | None:
    from ticketctl.stages.sweep import check_drawn, survey_states

    check_drawn(plan, at.data_dir)
    if not at.dry_run and survey_states(plan).left:
        try:
            _check(plan, at, stop, asked)
        except UnavailableError as error:  # the nodes may see what this machine does not
            note(f"not checked here: {error}", at.quiet)
    return on_slurm(plan, at, asked, stop)


def _swept(plan: Plan, at: opt.Site, stop: Stop, asked: Cluster) -> Swept:
    from ticketctl.stages.plan_files import keep
    from ticketctl.stages.sweep import check_drawn, survey_states

    check_drawn(plan, at.data_dir)
    swept = survey_states(plan)
    if not swept.left:
        note("nothing is left to do", at.quiet)
        if not at.dry_run:
            keep(plan)  # of jobs that other sweeps did; to be compared it is one all the same
        return swept
    _check(plan, at, stop, asked)
    if at.dry_run:
        return swept
    keep(plan)
    note(
        f"sweep {plan.id} in {plan.workspace}; the same command goes on there after an interruption", at.quiet
    )
    engine = ray_pool(plan, at, asked) if asked.engine == "ray" else _local(plan, at, asked)
    with engine as (pool, slots, ask), view(plan, slots, at.quiet) as watcher:
        from ticketctl.stages.sweep import sweep as run

        return run(plan, pool, watcher, stop, ask)


def _check(plan: Plan, at: opt.Site, stop: Stop, asked: Cluster) -> None:
    """Refuse what cannot be before anything is trained, and say what it will take."""
    from ticketctl.cli.context import surroundings

    local = asked.engine == "local"  # the cluster's devices are not this machine's, nor is its time
    unread = at.dry_run or asked.engine == "slurm"  # data that are not here may be where the jobs run
    usual = slots_here(here := at.device if local else "cpu")
    with surroundings(here, at.data_dir, at.offline or unread, at.quiet, stop, at.workspace) as around:
        from ticketctl.stages.estimate import PATIENCE
        from ticketctl.stages.plan_cost import cost_of

        seconds = 0.0 if not local or (at.quiet and not at.dry_run) else PATIENCE if at.dry_run else SOON
        cost = cost_of(plan, around, timed=seconds, lenient=unread)
    lines = told(plan, cost, asked.workers or usual, timed=local)
    if (free := free_bytes(at.workspace)) is not None and (cost.bytes or 0) > free:
        raise ResourceError(
            f"{at.workspace}: {amount(free)} are free there, about {amount(cost.bytes or 0)} are wanted"
        )
    for line in lines:
        if at.dry_run and not at.json:
            print_line(line)
        else:
            note(line, at.quiet)


def free_bytes(folder: Path) -> int | None:
    """Free bytes where a folder lies or will lie; None: nobody knows."""
    import shutil

    there = next((one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir()), None)
    with suppress(OSError):
        return shutil.disk_usage(there).free if there else None
    return None


@contextmanager
def _local(plan: Plan, at: opt.Site, asked: Cluster) -> Iterator[tuple[Pool, int, Any]]:
    """The processes of this machine, how many, and how they are asked to stop."""
    from ticketctl.stages.plan_files import sweep_folder
    from ticketctl.stages.pools import LocalPool, slots_of
    from ticketctl.train.threads import cores_here

    cores, found = cores_here(), gpus(at.device)
    each = asked.per_gpu if found else asked.workers or cores
    slots = slots_of(found or ["cpu"], each, cores, streams=asked.streams)[: asked.workers or None]
    halt = sweep_folder(plan) / f"stop-{time.time_ns()}"
    pool = LocalPool(slots, site_of(plan, at, str(halt)), resolve)
    try:
        yield pool, len(slots), halt.touch
    finally:
        pool.close()
        with suppress(OSError):
            halt.unlink(missing_ok=True)


def _show(swept: Swept, at: opt.Site) -> None:
    """What became of all jobs, and the exit code."""
    record = summary_record(swept)
    if at.json:
        print_json(record)
    elif not at.dry_run:
        for line in [*summary(swept), *failures(swept)]:
            print_line(line)
    failed = swept.failed
    if failed and not at.dry_run:
        from ticketctl.stages.job_state import exit_code
        from ticketctl.stages.retry import many, way_on

        note(f"ticketctl: {many(failed)} failed; ticketctl status --failed says why, {way_on(swept)}")
        raise typer.Exit(exit_code([swept.states[job.id].cause for job in failed]))
