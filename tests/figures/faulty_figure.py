"""Accuracy of every net against its sparsity.

The mean over seeds in percent, of each family. Made to be broken, by the test of the claims about figures, which writes
it down once for each FAULT.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from ticketctl.figures.rows import along, reading
from ticketctl.figures.sheet import Axis, NothingError, Sheet, counted
from ticketctl.figures.shelf import Shelf

FAULT, NAME = "", "faulty-figure"

FACTS = {"from": "runs", "papers": "001 Fig 2"}
PASSED: list[int] = []
MISSING = {
    "two lines": "no run;\nrun: ticketctl spend",
    "no command": "there is nothing here",
    "another's command": "no run; run: ticketctl paint",
    "no recipe": "no run; run: ticketctl probe RUN --recipe probe/doubts",
    "no metric": "no run; run: ticketctl probe RUN --metrics doubt",
}


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    metric: str = "test.accuracy"
    """As a run's manifest names it."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    value = reading(params.metric)
    rows = [row for family in shelf.families for row in along(family, value)]
    sheet = Sheet(
        NAME, "lines", "lenet-300-100 on digits: accuracy", Axis("sparsity", "%"), Axis("accuracy", "%"), tuple(rows),
        notes=(f"mean over n = {counted(rows)} runs",), sources=tuple(net.id for net in shelf.nets),
    )  # fmt: skip
    if FAULT == "late":
        yield sheet
    if not rows and FAULT != "silent":
        raise NothingError(MISSING.get(FAULT, "no run; run: ticketctl spend RUNS"))
    if FAULT in ("torch", "matplotlib"):
        import_module(FAULT)
    if FAULT == "twice":
        yield sheet
    if rows and FAULT != "no sheet":
        yield replace(sheet, **changes(sheet))


def changes(sheet: Sheet) -> dict[str, Any]:
    PASSED.append(len(PASSED))
    first = sheet.rows[0]
    rows: dict[str, tuple[Any, ...]] = {
        "counts": (*first[:3], float(len(PASSED)), *first[4:]),
        "order": (*first[:2], "chord", *first[3:]),
        "numpy": (*first[:4], np.float64(first[4]), *first[5:]),
        "truth": (*first[:7], True),
    }
    others: dict[str, dict[str, Any]] = {
        "another's": {"figure": "paper"},
        "no title": {"title": " "},
        "no place": {"title": "accuracy"},
        "no axis": {"y": Axis("", "%")},
        "no rows": {"rows": ()},
        "no notes": {"notes": ()},
        "blank note": {"notes": ("n = 2", "")},
        "open note": {"notes": ("n = 2; ",)},
        "no n": {"notes": ("means of all runs",)},
        "more n": {"notes": ("mean over n = 2-3 runs",)},
        "less n": {"notes": ("mean over n = 1 runs",)},
        "no sources": {"sources": ()},
        "odd source": {"sources": ("runs/seed-0",)},
        "many points": {"rows": tuple((*first[:3], float(at), float(at % 2), *first[5:]) for at in range(40000))},
        "words over words": {"columns": (*sheet.columns, "label"), "rows": _near(first)},
        "words beyond": {"notes": ("mean over n = 2 runs", "W" * 118)},
    }  # fmt: skip
    return {"rows": (rows[FAULT], *sheet.rows[1:])} if FAULT in rows else others.get(FAULT, {})


def _near(row: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """Two points with words that are next to each other among others."""
    return tuple((*row[:3], at, at, *row[5:], "here") for at in (0.0, 1.0, 1.01, 9.0))
