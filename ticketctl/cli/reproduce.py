"""`ticketctl reproduce`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.context import surroundings
from ticketctl.cli.devices import check
from ticketctl.cli.output import note, print_failure, print_json, print_line, visible
from ticketctl.cli.paper import paper_record, show_lines
from ticketctl.cli.planned import cautions, plan_record, show_plan, told
from ticketctl.errors import DivergedError, UsageError

if TYPE_CHECKING:
    from ticketctl.stages.against import Line
    from ticketctl.stages.carry import Carried
    from ticketctl.stages.reproduce import Asked, Planned


def _tables(incomplete: str) -> list[tuple[str, str]]:
    """Names of the shipped tables."""
    from ticketctl.recipe_files import table_names

    return [(name, "") for name in table_names() if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        help="A table of a paper (ticketctl recipes --tables): 001:A2; or a file of yours.",
        autocompletion=_tables,
    ),
]
Rows = Annotated[
    list[str] | None, typer.Option(help="These rows alone: names, or numbers as 1,3-4. Repeatable.")
]
Levels = Annotated[
    str | None, typer.Option(help="These levels alone: 3,8-10, a sparsity as 0.8926; ladders end there.")
]
Data = Annotated[str | None, typer.Option(help="Another data set, in place of the paper's.")]
Devices = Annotated[int, typer.Option("--devices", min=1, hidden=True)]
"""Known from draw and spend, and so typed here too; refused with the way."""


def reproduce(
    table: Name,
    rows: Rows = None,
    levels: Levels = None,
    scale: opt.Scale = None,
    seed: opt.Seeds = None,
    data: Data = None,
    data_dir: opt.DataDir = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    device: opt.Device = "auto",
    devices: Devices = 1,
    offline: opt.Offline = False,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Reproduce a table or figure of a paper: all its draws, spends and audits, each made once, and the comparison.

    Draws and runs that lie in the workspace are found, however they were made; ticketctl sweep makes several at a time,
    one on each GPU. The same command again goes on where it stopped. Without --seed there are as many runs as the paper
    has. Exit 4 if every run diverged.

    Examples:

    ticketctl reproduce 001:A2 --dry-run

    ticketctl reproduce papers/001-toast/table-a2 --rows LTH,skip --levels 0,0.8926 --seed 42 --scale 0.1
    """
    from ticketctl.stages.auditing import check_audits
    from ticketctl.stages.papers import find_table
    from ticketctl.stages.reproduce import Asked, plan_table

    check(device)
    factor = opt.scale_of(scale, None)
    asked = Asked(find_table(table), rows or (), levels, opt.seeds_of(seed), factor, data, workspace)
    planned = plan_table(asked)
    check_audits(planned)
    where = opt.where(opt.Site(data_dir, offline, dry_run, json, quiet, device, workspace, data))
    _check_alone(devices, ["ticketctl", "sweep", table, *_words(asked, scale), *where])
    for text in [*planned.refused, *planned.notes, f"repeat with: {_line(planned, table, scale, where)}"]:
        note(text, quiet)
    if dry_run:
        _estimate(planned, device, data_dir, quiet, json)
    else:
        _carry_out(planned, device, data_dir, offline, quiet, json)


def _check_alone(devices: int, sweep: list[str]) -> None:
    """Refuse several devices: `sweep` is the command that uses them."""
    if devices > 1:
        raise UsageError(
            f"--devices {devices}: one net is trained at a time here; to train several, one on each GPU: "
            f"{shlex.join(sweep)}; then this command, without --devices, compares"
        )


def _line(planned: Planned, name: str, scale: float | None, where: list[str]) -> str:
    words = _words(replace(planned.asked, seeds=planned.seeds), scale)
    return shlex.join(["ticketctl", "reproduce", name, *words, *where])


def _words(asked: Asked, scale: float | None) -> list[str]:
    """What was typed of the table."""
    words = [word for row in asked.rows for word in ("--rows", row)]
    words += ["--levels", asked.levels] if asked.levels is not None else []
    words += ["--scale", f"{scale:g}"] if scale is not None else []
    return words + (["--seed", ",".join(map(str, asked.seeds))] if asked.seeds else [])


# --------------------------------------------------------------------------------------------------------- the plan


def _estimate(planned: Planned, device: str, data_dir: Path | None, quiet: bool, json: bool) -> None:
    """The plan and its cost; what is not here is not fetched for it."""
    from ticketctl.stages.auditing import exams
    from ticketctl.stages.errands import tasks

    todo, asked, faults = tasks(planned), exams(planned), list[str]()
    with surroundings(device, data_dir, True, quiet, None, planned.workspace) as around:
        from ticketctl.stages.bill import bill_of, survey
        from ticketctl.stages.trained_for import needs

        more = needs(planned, todo, asked)
        paces = survey(planned, todo, around, timed=True, faults=faults, trained=more)
        bill = bill_of(planned, todo, paces, more)
    if json:
        print_json({**plan_record(planned, todo, asked, bill), "unknown": list(dict.fromkeys(faults))})
        return
    show_plan(planned, todo, bill)
    for text in told(planned, asked, bill, timed=True):
        print_line(text)
    for fault in dict.fromkeys(faults):
        print_line(visible(f"unknown     {fault}"))


# ------------------------------------------------------------------------------------------------------- the doing


def _carry_out(
    planned: Planned, device: str, data_dir: Path | None, offline: bool, quiet: bool, json: bool
) -> None:
    from ticketctl.stages.auditing import exams
    from ticketctl.stages.errands import tasks

    todo, asked, workspace = tasks(planned), exams(planned), planned.workspace
    trained = all(task.there for task in todo) and all(draw.done for draw in planned.draws)
    if trained and all(exam.there for exam in asked):
        note("all of it is there already", quiet)
        from ticketctl.stages.errands import ready_runs

        _show(planned, list(ready_runs(planned)), None, json)
        return
    with surroundings(device, data_dir, offline, quiet, None, workspace) as around:
        from ticketctl.stages.bill import bill_of, survey
        from ticketctl.stages.carry import carry_out
        from ticketctl.stages.trained_for import needs

        more = needs(planned, todo, asked)
        paces = survey(planned, todo, around, timed=False, faults=None, trained=more)
        bill = bill_of(planned, todo, paces, more)
        for text in told(planned, asked, bill, timed=False):
            note(text, quiet)
        note(f"writes to {workspace}; the same command goes on there after an interruption", quiet)
        fits = sum(item.trainings for item in (*bill.draws.values(), *(item for _, item in bill.nets))) + len(
            todo
        )
        carried = carry_out(planned, fits, around, f"reproduce {planned.asked.table.spec}")
    _show(planned, list(carried.runs), carried, json)


def _show(planned: Planned, folders: list[Path], carried: Carried | None, json: bool) -> None:
    """The comparison, as `ticketctl compare` makes it of these runs."""
    table = replace(planned.asked.table, cells=planned.cells)
    lines, runs, finite = _compared(planned, folders)
    failure = (
        None if finite else DivergedError("no run stayed finite; the runs are kept, and say where they left")
    )
    faults = carried.faults if carried else []
    if json:
        result = {
            **paper_record(table, lines, runs),
            "seeds": list(planned.seeds),
            "drawn": carried.drawn if carried else 0,
            "trained": carried.trained if carried else 0,
            "audited": carried.audited if carried else 0,
            "faults": faults,
            "refused": list(planned.refused),
            "cautions": cautions(planned),
        }
        print_failure(result, failure) if failure else print_json(result)
    else:
        show_lines(table, lines, runs, "table", None)
        for text in [*faults, *planned.refused, *cautions(planned)]:
            print_line(visible(text))
    if failure:
        note(f"ticketctl: {failure}")
        raise typer.Exit(failure.exit_code)


def _compared(planned: Planned, folders: list[Path]) -> tuple[list[Line], int, int]:
    """The lines of the cells asked for; how many runs there are, and how many of them stayed finite."""
    from ticketctl.stages.against import against
    from ticketctl.stages.compare import grouped
    from ticketctl.stages.subjects import subjects_in

    asked = planned.asked
    found = subjects_in([str(folder) for folder in folders], asked.workspace)[0] if folders else []
    data = asked.data.partition(":")[0] if asked.data else None
    places = {(cell.row, cell.column) for cell in planned.cells}
    lines = against(asked.table, grouped(found), data=data)
    mine = [line for line in lines if (line.cell.row, line.cell.column) in places]
    return mine, len(found), sum(not one.diverged for one in found)
