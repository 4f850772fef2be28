"""`ticketctl collect`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.output import note, print_json, print_line, print_table, visible
from ticketctl.cli.status import Sweep
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.collect import Record

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="A metric of runs or of their reports: audit.ece; or all. Repeatable. Default: what the sweep is for.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="table, csv or json. Default: a table; in a file, as its name ends."),
]
Out = Annotated[
    Path | None,
    typer.Option(help="A file: sweep.csv or sweep.json; a table of collect that lies there is replaced."),
]


def collect(
    name: Sweep = None,
    metric: Metrics = None,
    format_: Format = None,
    out: Out = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Collect a sweep in one tidy table: a row for each combination, seed and metric.

    Each row has the value on every axis, the state (done, diverged, missing; absent: this run has no such metric) and
    why, the kept density, the run, the ticket, what both cost, and the command that makes the run again.
    Nothing is trained or measured, and a sweep that is under way may be collected.

    Examples:

    ticketctl collect --out sweep.csv

    ticketctl collect 3f2a --metric test.accuracy --metric audit.ece
    """
    from ticketctl.stages import collect as stage
    from ticketctl.stages.sweep_entries import entries_of, plan_named

    kind = _kind(format_, out, json)
    asked = metric or []
    whole = entries_of(plan_named(name, workspace), [one for one in asked if one != stage.ALL])
    rows = stage.rows_of(whole, asked, str(workspace))
    for text in (f"sweep {whole.plan.id}: {stage.summary(whole)}", *whole.remarks):
        note(text, quiet)
    if out is not None:
        stage.write(rows, out, kind)
        told = f"{len(rows)} rows in {out}"
        print_json({"file": str(out), "rows": len(rows)}) if json else print_line(visible(told))
    elif kind == "json":
        print_json(
            {"sweep": whole.plan.id, "title": whole.plan.title, "axes": list(whole.axes), "rows": rows}
        )
    elif kind == "csv":
        print_line(stage.csv_text(rows).rstrip("\n"))
    else:
        _show(rows, whole.axes)


def _kind(typed: str | None, out: Path | None, json: bool) -> str:
    """The format; what cannot be is refused before the sweep is read."""
    from ticketctl.stages.collect import BEHIND, SUFFIXES, format_of
    from ticketctl.stages.own_files import check_out, is_table

    kind = format_of(typed or ("json" if json and not out else None), out)
    if json and typed not in (None, "json"):
        raise UsageError(f"--format {typed} and --json are two formats; give one of them")
    if out is not None:
        if SUFFIXES.get(out.suffix.lower(), kind) != kind:
            raise UsageError(
                f"--format {kind} with --out {out}: the file's name says another; give one of them"
            )
        check_out(out, "sweep.csv", "collect", lambda file: is_table(file, BEHIND))
    return kind


def _show(rows: Sequence[Record], axes: Sequence[str]) -> None:
    """The columns that say something, and of axes those that vary."""
    from ticketctl.stages.collect import SHOWN

    varying = [axis for axis in axes if len({str(row.get(axis)) for row in rows}) > 1]
    columns = [*varying, *(name for name in SHOWN if any(row.get(name) not in (None, "") for row in rows))]
    left = len(varying) + 2
    print_table(columns, [[_cell(row.get(name)) for name in columns] for row in rows], left=left)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
