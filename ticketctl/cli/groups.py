"""Rows of `ticketctl compare`: runs that differ in nothing but seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.cli.output import print_json
from ticketctl.cli.tabular import print_as, print_sheet, remark

if TYPE_CHECKING:
    from ticketctl.stages.compare import Compared
    from ticketctl.stages.paired import Paired

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
SHEET = [
    "net",
    "data",
    "method",
    "control",
    "density",
    "ticket_density",
    "tweaks",
    "otherwise",
    "metric",
    "n",
    "diverged",
    "tickets",
    "mean",
    "deviation",
    "equal",
    "paired",
    "paired_low",
    "paired_high",
    "pairs",
]
"""Columns of CSV: the names and the numbers of `--json`, in the metric's own unit."""
NONE = "-"
PLAIN, FINE = ".2f", ".4g"
"""Forms of numbers: percent and their like, and those of any size."""
SIZES = ("audit.", "ratio.", "record.")
"""How metrics begin that are of any size."""
EQUAL = "all equal: several runs and a single value; neither a deviation nor an interval follows from that"


def show_groups(found: Sequence[Compared], metric: str, kind: str) -> None:
    """The rows in the form asked for.

    Args:
        found: as `compare.compare` gives them.
        metric: as it was compared.
        kind: table, csv, latex, markdown or json.
    """
    from ticketctl.stages.compare import as_record, unit_of

    if kind == "json":
        print_json({"metric": metric, "groups": [as_record(one, metric) for one in found]})
        return
    if kind == "csv":
        print_sheet(SHEET, [_sheet(one, metric) for one in found])
        remark(kind, _remarks(found, metric, whole=True))
        return
    scale = unit_of(metric)[0]
    rows = [GROUPS, *(_cells(one, metric, scale) for one in found)]
    if not any(one.group.ended_otherwise for one in found):
        rows = [row[:TICKET] + row[TICKET + 1 :] for row in rows]
    print_as(kind, rows[0], rows[1:], left=rows[0].index("n"))
    remark(kind, _remarks(found, metric, whole=False))


def _sheet(one: Compared, metric: str) -> dict[str, Any]:
    from ticketctl.stages.compare import as_record
    from ticketctl.stages.otherwise import told

    record = as_record(one, metric)
    gap = record["paired"] or {}
    paired = {
        "paired": gap.get("mean"),
        **{f"paired_{key}": gap.get(key) for key in ("low", "high")},
        "pairs": gap.get("n"),
    }
    return {**record, **paired, "metric": metric, "otherwise": told(one.changes)}


def _remarks(found: Sequence[Compared], metric: str, *, whole: bool) -> list[str]:
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
