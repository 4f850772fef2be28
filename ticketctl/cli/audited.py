"""What an audit measured or would measure, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.cli.console import duration
from ticketctl.cli.output import print_json, print_line, print_table, visible
from ticketctl.plugins import plugins

if TYPE_CHECKING:
    from ticketctl.artifacts.report import MetricRow, Report
    from ticketctl.artifacts.run import Run
    from ticketctl.stages.examined import Wanted

Planned = tuple["Run", "Wanted", "dict[str, float] | str"]
"""A run, what is asked of it, and the seconds of each metric that is not there; or why these are not known."""


@dataclass(frozen=True)
class Measured:
    """A run that was audited now or before."""

    run: Run
    report: Report
    """Of its arrays those alone that a verdict is read from."""
    file: Path
    """Where the whole report lies."""
    compact: Path | None
    """Where the compacted net lies, if one was asked for."""


def show_audits(found: Sequence[Measured], json: bool) -> None:
    """What was measured of each run."""
    if json:
        print_json({"runs": [as_record(one) for one in found], "verdict": None})
        return
    for one in found:
        if len(found) > 1:
            print_line(visible(f"{one.run.folder}:"))
        show(one.run, one.report)
        print_line(visible(f"report in {one.file}"))
        show_compact(one)


def show_compact(one: Measured) -> None:
    """Where the compacted net of a run lies."""
    if one.compact is not None:
        print_line(visible(f"compact net in {one.compact}"))


def show(run: Run, report: Report) -> None:
    """What is to be known of the net first, and the values of its report as a table."""
    from ticketctl.stages.judged import remarks

    for text in remarks(run):
        print_line(visible(text))
    done = [row for row in report.metrics if row.status == "done"]
    print_table(["metric", "value", "± error", "n", "better"], [row_cells(row) for row in done])
    for row in report.metrics:
        if row.status != "done":
            print_line(
                visible(f"{row.name}: {'no number' if row.status == 'nan' else row.status}: {row.reason}")
            )


def row_cells(row: MetricRow) -> list[str]:
    """Of a value that is there: its name, itself, its error, n, and which way is better."""
    error = "" if row.error is None else _number(row.error)
    return [row.name, _value(row), error, str(row.n), "" if row.better == "none" else row.better]


def _value(row: MetricRow) -> str:
    return _bound(row) or _number(float(row.value or 0))


def _bound(row: MetricRow) -> str:
    """Of a value that a search ended at, what is known: "at least 5"; else ""."""
    bounds = row.protocol.get("bounds")
    return str(bounds.get(row.name, "")) if isinstance(bounds, Mapping) else ""


def _number(value: float) -> str:
    """Four digits behind the point; of large or tiny ones what is in them."""
    if abs(value) >= 1e4:
        return f"{value:.0f}" if abs(value) < 1e15 else f"{value:.5g}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def row_record(row: MetricRow) -> dict[str, Any]:
    """A value for `--json`; `bound` is "at least 5" where a search ended there, else ""."""
    names = ("name", "metric", "value", "error", "n", "better", "status", "reason")
    return {**{key: getattr(row, key) for key in names}, "bound": _bound(row)}


def as_record(one: Measured) -> dict[str, Any]:
    """For `--json`."""
    from ticketctl.stages.judged import remarks

    report = one.report
    return {
        "run": str(one.run.folder),
        "file": str(one.file),
        "compact": None if one.compact is None else str(one.compact),
        "remarks": remarks(one.run),
        "report": report.id,
        "subject": report.subject.model_dump(mode="json"),
        "data": report.data.model_dump(mode="json"),
        "sources": dict(report.sources),
        "metrics": [row_record(row) for row in report.metrics],
    }


def show_plan(plans: Sequence[Planned], json: bool) -> None:
    """What would be measured of each run, and how long that takes."""
    if json:
        print_json({"runs": [_record(*plan) for plan in plans]})
        return
    for plan in plans:
        run = plan[0]
        rows = [[one["name"], one["data"], one["cost"], _time(one)] for one in _record(*plan)["metrics"]]
        print_table(["metric", "data", "cost", "time"], rows, left=3)
        print_line(visible(f"time        {_total(plan)}"))
        places = ", ".join(str(run.folder / name) for name in ("reports", "samples", "audit-work"))
        print_line(visible(f"would write to {places}"))


def _record(run: Run, wanted: Wanted, seconds: dict[str, float] | str) -> dict[str, Any]:
    known, gone = plugins("metrics"), wanted.missing
    rows = []
    for name in wanted.recipe.chosen:
        facts = {key: known[name].facts.get(key, "") for key in ("data", "cost")}
        there = not isinstance(seconds, str) and name not in seconds
        time = None if isinstance(seconds, str) else 0.0 if name in gone else seconds.get(name, 0.0)
        rows.append({"name": name, **facts, "there": there, "seconds": time, "missing": gone.get(name, "")})
    return {"run": str(run.folder), "metrics": rows, "unknown": seconds if isinstance(seconds, str) else ""}


def _time(row: dict[str, Any]) -> str:
    if row["missing"]:
        return str(row["missing"])
    if row["there"]:
        return "there"
    return "?" if row["seconds"] is None else duration(max(1.0, row["seconds"]))


def _total(plan: Planned) -> str:
    _, wanted, seconds = plan
    if isinstance(seconds, str):
        return f"not known: {seconds}"
    left = sum(value for name, value in seconds.items() if name not in wanted.missing)
    return f"about {duration(left)} on this machine" if left else "none: all of it is there"
