"""What a sweep's results cost: the epochs of each combination, its draw included, against what it came to.

A point for each combination of the sweep, joined in the order of cost along each method: the mean over seeds with its
95 % interval by Student's t, over the epochs of its own training and of the whole draw behind its ticket.

Choices: a draw is counted whole at each of its levels, for none of them is had without it; combinations that share a
draw share this part of their cost. Epochs do not depend on the machine; seconds stand in `ticketctl collect`. A trial
that diverged ended early, and is in no mean. The cost axis is logarithmic.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.figures.ladders import numbered
from ticketctl.figures.rows import PANELS, split, unit_of
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet, counted, slug
from ticketctl.figures.shelf import Shelf
from ticketctl.figures.swept import METHOD, Combination, Swept, axis_of, metric_of, swept_in, words

FACTS = {"from": "runs of a sweep", "papers": ""}
COLUMNS = ("panel", "series", "role", "x", "y", "low", "high", "n", "diverged", "missing", "combination")


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    axis: str = ""
    """An axis of the sweep whose values are the lines. Empty: the method."""
    metric: str = ""
    """As `ticketctl collect` names it; accuracies are shown in percent. Empty: what the sweep is about."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, and further ones where there are many lines.

    Raises:
        NothingError: no sweep was named, its runs lack the metric, or nothing is known of their cost.
        UsageError: an axis that the sweep does not have.
    """
    swept = swept_in(shelf)
    metric = metric_of(swept, params.metric)
    axis = axis_of(swept, params.axis, "figures.sweep-cost.axis") if params.axis else _axis(swept)
    found = False
    for net, data in swept.places:
        mine = [one for one in swept.combinations if (one.net, one.data) == (net, data)]
        rows = [row for one in mine for row in _point(swept, one, axis, metric)]
        part = slug(f"{net}-{data}") if len(swept.places) > 1 else ""
        several = split(list(dict.fromkeys(row[1] for row in rows)), PANELS)
        for at, names in enumerate(several):
            found = True
            shown = [row for row in rows if row[1] in names]
            yield _sheet(shown, mine, metric, numbered(part, at, len(several)), f"{net} on {data}")
    if not found:
        raise NothingError(
            f"no run of the sweep says what it cost; ticketctl collect {swept.id} shows what is known"
        )


def _axis(swept: Swept) -> str:
    return METHOD if METHOD in swept.axes else (swept.varying or list(swept.axes))[0]


def cost_of(one: Combination) -> float | None:
    """Mean epochs of its done trials, with those of their draws; None where nothing is known."""
    known = [
        trial.epochs + (trial.drawn or 0.0) for trial in one.trials if trial.state == "done" and trial.epochs
    ]
    return statistics.fmean(known) if known else None


def _point(swept: Swept, one: Combination, axis: str, metric: str) -> Iterator[tuple[Cell, ...]]:
    mean, cost, scale = one.mean(metric), cost_of(one), 100.0 if unit_of(metric) else 1.0
    if mean is None or cost is None:
        return
    low, high = (None if end is None else scale * end for end in (mean.low, mean.high))
    counts = (mean.n, one.diverged, one.missing(metric))
    yield (
        "",
        one.labels[axis],
        "line",
        cost,
        scale * mean.mean,
        low,
        high,
        *counts,
        words(swept.rest(one, axis)),
    )


def _sheet(
    rows: list[tuple[Cell, ...]], mine: list[Combination], metric: str, part: str, where: str
) -> Sheet:
    said = metric.replace(".", " ")
    lost = sum(one.diverged for one in mine)
    gone = sum(one.missing(metric) for one in mine)
    ids = [trial.id for one in mine for trial in one.trials if trial.id]
    return Sheet(
        "sweep-cost", "lines", f"{where}: {said} against cost", Axis("epochs, with those of the draw", "", "log"),
        Axis(said, unit_of(metric)), tuple(sorted(rows, key=_order)), part, COLUMNS,
        notes=(
            _told(counted([row[:8] for row in rows])),
            "a point for each combination, joined by cost",
            *([f"{lost} trials diverged, {gone} missing: in no mean"] if lost or gone else []),
        ),
        sources=tuple(dict.fromkeys(ids)),
    )  # fmt: skip


def _told(n: str) -> str:
    return (
        "single runs, n = 1"
        if n == "1"
        else f"mean over n = {n} runs; band: the 95 % interval by Student's t"
    )


def _order(row: tuple[Cell, ...]) -> tuple[str, float]:
    assert isinstance(row[3], float)
    return str(row[1]), row[3]
