"""Mean ranks of a sweep's methods, the best first, with the distance at which two of them differ by more than chance.

Every seed of every other combination (recipe, tweaks, density) ranks all methods, 1 being the best; ties share their
mean rank; the bar is the mean of these ranks. Whiskers are half of Nemenyi's critical difference at 5 % to both sides:
two methods whose whiskers do not touch differ (Demšar 2006).

Choices: dense nets are not ranked. What is not whole, because a trial of some method diverged or is missing, ranks
nobody, and is counted in a note. Rankings of one seed share draws and batches: as independent counts each seed of each
net and data set once, and below 10 of these there are no whiskers, for the test's distribution is that of many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.figures.significance import BLOCKS, Ranked, ranked
from ticketctl.figures.swept import METHOD, Swept, axis_of, metric_of, swept_in, words

FACTS = {"from": "runs of a sweep", "papers": ""}


@dataclass(frozen=True)
class Params:
    """What is ranked, by what."""

    axis: str = ""
    """An axis of the sweep. Empty: the method, if there are several, else that with the most values."""
    metric: str = ""
    """As `ticketctl collect` names it. Empty: what the sweep is about."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """One sheet.

    Raises:
        NothingError: no sweep was named, its runs lack the metric, or nothing of it was run under all methods.
        UsageError: an axis that the sweep does not have.
    """
    swept = swept_in(shelf)
    metric = metric_of(swept, params.metric)
    axis = axis_of(swept, params.axis, "figures.sweep-ranks.axis") if params.axis else ranked_axis(swept)
    found = ranks_of(swept, axis, metric)
    if found is None:
        raise NothingError(
            f"the sweep {swept.id} has nothing to rank: no combination with a value for each {axis}; "
            f"ticketctl status {swept.id} says what is missing"
        )
    yield _sheet(swept, axis, metric, found)


def ranked_axis(swept: Swept) -> str:
    """The method, if there are several, else the axis with the most values."""
    pair = swept.pair()
    return pair[0] if pair else (swept.varying or [METHOD])[0]


def ranks_of(swept: Swept, axis: str, metric: str) -> Ranked | None:
    """Mean ranks of what stands on an axis; None where no other combination has all of it."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    tickets = [one for one in swept.combinations if not one.dense]
    for one in tickets:
        for trial in one.trials:
            rows.setdefault((f"{one.net} {one.data} {trial.seed}", words(swept.rest(one, axis))), {})
        for seed, value in one.values(metric).items():
            rows[f"{one.net} {one.data} {seed}", words(swept.rest(one, axis))][one.labels[axis]] = value
    names = list(dict.fromkeys(one.labels[axis] for one in tickets if axis in one.labels))
    return ranked(rows, names, lower=swept.lower(metric))


def told(found: Ranked) -> list[str]:
    """How ranks are to be read."""
    if found.critical is None:
        why = f"{found.apart} seeds, nets and data sets count as independent, and {BLOCKS} are needed"
        lines = [
            f"no critical difference: {why}" if found.apart < BLOCKS else "no critical difference of two"
        ]
    else:
        lines = [
            f"critical difference (Nemenyi, 5 %, {found.apart} independent): {found.critical:.2f}; whiskers: half of it"
        ]
    return [*lines, *([f"{found.left_out} left out: not whole"] if found.left_out else [])]


def _sheet(swept: Swept, axis: str, metric: str, found: Ranked) -> Sheet:
    half = None if found.critical is None else found.critical / 2
    rows: list[tuple[Cell, ...]] = [
        (
            "",
            "mean rank",
            name,
            rank,
            rank - half if half else None,
            rank + half if half else None,
            found.blocks,
        )
        for name, rank in sorted(found.means.items(), key=lambda pair: pair[1])
    ]
    where = " and ".join(f"{net} on {data}" for net, data in swept.places[:2])
    more = f" and {len(swept.places) - 2} more" if len(swept.places) > 2 else ""
    said = metric.replace(".", " ")
    return Sheet(
        "sweep-ranks", "bars", f"{where}{more}: rank of each {axis} by {said}", Axis(axis),
        Axis("mean rank, 1 is the best"), tuple(rows),
        notes=(f"mean over n = {found.blocks} rankings", *told(found)), sources=swept.runs,
    )  # fmt: skip
