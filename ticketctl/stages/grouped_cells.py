"""Rows of a comparison in words, for terminals and pages. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ticketctl.figures.paired import Paired
    from ticketctl.stages.compare import Compared

GROUPS = [
    "net",
    "data",
    "drawn by",
    "density %",
    "ticket %",
    "tweaks",
    "otherwise",
    "n",
    "mean",
    "± sd",
    "vs none",
    "95 %",
    "pairs",
]
TICKET = GROUPS.index("ticket %")
NONE = "-"
PLAIN, FINE = ".2f", ".4g"
"""Forms of numbers: percent and their like, and those of any size."""
SIZES = ("audit.", "ratio.", "record.")
"""How metrics begin that are of any size."""
EQUAL = "all equal: several runs and a single value; neither a deviation nor an interval follows from that"


def grid(found: Sequence[Compared], metric: str) -> list[list[str]]:
    """The columns and below them the rows.

    Args:
        found: as `compare.compare` gives them.
        metric: as it was compared.
    """
    from ticketctl.stages.compare import unit_of

    rows = [GROUPS, *(_cells(one, metric, unit_of(metric)[0]) for one in found)]
    if not any(one.group.ended_otherwise for one in found):
        rows = [row[:TICKET] + row[TICKET + 1 :] for row in rows]
    return rows


def remarks(found: Sequence[Compared], metric: str, *, whole: bool) -> list[str]:
    """How the rows are to be read.

    Args:
        found: as `compare.compare` gives them.
        metric: as it was compared.
        whole: whether numbers stand there as `--json` has them.
    """
    from ticketctl.stages.compare import unit_of
    from ticketctl.stages.otherwise import folded, told

    sign = unit_of(metric)[1]
    lines = [f"{metric}{f' in {sign}' if sign else ''}; ± sd: over the n runs"]
    if whole:
        lines = ["numbers as --json has them, accuracies in [0, 1]; deviation: over the n runs"]
    if any(one.paired for one in found):
        lines.append(
            "vs none: mean difference from the row without tweaks over the seeds of both (pairs), with its"
        )
        lines.append(
            "95 % interval by Student's t, which takes the differences as normal; one pair has no interval"
        )
    if any(one.group.equal(metric) or (one.paired and one.paired.equal) for one in found):
        lines.append(EQUAL)
    if any(one.group.ended_otherwise for one in found):
        lines.append("density: of the final weights; ticket: of the ticket that they were trained from")
    if not whole and any(folded(one.changes) != told(one.changes) for one in found):
        lines.append("otherwise: cut; --json and --format csv have all of it")
    if any(len({run.seeds for run in one.group.runs}) < len(one.group.runs) for one in found):
        lines.append("some row has a seed twice: both runs count in its mean, and make no pair")
    if any(one.group.tickets == 1 < len(one.group.runs) for one in found):
        lines.append("a row of one ticket: its deviation is that of training, not of drawing")
    return lines


def _cells(one: Compared, metric: str, scale: float) -> list[str]:
    from ticketctl.stages.otherwise import folded
    from ticketctl.stages.rows import in_order

    group, gap, form = one.group, one.paired, FINE if scale == 1 and metric.startswith(SIZES) else PLAIN
    return [
        group.net,
        group.data,
        group.method + (f" ({group.control})" if group.control else ""),
        number(float(group.final), 100),
        NONE if group.method == "dense" else number(float(group.density), 100),
        ",".join(in_order(group.tweaks)) or NONE,
        folded(one.changes) or NONE,
        counted(len(group.values(metric)), group.diverged),
        number(group.mean(metric), scale, form),
        deviation(group.deviation(metric), group.equal(metric), scale, form),
        "" if gap is None else f"{scale * gap.mean:+{form}}",
        "" if gap is None else _interval(gap, scale, form),
        "" if gap is None else str(gap.n),
    ]


def _interval(gap: Paired, scale: float, form: str) -> str:
    if gap.half_width is None:
        return "all equal" if gap.equal else "no interval"
    return f"{scale * (gap.mean - gap.half_width):+{form}} to {scale * (gap.mean + gap.half_width):+{form}}"


def deviation(value: float | None, equal: bool, scale: float = 1, form: str = PLAIN) -> str:
    """A sample deviation; one of 0 is told as what it is, so that nobody reads certainty in it."""
    return "all equal" if equal else number(value, scale, form)


def counted(n: int, diverged: int) -> str:
    """How many runs."""
    return f"{n}" + (f" ({diverged} diverged)" if diverged else "")


def number(value: float | None, scale: float = 1, form: str = PLAIN) -> str:
    """To two places; in the form `FINE` to four digits."""
    return NONE if value is None else f"{scale * value:{form}}"
