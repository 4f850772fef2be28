"""Methods by recipes, or any two axes of a sweep: means with their intervals, and what is missing or diverged.

A row for each value of one axis, a column for each of another, a panel for each combination of the rest; in a cell the
mean over seeds, half its 95 % interval by Student's t, and signs: x2 where two trials diverged, ?1 where one is
missing. The dense net, which has no density to choose, stands in every panel.

Choices: the rows are methods, where there are several, and the columns the axis with the most values, but how much is
kept last, for `sweep-map` and `accuracy-sparsity` show that. Nothing is averaged over but seeds. A cell of which no
trial is done is empty but for its signs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.ladders import numbered
from ticketctl.figures.rows import split, unit_of
from ticketctl.figures.sheet import FORMS, Axis, Cell, Sheet, counted, slug
from ticketctl.figures.shelf import Shelf
from ticketctl.figures.swept import SIGNS, Combination, Swept, axis_of, metric_of, swept_in, words

FACTS = {"from": "runs of a sweep", "papers": ""}
PANELS = 6
"""Of a sheet."""
COLUMNS = (*FORMS["matrix"], "half", "signs")
PLACES = ("model", "data")
"""Axes that have sheets of their own."""
Panel = tuple[tuple[str, str], ...]
KEY = "figures.sweep-axes.axes"
ONE = "all"
"""The column of a sweep of a single axis."""


@dataclass(frozen=True)
class Params:
    """What is shown over what."""

    axes: str = ""
    """Two axes with a comma, rows first: method,spend. Empty: chosen as is said above."""
    metric: str = ""
    """As `ticketctl collect` names it; accuracies are shown in percent. Empty: what the sweep is about."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many panels.

    Raises:
        NothingError: no sweep was named, none of its runs is done, or none has the metric.
        UsageError: axes that the sweep does not have.
    """
    swept = swept_in(shelf)
    metric, axes = metric_of(swept, params.metric), axes_of(swept, params.axes)
    for net, data in swept.places:
        mine = [one for one in swept.combinations if (one.net, one.data) == (net, data)]
        part = slug(f"{net}-{data}") if len(swept.places) > 1 else ""
        several = split(panels_of(swept, mine, axes), PANELS)
        for at, panels in enumerate(several):
            yield _sheet(
                swept, mine, panels, axes, metric, numbered(part, at, len(several)), f"{net} on {data}"
            )


def axes_of(swept: Swept, typed: str) -> tuple[str, str]:
    """The axes of rows and of columns; "" for no columns.

    Args:
        swept: the sweep.
        typed: as the key `axes` says it.

    Raises:
        UsageError: the sweep has no such axis, or these are not two.
    """
    names = [name.strip() for name in typed.split(",") if name.strip()]
    if names:
        known = [axis_of(swept, name, KEY) for name in names]
        if len(known) > 2 or len({*known}) < len(known):
            raise UsageError(f"{KEY} = {typed!r}: name two different axes, rows first, such as method,spend")
        return known[0], known[1] if len(known) > 1 else ""
    return swept.pair() or ((swept.varying or list(swept.axes))[0], "")


def panels_of(swept: Swept, mine: Sequence[Combination], axes: tuple[str, str]) -> list[Panel]:
    """What the other axes say, of each panel."""
    found = dict.fromkeys(swept.rest(one, *axes, *PLACES) for one in mine if not one.dense)
    for one in mine:  # a dense net that no panel of tickets has room for
        rest = swept.rest(one, *axes, *PLACES)
        if not any({*rest} <= {*panel} for panel in found):
            found[rest] = None
    return list(found)


def inside(
    swept: Swept, mine: Sequence[Combination], panel: Panel, axes: tuple[str, str]
) -> list[Combination]:
    """The combinations of a panel; a dense net, of which less is said, is in several."""
    return [one for one in mine if {*swept.rest(one, *axes, *PLACES)} <= {*panel}]


def _sheet(
    swept: Swept, mine: Sequence[Combination], panels: Sequence[Panel], axes: tuple[str, str],
    metric: str, part: str, where: str,
) -> Sheet:  # fmt: skip
    scale = 100.0 if unit_of(metric) else 1.0
    rows = [
        (words(panel), *_cell(one, axes, metric, scale))
        for panel in panels
        for one in inside(swept, mine, panel, axes)
    ]
    said, signed = metric.replace(".", " "), any(row[-1] for row in rows)
    ids = [trial.id for one in mine for trial in one.trials if trial.id]
    return Sheet(
        "sweep-axes", "matrix", f"{where}: {said} of {axes[0]}{f' by {axes[1]}' if axes[1] else ''}", Axis(axes[1]),
        Axis(axes[0]), tuple(rows), part, COLUMNS, z=Axis(said, unit_of(metric)),
        notes=(
            _told(counted([row[:5] for row in rows])),
            *([SIGNS] if signed else []),
        ),
        sources=tuple(dict.fromkeys(ids)),
    )  # fmt: skip


def _told(n: str) -> str:
    return (
        "single runs, n = 1"
        if n == "1"
        else f"mean over n = {n} runs, ± half the 95 % interval by Student's t"
    )


def _cell(one: Combination, axes: tuple[str, str], metric: str, scale: float) -> tuple[Cell, ...]:
    mean = one.mean(metric)
    half = None if mean is None or mean.half_width is None else scale * mean.half_width
    column = one.labels[axes[1]] if axes[1] else ONE
    signs = one.signs(metric) or None
    return (
        one.labels[axes[0]], column, scale * mean.mean if mean else None, mean.n if mean else None, half, signs,
    )  # fmt: skip
