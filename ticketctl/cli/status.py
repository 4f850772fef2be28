"""`ticketctl status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.console import duration
from ticketctl.cli.output import print_json, print_line, print_table, visible

if TYPE_CHECKING:
    from ticketctl.stages.job_state import JobState
    from ticketctl.stages.jobs import PlanJob
    from ticketctl.stages.sweep import Swept

MOST = 5
"""Failed jobs of one cause that are named."""


Sweep = Annotated[
    str | None,
    typer.Argument(
        metavar="SWEEP",
        help="A sweep's id, or its beginning; or its grid, table or plan. Default: the newest.",
        autocompletion=complete.sweeps,
    ),
]


def status(
    name: Sweep = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    failed: Annotated[bool, typer.Option("--failed", help="The failed jobs, by cause.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Every job.")] = False,
    json: opt.Json = False,
) -> None:
    """How a sweep stands, from small files alone: on whatever machine, while it runs or later.

    Examples:

    ticketctl status

    ticketctl status --failed

    ticketctl status 3f2a --json
    """
    from ticketctl.stages.sweep import survey_states
    from ticketctl.stages.sweep_entries import plan_named

    swept = survey_states(plan_named(name, workspace))
    if json:
        print_json({**summary_record(swept), "all": [_record(job, swept) for job in swept.plan.jobs]})
        return
    if failed:
        lines = failures(swept, most=len(swept.plan.jobs))
        for line in lines or ["no job failed"]:
            print_line(line)
        return
    jobs = swept.plan.jobs if list_ else [job for job in swept.plan.jobs if swept.kind(job.id) == "running"]
    if jobs:
        print_table(
            ["job", "state", "what", "at", "time", "where"], [_row(job, swept) for job in jobs], left=3
        )
        print_line("")
    for line in [*summary(swept), *failures(swept)]:
        print_line(line)


def summary(swept: Swept) -> list[str]:
    """How many jobs are where, and about how long the rest takes."""
    from ticketctl.stages.plan_files import otherwise_begun
    from ticketctl.stages.retry import many, retried

    plan, counts = swept.plan, swept.counts()
    order = ("done", "diverged", "running", "waiting", "stopped", "killed", "failed", "blocked")
    said = ", ".join(f"{counts[kind]} {kind}" for kind in order if counts.get(kind))
    lines = [visible(f"sweep {plan.id}  {plan.title}"), f"{many(plan.jobs)}: {said}"]
    lines += map(visible, [*otherwise_begun(plan), *retried(plan)])
    spent = sum(state.seconds for state in swept.states.values())
    left = remaining(swept)
    if spent:
        lines.append(f"{duration(spent)} of work so far" + (f", about {duration(left)} left" if left else ""))
    again = counts.get("killed", 0) + counts.get("stopped", 0)
    if again:
        what = "job was" if again == 1 else "jobs were"
        lines.append(f"{again} {what} stopped or killed: `ticketctl sweep {plan.id}` goes on there")
    return lines


def remaining(swept: Swept) -> float | None:
    """Seconds of work that are left, by what the jobs that are done took for an epoch; None: nothing is known yet."""
    done = [
        (job.epochs, swept.states[job.id].seconds)
        for job in swept.plan.jobs
        if swept.kind(job.id) in ("done", "diverged")
    ]
    epochs, seconds = sum(one for one, _ in done), sum(took for _, took in done)
    if not epochs or not seconds:
        return None
    return seconds / epochs * sum(job.epochs for job in swept.left)


def failures(swept: Swept, most: int = MOST) -> list[str]:
    """The failed jobs by cause, the commonest first."""
    from ticketctl.stages.retry import advised, many

    causes: dict[tuple[str, str], list[PlanJob]] = {}
    for job in swept.failed:
        state = swept.states[job.id]
        causes.setdefault((state.cause, state.message), []).append(job)
    lines = []
    for (cause, message), jobs in sorted(causes.items(), key=lambda pair: -len(pair[1])):
        lines.append(visible(f"failed: {cause}, {many(jobs)}: {advised(message, swept.plan)}"))
        lines += [visible(f"  {job.id}  {job.title}") for job in jobs[:most]]
        lines += [f"  and {len(jobs) - most} more"] if len(jobs) > most else []
    blocked = [job for job in swept.plan.jobs if swept.kind(job.id) == "blocked"]
    needs = "needs" if len(blocked) == 1 else "need"
    return [*lines, *([f"blocked: {many(blocked)} {needs} one that failed"] if blocked else [])]


def summary_record(swept: Swept) -> dict[str, Any]:
    """For `--json`."""
    plan = swept.plan
    return {
        "sweep": plan.id, "title": plan.title, "workspace": str(plan.workspace), "jobs": len(plan.jobs),
        "counts": swept.counts(), "seconds": sum(state.seconds for state in swept.states.values()),
        "seconds_left": remaining(swept), "failed": [_record(job, swept) for job in swept.failed],
    }  # fmt: skip


def _record(job: PlanJob, swept: Swept) -> dict[str, Any]:
    from dataclasses import asdict

    state = swept.states[job.id]
    return {"id": job.id, "job": job.kind, "title": job.title, "needs": list(job.needs),
            **asdict(state), "kind": swept.kind(job.id)}  # fmt: skip


def _row(job: PlanJob, swept: Swept) -> list[str]:
    state = swept.states[job.id]
    where = f"{state.host} {state.device}".strip() if state.attempts else ""
    took = duration(state.seconds) if state.seconds else ""
    return [job.id, swept.kind(job.id), visible(job.title), progress(state), took, visible(where)]


def progress(state: JobState) -> str:
    """How far the training is that the job is at."""
    if state.kind != "running" or not state.epochs:
        return ""
    return visible(f"{state.title}: {state.done:g}/{state.epochs:g}")
