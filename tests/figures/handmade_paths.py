"""Reports of paths between nets, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from shelves import report, row

from ticketctl.artifacts.report import Report
from ticketctl.figures.shelf import Net


def end(net: Net, name: str = "") -> dict[str, Any]:
    """What a report says of a net on its path."""
    return {"run_id": net.id, "level": net.level, "name": name or f"level-{net.level}"}


def line(
    ends: Sequence[dict[str, Any]],
    pairs: Sequence[tuple[int, int]],
    curves: Sequence[Sequence[float]],
    *,
    numbers: Sequence[Sequence[float]] | None = None,
    sets: Sequence[str] = ("val",),
    number: int = 0,
) -> Report:
    """Errors at alphas from 0, the second net, to 1; `numbers` are barrier, chord and over-max, in percent points."""
    told = {"barrier": {"set": sets[0], "policy": "recalibrate"}}
    rows = [replace(row("barrier", 1.0, "line"), protocol=told)]
    arrays: dict[str, Any] = {
        "line/alphas": np.linspace(0, 1, len(curves[0])),
        "line/pairs": np.array(pairs),
    }
    for name in sets:
        arrays[f"line/{name}.error.recalibrate"] = np.array(curves)
        arrays[f"line/{name}.error.recalibrate.pairs"] = np.array(numbers or [[1.0, 1.0, 1.0]] * len(pairs))
    return report("interpolate", rows, arrays, recipe={"ends": [*ends]}, number=number)
