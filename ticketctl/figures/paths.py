"""Straight paths between nets, as reports of the curve `line` have them, and which levels of a ladder are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.report import Report
from ticketctl.errors import UsageError
from ticketctl.figures.sheet import Axis, Cell
from ticketctl.figures.shelf import Group, Stat

FEW = 4
"""Levels of a ladder that are drawn where none are asked for."""
STABLE = 2.0
"""Percent points below which two nets count as linearly connected (paper 003, section C.3)."""
RULE = "2-point rule"
NUMBERS = ("barrier", "chord", "over-max")
"""The first columns of what a report has of each pair."""


@dataclass(frozen=True)
class PathKeys:
    """Which of a report's curves is drawn."""

    set: Literal["", "val", "train", "test"] = ""
    """Images; none: those that the report's barrier is of."""
    what: Literal["error", "loss"] = "error"
    """Error in percent, or mean cross-entropy."""
    policy: Literal["", "recalibrate", "interpolate", "stored", "batch"] = ""
    """Where BatchNorm's statistics come from; none: as of the report's barrier."""


@dataclass(frozen=True)
class Walk:
    """The straight path of one pair."""

    first: int
    """Of the nets that the report names."""
    second: int
    alphas: tuple[float, ...]
    """Shares of the first net, rising from 0 to 1."""
    values: tuple[float | None, ...]
    """Errors in percent, or losses."""
    numbers: Mapping[str, float | None]
    """`NUMBERS`, of errors in percent points."""

    @property
    def chord(self) -> tuple[float | None, float | None]:
        """What the second net has, and the first."""
        return self.values[0], self.values[-1]


def curve_of(report: Report, keys: PathKeys) -> str:
    """The array that is meant, as line/val.error.recalibrate; "" if the report has none such."""
    told = next((row.protocol.get("barrier") for row in report.metrics if row.name == "barrier"), None)
    told = told if isinstance(told, Mapping) else {}
    name = f"line/{keys.set or told.get('set')}.{keys.what}.{keys.policy or told.get('policy')}"
    found = columns(report, name, f"{name}.pairs", "line/pairs")
    alphas = report.arrays.get("line/alphas", np.zeros(0))
    sound = found and found[0].shape[1:] == alphas.shape and all(one.ndim == 2 for one in found)
    return name if sound and found[1].shape[1] >= len(NUMBERS) and found[2].shape[1] == 2 else ""


def walks(report: Report, keys: PathKeys) -> list[Walk]:
    """The paths of all pairs; none where the report has no such curve."""
    name = curve_of(report, keys)
    if not name:
        return []
    scale = 100.0 if keys.what == "error" else 1.0
    alphas = tuple(float(one) for one in report.arrays["line/alphas"])
    numbers = report.arrays[f"{name}.pairs"]
    return [
        Walk(
            int(pair[0]), int(pair[1]), alphas, known(scale * curve),
            dict(zip(NUMBERS, known(found[: len(NUMBERS)]), strict=True)),
        )
        for pair, curve, found in zip(report.arrays["line/pairs"], report.arrays[name], numbers, strict=True)
    ]  # fmt: skip


def known(values: NDArray[Any]) -> tuple[float | None, ...]:
    """Numbers, None where one is not finite."""
    return tuple(float(one) if np.isfinite(one) else None for one in values)


def columns(report: Report, *names: str) -> list[NDArray[Any]]:
    """Arrays of a report that are equally long; none where one is not there, or is shorter than others."""
    found = [report.arrays[name] for name in names if name in report.arrays]
    lengths = {len(one) if one.ndim else -1 for one in found}
    return found if len(found) == len(names) and len(lengths) == 1 and lengths != {-1} else []


def ends_of(report: Report) -> list[Mapping[str, Any]]:
    """What a report of a path says of each net on it."""
    told = report.recipe.get("ends")
    return [one for one in told if isinstance(one, Mapping)] if isinstance(told, list | tuple) else []


def value_axis(keys: PathKeys) -> Axis:
    """What stands along the upright axis."""
    return Axis("error", "%") if keys.what == "error" else Axis("loss")


def rule(panels: Iterable[str], threshold: float = STABLE) -> list[tuple[Cell, ...]]:
    """The level below which nets count as connected, in each panel: rows of the form `lines`."""
    return [(panel, RULE, "reference", None, threshold, None, None, None) for panel in panels]


def means(columns: Iterable[Sequence[float | None]]) -> list[Stat | None]:
    """At each place the mean over curves of one length."""
    return [Stat.of(values) for values in zip(*columns, strict=True)]


def protocol(reports: Sequence[Report], keys: PathKeys) -> list[str]:
    """What is to be said of the images and of BatchNorm's statistics."""
    names = dict.fromkeys(curve_of(one, keys).removeprefix("line/") for one in reports)
    said = [name.partition(f".{keys.what}.") for name in names if name]
    sets = " or ".join(dict.fromkeys(one[0] for one in said))
    policies = " or ".join(dict.fromkeys(one[2] for one in said))
    own = [one.recipe.get("interpolate") for one in reports]
    ways = dict.fromkeys(str(one.get("align", "none")) for one in own if isinstance(one, Mapping))
    aligned = (
        [] if {*ways} <= {"none"} else [f"units of nets permuted to match first, by: {' or '.join(ways)}"]
    )
    return [f"on {sets} images; BatchNorm's statistics where a net has any: {policies}", *aligned]


# --------------------------------------------------------------------------------------------------------- the levels


def check_sparsities(figure: str, wanted: Sequence[float]) -> None:
    """Refuse what are no sparsities.

    Raises:
        UsageError: naming `figures.<figure>.sparsities`.
    """
    odd = [one for one in wanted if not 0 <= one < 100]
    if odd:
        raise UsageError(f"figures.{figure}.sparsities = {odd[0]:g} must be from 0 to below 100 percent")


def chosen(groups: Sequence[Group], wanted: Sequence[float], most: int = FEW) -> list[Group]:
    """The levels that are drawn, the densest first: those nearest to the wanted ones, or evenly spread ones.

    Args:
        groups: those that have something to draw, the densest first.
        wanted: sparsities in percent; none: at most `most` from the first level to the last.
        most: 2 or more.
    """
    if not wanted:
        last = len(groups) - 1
        places = range(len(groups)) if last < most else [round(at * last / (most - 1)) for at in range(most)]
        return [groups[at] for at in places]
    near = [
        min(groups, key=lambda one: abs(math.log(one.density / (1 - want / 100))))
        for want in wanted
        if groups
    ]
    return sorted({id(one): one for one in near}.values(), key=lambda one: -one.density)


def left_out(shown: int, there: int) -> list[str]:
    """What to note where levels were measured that are not drawn."""
    return [f"{shown} of {there} levels that were measured"] if shown < there else []
