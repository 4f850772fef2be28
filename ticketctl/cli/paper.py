"""A paper's table beside the runs that belong to its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ticketctl.cli.output import note, print_failure, print_json, print_line, visible
from ticketctl.cli.tabular import print_as, print_sheet, remark
from ticketctl.errors import TicketctlError
from ticketctl.stages.grouped_cells import EQUAL, FINE, NONE, PLAIN, counted, deviation, number

if TYPE_CHECKING:
    from ticketctl.stages.against import Line
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
SHEET = [
    "row",
    "cell",
    "recipe",
    "tweaks",
    "metric",
    "unit",
    "ours",
    "deviation",
    "equal",
    "n",
    "diverged",
    "paper",
    "paper_deviation",
    "paper_n",
    "nonconverged",
    "difference",
    "missing",
    "why",
    "otherwise",
]
"""Columns of CSV: the names and the numbers of `--json`."""


class OutsideError(TicketctlError):
    """Some run lies farther from the paper than was allowed, or nothing could be compared."""

    exit_code = 1
    code = "E_OUTSIDE"


def show_nothing(why: str, error: OutsideError | None) -> None:
    """That no run belongs to a table, instead of its cells."""
    print_line(visible(f"{why}; --missing shows the cells"))
    _end(error)


def show_lines(
    table: Table,
    lines: Sequence[Line],
    runs: int,
    kind: str,
    error: OutsideError | None,
    *,
    missing: bool = True,
) -> None:
    """The cells of a paper's table, each with what belongs to it.

    Args:
        table: the paper's.
        lines: its cells, as `against` gives them.
        runs: how many were compared.
        kind: table, csv, latex, markdown or json.
        error: what the command ends with.
        missing: whether forms for people also show cells whose net, data or method no run is of.
    """
    from ticketctl.stages.against import related

    if kind == "json":
        result = paper_record(table, lines, runs)
        print_failure(result, error) if error else print_json(result)
    elif kind == "csv":
        print_sheet(SHEET, [_sheet(line, table) for line in lines])
        remark(kind, _about(table, lines, runs))
    else:
        shown = lines if missing else related(lines)
        hidden = len(lines) - len(shown)
        more = [f"{hidden} more cells are of nets, data or methods that no run is of: --missing shows them"]
        print_as(kind, CELLS, [_line_cells(line, table) for line in shown], left=2, prose=True)
        remark(kind, [*_about(table, lines, runs), *(more if hidden else [])])
    _end(error)


def _end(error: OutsideError | None) -> None:
    if error:
        note(f"ticketctl: {error}")
        raise typer.Exit(error.exit_code)


def _sheet(line: Line, table: Table) -> dict[str, Any]:
    other = "; ".join(line.differs)
    own = {"paper_n": table.seeds, "nonconverged": line.cell.nonconverged, "otherwise": other}
    return {**_cell_record(line), **own}


def _line_cells(line: Line, table: Table) -> list[str]:
    cell, group = line.cell, line.group
    from ticketctl.stages.measured import needs_report

    fine = cell.unit == "number" or (cell.unit == "share" and needs_report(cell.metric))
    form = FINE if fine else PLAIN
    told = "no value printed" if cell.value is None else str(cell.value) + "*" * cell.nonconverged
    other = "; ".join(line.differs) or ("as its recipe" if group else "")
    return [
        cell.row,
        cell.column,
        "missing" if group is None else number(line.ours, form=form),
        deviation(line.deviation, line.equal, form=form),
        told,
        NONE if cell.deviation is None else str(cell.deviation),
        NONE if line.difference is None else f"{line.difference:+{form}}",
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
