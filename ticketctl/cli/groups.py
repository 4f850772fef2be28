"""Rows of `ticketctl compare`: runs that differ in nothing but seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.cli.output import print_json
from ticketctl.cli.tabular import print_as, print_sheet, remark
from ticketctl.stages.grouped_cells import grid, remarks

if TYPE_CHECKING:
    from ticketctl.stages.compare import Compared

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


def show_groups(found: Sequence[Compared], metric: str, kind: str) -> None:
    """The rows in the form asked for.

    Args:
        found: as `compare.compare` gives them.
        metric: as it was compared.
        kind: table, csv, latex, markdown or json.
    """
    from ticketctl.stages.compare import as_record

    if kind == "json":
        print_json({"metric": metric, "groups": [as_record(one, metric) for one in found]})
        return
    if kind == "csv":
        print_sheet(SHEET, [_sheet(one, metric) for one in found])
        remark(kind, remarks(found, metric, whole=True))
        return
    columns, *rows = grid(found, metric)
    print_as(kind, columns, rows, left=columns.index("n"))
    remark(kind, remarks(found, metric, whole=False))


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
