"""`ticketctl plan`."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.console import amount, duration
from ticketctl.cli.devices import check
from ticketctl.cli.output import note, print_json, print_line, print_table, visible
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.jobs import Plan
    from ticketctl.stages.plan_cost import PlanCost
    from ticketctl.stages.plan_wanted import Meant


@dataclass(frozen=True)
class Which:
    """Which plan is meant, or which part of it."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="PLAN",
            help="A grid (GRID.toml), a paper's table (001:A2), a plan that was made (PLAN.jsonl), or a sweep's id.",
            autocompletion=complete.plans,
        ),
    ]
    only: Annotated[
        str, typer.Option(help="These alone: density>=0.1,tweaks=skip; axes, or row, cell, sparsity.")
    ] = ""
    rows: Annotated[
        list[str] | None, typer.Option(help="Of a table these rows alone: names, or numbers 1,3-4.")
    ] = None
    levels: Annotated[
        str | None, typer.Option(help="Of a table these levels alone: 3,8-10, a sparsity as 0.8926.")
    ] = None
    seed: opt.Seeds = None
    scale: opt.Scale = None
    data: Annotated[
        str | None, typer.Option(help="Of a table: another data set, in place of the paper's.")
    ] = None

    def meant(self, workspace: Path) -> Meant:
        """The plan, as of this moment."""
        from ticketctl.stages.plan_wanted import Wanted, plan_meant

        seeds, factor = opt.seeds_of(self.seed), opt.scale_of(self.scale, None)
        return plan_meant(
            Wanted(self.name, workspace, self.rows or (), self.levels, self.only, seeds, factor, self.data)
        )


Workers = Annotated[int | None, typer.Option(min=1, max=4096, help="Jobs at a time. Default: one a core.")]
Out = Annotated[
    Path | None,
    typer.Option(help="File to write the plan to, PLAN.jsonl; a plan that lies there is replaced."),
]
MOST = 40
"""Draws that a table shows."""


@opt.spread
def plan(
    *,
    which: Which,
    workers: Workers = None,
    out: Out = None,
    list_: Annotated[bool, typer.Option("--list", help="Every job, with its id.")] = False,
    device: opt.Device = "auto",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    data_dir: opt.DataDir = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Plan many runs: the jobs behind a grid or a paper's table, each once, and what they cost.

    A place is a combination and a seed, as `ticketctl collect` counts them; several may need one job.
    Nothing is trained or fetched but a few steps to time. `ticketctl sweep` carries out the same plan.

    Examples:

    ticketctl plan grid.toml

    ticketctl plan 001:A2 --rows LTH,skip --scale 0.1

    ticketctl plan grid.toml --only "density>=0.1,tweaks=skip" --out plan.jsonl
    """
    check(device)
    if out is not None:
        _check_out(out)
    found = which.meant(workspace)
    tell(found, quiet)
    if out is not None:
        _write(found.plan, out, quiet)
    if list_:
        _list(found.plan, json)
        return
    _tell_cost(found, opt.Site(data_dir, True, True, json, quiet, device, workspace, which.data), workers)


def _check_out(out: Path) -> None:
    """Refuse to write over what is no plan, or what `sweep` would not take for one, before anything is done."""
    from ticketctl.stages.own_files import check_out, is_plan

    check_out(out, "plan.jsonl", "plan", is_plan)
    if out.suffix != ".jsonl":
        raise UsageError(
            f"--out {out}: sweep takes a plan whose name ends in .jsonl; name a file, such as plan.jsonl"
        )


def _write(plan: Plan, out: Path, quiet: bool) -> None:
    from ticketctl.stages.plan_files import as_bytes
    from ticketctl.store.files import make_folder, write_atomic

    make_folder(out.parent)
    write_atomic(out, as_bytes(plan))
    where = [] if plan.workspace == opt.DEFAULT_WORKSPACE else ["--workspace", str(plan.workspace)]
    line = shlex.join(["ticketctl", "sweep", str(out), *where])
    note(f"plan {plan.id} in {out}; carry it out with: {line}", quiet)


def _tell_cost(found: Meant, at: opt.Site, workers: int | None) -> None:
    """What the plan costs here; nothing is fetched for it."""
    usual = slots_here(at.device)
    cost, slots = _cost(found, at), workers or usual
    if at.json:
        print_json(_record(found, cost, slots))
    else:
        show(found.plan, cost, slots)


def tell(found: Meant, quiet: bool) -> None:
    """What was left out, and what was chosen."""
    for text in [*found.refused, *found.notes]:
        note(text, quiet)


def slots_here(device: str) -> int:
    """Jobs at a time where nothing is said: one for each core, or for each GPU.

    Beside a CPU this process, too, takes one thread from here on: jobs are timed as they will run.
    """
    from ticketctl.cli.devices import gpus
    from ticketctl.train.threads import VARIABLE, cores_here

    if found := gpus(device):
        return len(found)
    os.environ[VARIABLE] = "1"
    return cores_here()


def _cost(found: Meant, at: opt.Site) -> PlanCost:
    from ticketctl.cli.context import measuring

    with measuring(at) as around:
        from ticketctl.stages.plan_cost import cost_of

        return cost_of(found.plan, around, lenient=True)


def _list(plan: Plan, json: bool) -> None:
    if json:
        print_json(
            [
                {"id": job.id, "kind": job.kind, "title": job.title, "needs": list(job.needs)}
                for job in plan.jobs
            ]
        )
        return
    print_table(["job", "kind", "what", "needs"], [_job(job) for job in plan.jobs], left=3)


def _job(job: Any) -> list[str]:
    return [job.id, job.kind, visible(job.title), str(len(job.needs))]


def _record(found: Meant, cost: PlanCost, slots: int) -> dict[str, Any]:
    from ticketctl.stages.plan_cost import cost_record

    plan = found.plan
    return {
        "plan": plan.id, "title": plan.title, "places": _places(plan), **cost_record(cost, plan, slots),
        "refused": list(found.refused), "notes": list(found.notes),
    }  # fmt: skip


def show(plan: Plan, cost: PlanCost, slots: int) -> None:
    """The draws with what is spent of each, and the cost."""
    drawn = [job for job in plan.jobs if job.kind == "draw"]
    spends = {job.draw: 0 for job in drawn}
    for job in plan.jobs:
        spends[job.draw] += job.kind == "spend"
    rows = []
    for job in drawn[:MOST]:
        item = cost.bill.draws.get(job.draw)
        own = [f"{item.trainings}", f"{item.epochs:g}"] if item and item.trainings else ["there", "-"]
        rows.append([visible(job.title), *own, str(spends[job.draw])])
    print_table(["draw", "its trainings", "its epochs", "spends"], rows, left=1)
    if len(drawn) > MOST:
        print_line(f"and {len(drawn) - MOST} draws more: --list shows every job")
    print_line("")
    for line in told(plan, cost, slots):
        print_line(line)


def _places(plan: Plan) -> int:
    """Of the table that `collect` makes: a dense net that several methods share has one."""
    from ticketctl.stages.sweep_labels import labelled

    return len(labelled(plan)[1])


def told(plan: Plan, cost: PlanCost, slots: int, *, timed: bool = True) -> list[str]:
    """The cost in a few lines; of time nothing, unless it was `timed`."""
    bill, (work, wall) = cost.bill.record(), cost.hours(plan, slots)
    jobs = ", ".join(
        f"{many} {kind}{'s' * (many != 1)}{f' ({there} there)' * bool(there)}"
        for kind, (many, there) in cost.jobs.items()
    )
    places, most = _places(plan), "at most " if bill["at_most"] else ""
    steps = "" if bill["steps"] is None else f", {bill['steps']:,} steps"
    lines = [
        visible(f"plan        {plan.id} {plan.title}: {places} place{'s' * (places != 1)}"),
        f"jobs        {len(plan.jobs)}: {jobs}; each is done once, however many places need it",
        f"to train    {most}{bill['trainings']:,} trainings, {bill['epochs']:,.0f} epochs{steps}",
    ]
    if not timed:
        pass  # another machine will do it
    elif work is None or wall is None:
        lines.append("time        unknown: not every net could be timed")
    elif bill["trainings"]:
        alone, side = duration(3600 * work), duration(3600 * wall)
        hours = f" ({work:.1f} device hours)" if work >= 0.1 else ""
        lines.append(f"time        about {alone} of one process; {side} with {slots} at a time{hours}")
    lines += [] if cost.bytes is None else [f"disk        about {amount(cost.bytes)}"]
    reports = [kind for kind in cost.jobs if kind not in ("draw", "spend")]
    lines += [f"not counted the time of {', '.join(reports)} jobs"] if reports else []
    return [*lines, *(visible(f"unknown     {fault}") for fault in cost.unknown)]
