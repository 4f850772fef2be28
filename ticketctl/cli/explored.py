"""What a probe, transfer or interpolation found or would measure, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.cli.audited import row_cells, row_record
from ticketctl.cli.console import duration
from ticketctl.cli.output import print_failure, print_json, print_line, print_table, visible
from ticketctl.errors import OfflineError, TicketctlError, listed
from ticketctl.plugins import plugins

if TYPE_CHECKING:
    from ticketctl.artifacts.report import MetricRow, Report
    from ticketctl.stages.price import Price


@dataclass(frozen=True)
class Found:
    """A report, and of which net."""

    label: str
    report: Report
    file: Path
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What its record has besides: plain data."""


@dataclass(frozen=True)
class Due:
    """What would be measured of a net."""

    label: str
    folder: Path
    names: Sequence[str]
    """Of the plug-ins."""
    seconds: Mapping[str, float] | str
    """Of each that is not there yet; or why that is not known."""
    missing: Mapping[str, str]
    """Plug-ins whose packages are not here."""
    cost: Price | None = None
    """Of what is trained for it."""


def show_found(found: Sequence[Found], json: bool, failure: TicketctlError | None = None) -> None:
    """Of one net all values; of several a line each, with the first value of each plug-in.

    Args:
        found: the reports.
        json: print one JSON object.
        failure: what is wrong with all of them; the caller says it to people.
    """
    if json:
        records = {"nets": [_record(one) for one in found]}
        print_failure(records, failure) if failure else print_json(records)
        return
    if len(found) > 1:
        _show_several(found)
    else:
        _show_one(found[0])
    for file in dict.fromkeys(one.file for one in found):  # two names may be one net's
        print_line(visible(f"report in {file}"))


MANY = 40
"""Values of one report, above which those are left out of the table whose names have more than one dot."""


def _show_one(one: Found) -> None:
    done = [row for row in one.report.metrics if row.status == "done"]
    shown = [row for row in done if row.name.count(".") < 2] if len(done) > MANY else done
    if shown:
        print_table(["value of", "value", "± error", "n", "better"], [row_cells(row) for row in shown])
    if len(shown) < len(done):
        print_line(visible(f"{len(done) - len(shown)} more: ticketctl inspect {one.file}"))
    _show_odd([one])


def _show_several(found: Sequence[Found]) -> None:
    """A column for each plug-in of which a net has a value, under the name of the value that stands for it."""
    firsts = [
        {row.metric: row for row in one.report.metrics if row.name == _first(row.metric, one.report)}
        for one in found
    ]
    heads: dict[str, str] = {}
    for first in firsts:
        heads |= {name: row.name for name, row in first.items() if row.status == "done"}
    folder = _common([one.label for one in found])
    found = [replace(one, label=one.label.removeprefix(folder)) for one in found]
    if folder:
        print_line(visible(f"below {folder}"))
    if heads:
        rows = [
            [one.label, *(_cell(first.get(name)) for name in heads)]
            for one, first in zip(found, firsts, strict=True)
        ]
        print_table(["net", *heads.values()], rows)
    _show_odd(found)
    print_line("all values of one: ticketctl inspect REPORT")


def _common(labels: Sequence[str]) -> str:
    """The folder that all begin with, with its slash; "" if there is none. Of a bare number the folder is left too."""
    folders = [label.partition(",")[0].split("/")[:-1] for label in labels]
    same = [names[0] for names in takewhile(lambda names: len({*names}) == 1, zip(*folders, strict=False))]
    if any(label.split("/")[len(same)][:1].isdigit() for label in labels):
        same = same[:-1]
    return "/".join([*same, ""]) if any(same) else ""


def _cell(row: MetricRow | None) -> str:
    if row is None or row.status != "done":
        return "-"
    value, error = row_cells(row)[1:3]
    return f"{value} ± {error}" if error else value


def _first(name: str, report: Report) -> str:
    """The value that stands for a plug-in: of its own name, or the first that it says a direction of."""
    named = {row.name for row in report.metrics if row.metric == name}
    kind = "curves" if report.kind == "interpolate" else "metrics"
    better = plugins(kind)[name].literals.get("BETTER", {}) if name in plugins(kind) else {}
    return name if name in named else next((key for key in better if key in named), name)


def _show_odd(found: Sequence[Found]) -> None:
    """What has no value, and why: once for all nets of which the same is said."""
    said: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for row in one.report.metrics:
            if row.status != "done":
                what = "no number" if row.status == "nan" else row.status
                said.setdefault((f"{what}: {row.reason}", one.label), []).append(row.name)
    nets: dict[tuple[str, str], list[str]] = {}
    for (why, label), names in said.items():
        nets.setdefault((listed(names), why), []).append(label)
    for (which, why), labels in nets.items():
        of = f" of {len(labels)} nets" if len(labels) > 1 else f" of {labels[0]}" if len(found) > 1 else ""
        print_line(visible(f"{which}{of}: {why}"))


def _record(one: Found) -> dict[str, Any]:
    report = one.report
    return {
        "net": one.label,
        **one.beside,
        "file": str(one.file),
        "report": report.id,
        "kind": report.kind,
        "subject": report.subject.model_dump(mode="json"),
        "data": report.data.model_dump(mode="json"),
        "metrics": [row_record(row) for row in report.metrics],
    }


def known(seconds: Callable[[], Mapping[str, float]]) -> Mapping[str, float] | str:
    """The seconds; or why they are not known, where data would have to be fetched."""
    try:
        return seconds()
    except OfflineError as error:
        return f"a dry run fetches nothing: {error}"


def show_due(
    plans: Sequence[Due], kind: str, command: str, json: bool, beside: Mapping[str, Any] | None = None
) -> None:
    """What would be measured, and how long that takes.

    Args:
        plans: of each net.
        kind: metrics or curves.
        command: whose work it is.
        json: print one JSON object.
        beside: what else stands in it.
    """
    records = [_due_record(plan, kind) for plan in plans]
    if json:
        print_json({"nets": records, **(beside or {})})
        return
    for plan, record in zip(plans, records, strict=True):
        print_line(visible(f"{plan.label}:"))
        rows = [[one["name"], one["cost"], _time(one)] for one in record["measures"]]
        if plan.cost is None:
            print_table([kind.removesuffix("s"), "cost", "time"], rows, left=2)
        places = ", ".join(str(plan.folder / name) for name in ("reports", f"{command}-work"))
        for text in cost_told(plan.cost) if plan.cost else [f"time        {_total(plan)}"]:
            print_line(visible(text))
        print_line(visible(f"would write to {places}"))


def _due_record(plan: Due, kind: str) -> dict[str, Any]:
    known, rows = plugins(kind), []
    for name in plan.names:
        seconds = None if isinstance(plan.seconds, str) else plan.seconds.get(name, 0.0)
        there = not isinstance(plan.seconds, str) and name not in plan.seconds
        rows.append(
            {
                "name": name, "cost": known[name].facts.get("cost", ""), "there": there,
                "seconds": 0.0 if name in plan.missing else seconds, "missing": plan.missing.get(name, ""),
            }
        )  # fmt: skip
    unknown = plan.seconds if isinstance(plan.seconds, str) else ""
    cost = {"cost": plan.cost.record()} if plan.cost else {}
    return {"net": plan.label, "measures": rows, "unknown": unknown, **cost}


def cost_told(cost: Price) -> list[str]:
    """What is trained, and how long that takes, in two lines."""
    from ticketctl.cli.planned import span_told
    from ticketctl.stages.price import amount

    time = f"not known: {cost.unknown}"
    if cost.seconds is not None and cost.seconds_as_busy is not None:
        time = span_told(cost.seconds, cost.seconds_as_busy)
    return [f"to train    {amount(cost)}", f"time        {time}"]


def _time(row: Mapping[str, Any]) -> str:
    if row["missing"]:
        return str(row["missing"])
    if row["there"]:
        return "there"
    return "?" if row["seconds"] is None else duration(max(1.0, row["seconds"]))


def _total(plan: Due) -> str:
    if isinstance(plan.seconds, str):
        return f"not known: {plan.seconds}"
    left = sum(value for name, value in plan.seconds.items() if name not in plan.missing)
    return f"about {duration(max(1.0, left))} on this machine" if left else "none: all of it is there"
