"""`ticketctl compare`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import things
from ticketctl.cli.groups import EQUAL, NONE, counted, deviation, number, show_groups
from ticketctl.cli.output import note, print_failure, print_json
from ticketctl.cli.tabular import FORMATS, print_as, remark
from ticketctl.errors import TicketctlError, UsageError, near_miss

if TYPE_CHECKING:
    from ticketctl.stages.against import Line
    from ticketctl.stages.compare import Group
    from ticketctl.stages.papers import Table

CELLS = [
    "row",
    "cell",
    "ours",
    "± sd",
    "paper",
    "its sd",
    "difference",
    "n",
    "n paper",
    "otherwise than the paper",
]


Runs = Annotated[
    list[str],
    typer.Argument(
        help="Runs, or folders that hold runs: spends/, a draw's folder, the workspace.",
        autocompletion=things,
    ),
]
Paper = Annotated[str | None, typer.Option(help="A table of a paper (ticketctl recipes --tables): 001:A2.")]
Within = Annotated[
    float | None,
    typer.Option(help="Exit 1 if a mean lies more than this many points from the paper's."),
]
Metric = Annotated[
    str | None, typer.Option(help="What is compared. Default: test.accuracy; with --paper the table says.")
]
Data = Annotated[str | None, typer.Option(help="With --paper: runs on this data set stand for the paper's.")]
Format = Annotated[str, typer.Option("--format", help="table, csv, latex, markdown, json.")]


class OutsideError(TicketctlError):
    """Some run lies farther from the paper than was allowed, or nothing could be compared."""

    exit_code = 1
    code = "E_OUTSIDE"


def compare(
    runs: Runs,
    paper: Paper = None,
    within: Within = None,
    metric: Metric = None,
    data: Data = None,
    format_: Format = "table",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Compare runs: means over seeds, differences paired by seed, and how far they are from a paper's table.

    Runs that differ in nothing but seeds are one row: mean, sample deviation, n; a diverged run is counted and never
    averaged. A row with tweaks is also compared with the same row without them, seed by seed: the mean difference and
    its 95 % interval by Student's t. Accuracies are percent. With --within: exit 1 if it is exceeded, or nothing was
    compared.

    Examples:

    ticketctl compare runs/resnet18-cifar100

    ticketctl compare runs/resnet18-cifar100 --paper 001:A2 --within 1
    """
    from ticketctl.stages.compare import grouped
    from ticketctl.stages.papers import find_table
    from ticketctl.stages.subjects import subjects_in

    kind = _checked(format_, json, paper, within, metric, data)
    table = find_table(paper) if paper is not None else None
    subjects, copies = subjects_in(runs, workspace)
    if copies:
        note(f"{copies} {'run is a copy' if copies == 1 else 'runs are copies'} of others, counted once")
    groups = grouped(subjects)
    if table is None:
        from ticketctl.stages.compare import compare as compared

        wanted = metric or "test.accuracy"
        show_groups(compared(groups, wanted), wanted, kind)
        return
    from ticketctl.stages.against import against, strangers

    lines = against(table, groups, data=_stand_in(data, groups))
    if all(line.group is None for line in lines):
        note(strangers(table, groups))
    show_lines(table, lines, len(subjects), kind, _verdict(lines, within))


def _checked(
    kind: str, json: bool, paper: str | None, within: float | None, metric: str | None, data: str | None
) -> str:
    """The format that was asked for, once the options go together."""
    if kind not in FORMATS:
        raise UsageError(f"--format {kind!r}: {near_miss(kind, FORMATS)}")
    if paper is None and (within is not None or data is not None):
        raise UsageError(
            f"--{'within' if within is not None else 'data'} goes with --paper, such as --paper 001:A2"
        )
    if paper is not None and metric is not None:
        raise UsageError("--metric goes without --paper: the table says what it reports")
    if within is not None and not (math.isfinite(within) and within >= 0):
        raise UsageError(f"--within {within}: write points of accuracy, such as 0.5")
    return "json" if json else kind


def _stand_in(data: str | None, groups: Sequence[Group]) -> str | None:
    """The data set that stands for the paper's: one of the runs'; what stands behind a colon is its place."""
    name, known = data.partition(":")[0] if data else None, {group.data for group in groups}
    if name is not None and name not in known:
        raise UsageError(f"--data {data}: no run is on it; {near_miss(name, known)}")
    return name


# ------------------------------------------------------------------------------------------------- a paper's table


def _verdict(lines: Sequence[Line], within: float | None) -> OutsideError | None:
    if within is None:
        return None
    compared = [line for line in lines if line.difference is not None and line.cell.unit == "percent"]
    if not compared:
        return OutsideError("no run belongs to a cell with a printed percentage: nothing was compared")
    far = [line for line in compared if abs(line.difference or 0) > within + 1e-9]
    if not far:
        return None
    worst = max(far, key=lambda line: abs(line.difference or 0))
    where = f"{worst.cell.row}, {worst.cell.column}: {worst.difference:+.2f}"
    return OutsideError(
        f"{len(far)} of {len(compared)} means lie more than {within:g} from the paper's, in points; farthest {where}"
    )


def show_lines(table: Table, lines: Sequence[Line], runs: int, kind: str, error: OutsideError | None) -> None:
    """The cells of a paper's table, each with what belongs to it."""
    if kind == "json":
        result = paper_record(table, lines, runs)
        print_failure(result, error) if error else print_json(result)
    else:
        print_as(kind, CELLS, [_line_cells(line, table) for line in lines], left=2, prose=True)
        remark(kind, _about(table, lines, runs))
    if error:
        note(f"ticketctl: {error}")
        raise typer.Exit(error.exit_code)


def _line_cells(line: Line, table: Table) -> list[str]:
    cell, group = line.cell, line.group
    told = "no value printed" if cell.value is None else str(cell.value) + "*" * cell.nonconverged
    other = "; ".join(line.differs) or ("as its recipe" if group else "")
    return [
        cell.row,
        cell.column,
        "missing" if group is None else number(line.ours),
        deviation(line.deviation, line.equal),
        told,
        NONE if cell.deviation is None else str(cell.deviation),
        NONE if line.difference is None else f"{line.difference:+.2f}",
        counted(line.n, group.diverged if group else 0),
        "?" if table.seeds is None else str(table.seeds),
        other if not line.why or line.why == "no run" else "; ".join(filter(None, [line.why, other])),
    ]


def _about(table: Table, lines: Sequence[Line], runs: int) -> list[str]:
    used = {run.folder for line in lines if line.group for run in line.group.runs}
    cells, missing = len(table.cells), sum(line.group is None for line in lines)
    silent = sum(cell.value is None for cell in table.cells)
    said = [f"paper {table.paper}, {table.number}: {table.title} ({table.source})"]
    said.append(
        f"{cells - missing} of {cells} cells have runs; {runs - len(used)} of {runs} runs belong to no cell"
    )
    said += [f"{silent} cells have no printed value"] if silent else []
    starred = any(cell.nonconverged for cell in table.cells)
    said += ["* the paper says that some run did not learn"] if starred else []
    said += [EQUAL] if any(line.equal for line in lines) else []
    return [*said, f"what the paper tells, and does not: {table.note}"]


def paper_record(table: Table, lines: Sequence[Line], runs: int) -> dict[str, Any]:
    """For `--json`."""
    head = {key: getattr(table, key) for key in ("spec", "name", "title", "source", "note", "seeds")}
    return {"table": head, "runs": runs, "cells": [_cell_record(line) for line in lines]}


def _cell_record(line: Line) -> dict[str, Any]:
    cell, group = line.cell, line.group
    return {
        "row": cell.row,
        "cell": cell.column,
        "recipe": cell.recipe,
        "tweaks": list(cell.tweaks),
        "metric": cell.metric,
        "unit": cell.unit,
        "ours": line.ours,
        "deviation": line.deviation,
        "equal": line.equal,
        "n": line.n,
        "diverged": group.diverged if group else 0,
        "paper": None if cell.value is None else float(cell.value),
        "paper_deviation": None if cell.deviation is None else float(cell.deviation),
        "difference": line.difference,
        "differs": list(line.differs),
        "missing": group is None,
        "why": line.why or None,
        "runs": [str(run.folder) for run in group.runs] if group else [],
    }
