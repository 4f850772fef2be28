"""What an audit measured or would measure, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.cli.console import duration
from ticketctl.cli.output import print_json, print_line, print_table, visible
from ticketctl.plugins import plugins

if TYPE_CHECKING:
    from ticketctl.artifacts.report import Report
    from ticketctl.artifacts.run import Run
    from ticketctl.stages.examined import Wanted

Planned = tuple["Run", "Wanted", "dict[str, float] | str"]
"""A run, what is asked of it, and the seconds of each metric that is not there; or why these are not known."""


def show_audits(runs: Sequence[Run], reports: Sequence[Report], json: bool) -> None:
    """What was measured of each run."""
    from ticketctl.stages.judged import remarks

    records = [
        {
            "run": str(run.folder),
            "file": str(run.folder / report.file_name),
            "remarks": remarks(run),
            **as_record(report),
        }
        for run, report in zip(runs, reports, strict=True)
    ]
    if json:
        print_json(records[0] if len(records) == 1 else {"audits": records})
        return
    for run, report in zip(runs, reports, strict=True):
        if len(runs) > 1:
            print_line(visible(f"{run.folder}:"))
        show(run, report)
        print_line(visible(f"report in {run.folder / report.file_name}"))


def show(run: Run, report: Report) -> None:
    """What is to be known of the net first, and the values of its report as a table."""
    from ticketctl.stages.judged import remarks

    for text in remarks(run):
        print_line(visible(text))
    done = [row for row in report.metrics if row.status == "done"]
    print_table(["metric", "value", "± error", "n", "better"], [_cells(row) for row in done])
    for row in report.metrics:
        if row.status != "done":
            print_line(
                visible(f"{row.name}: {'no number' if row.status == 'nan' else row.status}: {row.reason}")
            )


def _cells(row: Any) -> list[str]:
    error = "" if row.error is None else _number(row.error)
    return [row.name, _number(row.value), error, str(row.n), "" if row.better == "none" else row.better]


def _number(value: float) -> str:
    """Four digits behind the point; of large or tiny ones what is in them."""
    if abs(value) >= 1e4:
        return f"{value:.0f}" if abs(value) < 1e15 else f"{value:.5g}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def as_record(report: Report) -> dict[str, Any]:
    """For `--json`."""
    names = ("name", "metric", "value", "error", "n", "better", "status", "reason")
    return {
        "report": report.id,
        "subject": report.subject.model_dump(mode="json"),
        "data": report.data.model_dump(mode="json"),
        "sources": dict(report.sources),
        "metrics": [{key: getattr(row, key) for key in names} for row in report.metrics],
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
