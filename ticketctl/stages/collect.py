"""`collect`: a sweep as one tidy table, a row for each place, seed and metric. Nothing here imports torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.stages.agenda import Use
from ticketctl.stages.jobs import PlanJob
from ticketctl.stages.measured import kind_of
from ticketctl.stages.sweep_commands import Repeats
from ticketctl.stages.sweep_entries import Entries, Entry
from ticketctl.store.files import make_folder, write_atomic

ALL = "all"
FORMATS = ("table", "csv", "json")
SUFFIXES = {".csv": "csv", ".json": "json"}
BEHIND = (
    "seed", "metric", "value", "state", "job", "cause", "density_kept", "net", "data_set", "run", "run_id", "ticket_id",
    "ticket_level", "epochs", "steps", "images", "seconds", "device", "draw_epochs", "draw_seconds", "command",
)  # fmt: skip
"""Columns behind those of the axes."""
SHOWN = (
    "seed",
    "metric",
    "value",
    "state",
    "job",
    "cause",
    "density_kept",
    "epochs",
    "draw_epochs",
    "seconds",
    "run",
)
"""Of these, what a terminal shows."""

Record = dict[str, Any]


def metrics_of(whole: Entries, asked: Sequence[str]) -> list[str]:
    """The metrics of every row: as asked, `all` that some run has, or those that the sweep is for.

    Nothing asked: of a table what its cells report; else test.accuracy. An audit has tens of metrics: these are asked
    for.
    """
    if ALL in asked:
        return whole.known()
    if asked:
        return list(dict.fromkeys(asked))
    return list(dict.fromkeys(entry.metric for entry in whole.entries))


def rows_of(whole: Entries, asked: Sequence[str] = (), workspace: str | None = None) -> list[Record]:
    """The table: the columns of the axes, then `BEHIND`.

    A value stands in rows of state `done`, and in no other: a run that diverged has a last measurement, which is no
    result. A metric of a report is `missing` until the report is made, and `absent` is what a run that is done has not:
    a metric that means nothing for it, or that nobody measured.

    Args:
        whole: the sweep.
        asked: metrics, or `all`; of a table's cells each has its own where nothing is asked.
        workspace: as it stands in the commands.
    """
    names = metrics_of(whole, asked)
    reports = {(job.use, job.reading.kind): job for job in whole.plan.jobs if job.reading is not None}
    repeats = Repeats(whole.plan, workspace or str(whole.plan.workspace))
    return [
        {**entry.labels, **_behind(whole, entry, metric, repeats), **_lacking(whole, entry, metric, reports)}
        for entry in whole.entries
        for metric in ([entry.metric] if whole.is_table and not asked else names)
    ]


def _lacking(
    whole: Entries, entry: Entry, metric: str, reports: Mapping[tuple[Use | None, str], PlanJob]
) -> Record:
    """How it stands with a metric that a run has not, though it is done."""
    if entry.state != "done" or whole.value(entry, metric) is not None:
        return {}
    job = reports.get((entry.use, kind_of(metric) or ""))
    state = None if job is None else whole.states.states[job.id]
    if state is None or state.kind == "done":
        return {"state": "absent"}
    return {"state": "missing", "job": state.kind, "cause": state.cause}


def _behind(whole: Entries, entry: Entry, metric: str, repeats: Repeats) -> Record:
    run, cost = entry.run, entry.cost
    value = whole.value(entry, metric) if entry.state == "done" else None
    ticket = None if entry.dense or entry.ticket is None else entry.ticket.ticket_id
    recipe = entry.use.draw.recipe
    return {
        "seed": entry.seed,
        "metric": metric,
        "value": value,
        "state": entry.state,
        "job": entry.kind,
        "cause": entry.cause,
        "density_kept": None if run is None else float(run.final),
        "net": recipe.model.name,
        "data_set": whole.called[recipe.data.name],
        "run": None if run is None else run.folder.relative_to(whole.plan.workspace).as_posix(),
        "run_id": None if run is None else run.manifest.run_id,
        "ticket_id": ticket if run is None or run.manifest.ticket == "dense" else run.manifest.ticket,
        "ticket_level": entry.use.level if run is None else run.manifest.level,
        "epochs": cost.epochs,
        "steps": cost.steps,
        "images": cost.images,
        "seconds": cost.seconds,
        "device": cost.device,
        "draw_epochs": cost.draw_epochs,
        "draw_seconds": cost.draw_seconds,
        "command": repeats.line(entry),
    }


def columns_of(rows: Sequence[Record]) -> list[str]:
    """Of all rows."""
    return list(dict.fromkeys(name for row in rows for name in row))


def format_of(typed: str | None, out: Path | None) -> str:
    """The format: as typed, as the file's name ends, else a table on the terminal and CSV in a file.

    Raises:
        UsageError: no such format, or a table in a file.
    """
    if typed is not None and typed not in FORMATS:
        raise UsageError(
            f"--format {typed!r}: write table, csv or json; parquet is made of CSV by other tools"
        )
    if out is not None and out.suffix.lower() == ".parquet":
        raise UsageError(f"--out {out}: no parquet is written; name a .csv or .json file")
    kind = typed or (SUFFIXES.get(out.suffix.lower(), "csv") if out else "table")
    if out is not None and kind == "table":
        raise UsageError(f"--format table with --out {out}: a file is written as csv or json")
    return kind


def write(rows: Sequence[Record], out: Path, kind: str) -> None:
    """Write the table, the old file or the new one and never half.

    Raises:
        UsageError: something that is no plain file lies there.
        ResourceError: it cannot be written.
    """
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise UsageError(f"--out {out}: no plain file lies there; name a file, such as sweep.csv")
    make_folder(out.parent)
    write_atomic(out, (csv_text(rows) if kind == "csv" else _json(rows)).encode("utf-8"))


def csv_text(rows: Sequence[Record]) -> str:
    """Every number as it is, an empty cell for what is not there."""
    text, columns = io.StringIO(), columns_of(rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> object:
    return "" if value is None else repr(value) if isinstance(value, float) else value


def _json(rows: Sequence[Record]) -> str:
    return json.dumps(list(rows), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def summary(whole: Entries) -> str:
    """How many places are done, diverged and missing, and why; and how many reports of them are missing."""
    states = [entry.state for entry in whole.entries]
    why: dict[str, int] = {}
    for entry in whole.entries:
        if entry.state == "missing":
            why[entry.why] = why.get(entry.why, 0) + 1
    told = ", ".join(f"{count} {what}" for what, count in why.items())
    gone = states.count("missing")
    reports = [job for job in whole.plan.jobs if job.reading is not None]
    open_ = sum(whole.states.states[job.id].kind != "done" for job in reports)
    places = f"{len(states)} place{'s' * (len(states) != 1)}"
    return (
        f"{places}: {states.count('done')} done, {states.count('diverged')} diverged, "
        f"{gone} missing{f' ({told})' if gone else ''}"
        f"{f'; {open_} of {len(reports)} reports missing' if open_ else ''}"
    )
