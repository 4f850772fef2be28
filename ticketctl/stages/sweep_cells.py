"""Rows of a sweep's comparison in words, for terminals and pages. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from ticketctl.figures.paired import Paired
from ticketctl.figures.significance import Tested
from ticketctl.figures.swept import Swept
from ticketctl.stages.compare import unit_of
from ticketctl.stages.grouped_cells import EQUAL, FINE, NONE, PLAIN, SIZES, number
from ticketctl.stages.sweep_groups import Reference, Row

HOUR = 3600.0
TESTED = ("difference", "95 %", "pairs", "p", "p Holm", "p Wilcoxon")
COSTS = ("epochs", "draw epochs", "time", "draw time")


def grid(rows: Sequence[Row], swept: Swept, metric: str, reference: Reference | None) -> list[list[str]]:
    """The columns and below them the rows: the axes that vary, counts, the mean, the difference, the cost.

    Args:
        rows: as `sweep_groups.rows_of` gives them.
        swept: the sweep.
        metric: as it was compared.
        reference: what differences are from.
    """
    axes = swept.varying or list(swept.axes[:1])
    tests = [f"vs {reference}" if name == "difference" else name for name in TESTED] if reference else []
    head = [*axes, "n", "diverged", "missing", "mean", "95 % ±", *tests, *COSTS]
    found = [head, *(_row(row, axes, metric, bool(reference)) for row in rows)]
    return _without(found, {*TESTED[3:], *COSTS[1:]})


def _without(rows: list[list[str]], names: set[str]) -> list[list[str]]:
    """Without those of these columns in which nothing stands."""
    kept = [
        at
        for at, name in enumerate(rows[0])
        if name not in names or any(row[at] not in ("", NONE) for row in rows[1:])
    ]
    return [[row[at] for at in kept] for row in rows]


def _row(row: Row, axes: Sequence[str], metric: str, tests: bool) -> list[str]:
    one, scale = row.combination, unit_of(metric)[0]
    form = form_of(metric)
    counts = (len(one.values(metric)), one.diverged, one.missing(metric))
    cost = row.cost
    return [
        *(one.labels[axis] for axis in axes),
        *map(str, counts),
        number(row.mean.mean if row.mean else None, scale, form),
        half(row.mean, scale, form),
        *(_tested(row, scale, form) if tests else []),
        number(cost.epochs, form=".4g"),
        number(cost.draw_epochs, form=".4g"),
        time(cost.seconds),
        time(cost.draw_seconds),
    ]


def form_of(metric: str) -> str:
    """How many digits a number of it has."""
    return FINE if unit_of(metric)[0] == 1 and metric.startswith(SIZES) else PLAIN


def half(mean: Paired | None, scale: float, form: str) -> str:
    """Half the width of the interval; in words where there is none."""
    if mean is None:
        return NONE
    return "all equal" if mean.equal else number(mean.half_width, scale, form)


def _tested(row: Row, scale: float, form: str) -> list[str]:
    found = row.tested
    if found is None:
        return ["", "", "", "", "", ""]
    gap = found.gap
    ends = "all equal" if gap.equal else "no interval"
    if gap.low is not None and gap.high is not None:
        ends = f"{scale * gap.low:+{form}} to {scale * gap.high:+{form}}"
    return [
        f"{scale * gap.mean:+{form}}",
        ends,
        str(gap.n),
        *map(chance, (found.student, found.holm, found.wilcoxon)),
    ]


def chance(p: float | None) -> str:
    """A p to two digits."""
    return NONE if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}"


def time(seconds: float | None) -> str:
    """Seconds, or hours from six minutes on."""
    return (
        NONE if seconds is None else f"{seconds:.3g} s" if seconds < HOUR / 10 else f"{seconds / HOUR:.3g} h"
    )


def remarks(rows: Sequence[Row], swept: Swept, metric: str, reference: Reference | None) -> list[str]:
    """How the rows are to be read."""
    sign = unit_of(metric)[1]
    lines = [
        f"{metric}{f' in {sign}' if sign else ''}; mean over the n seeds that are done, ±: 95 % by Student's t"
    ]
    same = [axis for axis in swept.axes if axis not in swept.varying]
    if same and swept.combinations:
        lines.append(
            "all rows: " + ", ".join(f"{axis} {swept.combinations[0].labels[axis]}" for axis in same)
        )
    lost, gone = (
        sum(row.combination.diverged for row in rows), sum(row.combination.missing(metric) for row in rows)
    )  # fmt: skip
    if lost or gone:
        trials = "1 trial" if lost == 1 else f"{lost} trials"
        lines.append(f"{trials} diverged, {gone} missing: they are counted, and in no mean")
    tested = [row.tested for row in rows if row.tested]
    if reference and tested:
        lines.append(
            f"vs {reference}: mean difference from the row that has {reference} and else the same, paired by seed"
        )
        lines += _tests([one for one in tested if one.student is not None])
    if any((row.mean and row.mean.equal) or (row.tested and row.tested.gap.equal) for row in rows):
        lines.append(EQUAL)
    return [*lines, *_costs(rows)]


def _tests(tested: Sequence[Tested]) -> list[str]:
    """How many there were, and what they cannot say."""
    if not tested:
        return ["no test: that takes two pairs or more, and differences that differ"]
    pairs = max(one.gap.n for one in tested)
    return [
        "p: two-sided, by the paired t-test, which takes differences as normal; p Holm: corrected for being one of "
        f"{len(tested)} in this table",
        f"p Wilcoxon: exact signed-rank test; of {pairs} pairs it is never below {2 / 2**pairs:.2g}",
    ]


def _costs(rows: Sequence[Row]) -> list[str]:
    devices = sorted({name for row in rows for name in row.cost.device.split(", ") if name})
    timed = f"; timed on {', '.join(devices)}" if devices else ""
    return [
        f"cost: mean of the done runs; draw: of the whole draw behind the ticket, which its levels share{timed}"
    ]
