"""What `ticketctl reproduce` is about to do, and about how long a draw or a table takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ticketctl.cli.console import duration
from ticketctl.cli.output import print_line, print_table

if TYPE_CHECKING:
    from ticketctl.stages.auditing import Exam
    from ticketctl.stages.bill import Bill
    from ticketctl.stages.errands import Task
    from ticketctl.stages.reproduce import Planned


def show_plan(planned: Planned, todo: list[Task], bill: Bill) -> None:
    """The draws, each with its own trainings and those that are spent of it."""
    heads = ["draw", "seed", "its trainings", "its epochs", "spends", "their epochs", "there"]
    rows = []
    for draw, item in bill.draws.items():
        mine = [one for task, one in bill.spends if task.draw == draw]
        own = [task for task in todo if task.draw == draw]
        cells = [f"{item.trainings}", f"{item.epochs:g}"] if item.trainings else ["there", "-"]
        spends = [f"{len(mine)}", f"{sum(one.epochs for one in mine):g}", f"{len(own) - len(mine)}"]
        rows.append([str(draw.folder), str(draw.seed), *cells, *spends])
    print_table(heads, rows)
    print_line("there: runs that need no training, or that the draw trains itself")
    print_line("")


def told(planned: Planned, asked: list[Exam], bill: Bill, *, timed: bool) -> list[str]:
    """The cost in a few lines; of audits, how many there are."""
    cost, table = bill.record(), planned.asked.table
    most = "at most " if cost["at_most"] else ""
    steps = "" if cost["steps"] is None else f" and {cost['steps']:,} steps"
    rows = len({cell.row for cell in planned.cells})
    spends = sum(item.trainings for _, item in bill.spends)
    made = sum(item.trainings > 0 for item in bill.draws.values())
    lines = [
        f"plan        {table.spec}: {_many(rows, 'row')}, {_many(len(planned.cells), 'cell')}; "
        f"{_many(len(planned.draws), 'draw')}, each made once ({made} to make), and "
        f"{_many(spends, 'training')} beside them",
        f"to train    {most}{_many(cost['trainings'], 'training')}, {cost['epochs']:g} epochs{steps} in all",
    ]
    audits = [exam for exam in asked if exam.reading.kind == "audit"]
    others = [exam for exam in asked if exam.reading.kind != "audit"]
    lines += [f"to audit    {_audits(audits)}"] if audits else []
    lines += [f"to measure  {_audits(others)}{_beside(bill)}"] if others else []
    if timed:
        rest = _uncounted([exam for exam in asked if not exam.there])
        lines.append(f"time        {time_told(cost)}{rest}")
    return [*lines, *(f"caution     {text}" for text in cautions(planned))]


def _audits(asked: list[Exam]) -> str:
    """How many reports of each recipe are to be made."""
    said = []
    kinds = [(exam.audit, exam.reading.of, exam.reading.at is not None) for exam in asked]
    for name, of, early in dict.fromkeys(kinds):
        mine = [exam for exam, kind in zip(asked, kinds, strict=True) if kind == (name, of, early)]
        there = sum(exam.there for exam in mine)
        which = " (after an earlier epoch)" if early else "" if of == "trained" else f" ({of})"
        many = _many(len(mine) - there, "run")
        said.append(f"{many}{which} by {name}" + (f", {there} there" if there else ""))
    return ", ".join(said)


def _beside(bill: Bill) -> str:
    """What is trained for them, of the trainings above."""
    found: dict[str, int] = {}
    for need, item in bill.nets:
        found[need.exam.reading.of] = found.get(need.exam.reading.of, 0) + item.trainings
    most = "at most " if any(item.at_most for _, item in bill.nets) else ""
    told = ", ".join(f"{number} of {of}" for of, number in found.items())
    return f"; {most}{_many(sum(found.values()), 'training')} for that: {told}" if found else ""


def _uncounted(asked: list[Exam]) -> str:
    """What the time does not say."""
    if not asked:
        return ""
    kinds = {exam.reading.kind == "audit" for exam in asked}
    what = "audits" if kinds == {True} else "measurements" if kinds == {False} else "audits and measurements"
    return f"; the time of {what} is not counted"


def time_told(cost: Mapping[str, Any]) -> str:
    """What the measured speed says, and of how much it says nothing."""
    untimed = cost["trainings_untimed"]
    if not cost["trainings"]:
        return "none: nothing is to be trained"
    if untimed == cost["trainings"]:
        return "unknown: nothing could be timed here"
    known = span_told(cost["seconds_timed"], cost["seconds_timed_as_busy"])
    rest = f"; of the other {_many(untimed, 'training')} nothing is known" if untimed else ""
    return f"{known}{rest}; what tweaks cost more is not counted"


def span_told(alone: float, busy: float) -> str:
    """A range, where the machine has other work than this."""
    low, high = (duration(max(1, seconds)) for seconds in (alone, busy))
    if low == high:
        return f"about {low} on this machine"
    return f"about {low} if this machine has nothing else to do, {high} if it stays as busy as now"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def cautions(planned: Planned) -> list[str]:
    """Why what comes out is not the paper's table."""
    found = []
    if planned.departures:
        what = ", ".join(planned.departures)
        found.append(f"{what}: this is no reproduction of the paper; the last column says what differs")
    few, seeds = len(planned.seeds), planned.asked.table.seeds
    if seeds is not None and few < seeds:
        found.append(f"{_many(few, 'seed')}, where the paper has {seeds}")
    return found


def plan_record(planned: Planned, todo: list[Task], asked: list[Exam], bill: Bill) -> dict[str, Any]:
    """For `--json`."""
    table = planned.asked.table
    draws = [
        {
            "folder": str(draw.folder),
            "seed": draw.seed,
            "recipe": draw.name,
            "trainings": item.trainings,
            "epochs": item.epochs,
            "steps": item.steps,
            "there": item.trainings == 0,
        }
        for draw, item in bill.draws.items()
    ]
    head = {"spec": table.spec, "name": table.name, "title": table.title}
    return {
        "table": head,
        "cells": len(planned.cells),
        "seeds": list(planned.seeds),
        "draws": draws,
        "runs": [_task_record(task) for task in todo],
        "audits": [_exam_record(exam) for exam in asked],
        "nets": [
            {
                **_exam_record(need.exam),
                "trainings": item.trainings,
                "epochs": item.epochs,
                "steps": item.steps,
            }
            for need, item in bill.nets
        ],
        "cost": bill.record(),
        "refused": list(planned.refused),
        "cautions": cautions(planned),
    }


def _exam_record(exam: Exam) -> Mapping[str, Any]:
    folder = None if exam.folder is None else str(exam.folder)
    what = {"kind": exam.reading.kind, "of": exam.reading.of, "to": exam.reading.to or None}
    return {
        "draw": str(exam.draw.folder), "recipe": exam.audit, **what, "folder": folder, "there": exam.there,
    }  # fmt: skip


def _task_record(task: Task) -> Mapping[str, Any]:
    return {
        "draw": str(task.draw.folder),
        "seed": task.draw.seed,
        "level": task.use.level,
        "tweaks": list(task.use.tweaks),
        "control": task.use.control or None,
        "sets": list(task.use.sets),
        "folder": None if task.folder is None else str(task.folder),
        "there": task.there,
    }
