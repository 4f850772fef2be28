"""Rows of `ticketctl compare --sweep`: the combinations of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import complete
from ticketctl.cli.output import note, print_json
from ticketctl.cli.paper import OutsideError, show_lines
from ticketctl.cli.tabular import print_as, print_sheet, remark
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.against import Line
    from ticketctl.stages.sweep_entries import Entries
    from ticketctl.stages.sweep_groups import Row
    from ticketctl.stages.sweep_report import Shown

SHEET = (
    "metric", "n", "diverged", "missing", "mean", "low", "high", "equal", "paired", "paired_low", "paired_high",
    "pairs", "p", "p_holm", "p_wilcoxon", "epochs", "draw_epochs", "seconds", "draw_seconds", "device",
)  # fmt: skip
"""Columns of CSV behind those of the axes: the names and the numbers of `--json`, in the metric's own unit."""

Sweep = Annotated[
    str | None,
    typer.Option(
        metavar="SWEEP",
        help="A sweep in place of folders: newest, its id or the beginning of it, or its grid, table or plan.",
        autocompletion=complete.sweeps,
    ),
]
Against = Annotated[
    str | None,
    typer.Option(help="With --sweep: what each row is held against: method=imp, tweaks=none, dense."),
]


Axes = Annotated[
    str | None, typer.Option(help="With --sweep: the two axes of the map, rows first: method,spend.")
]
Metric = Annotated[
    str | None,
    typer.Option(help="With --sweep: what is shown: test.accuracy, audit.ece. Default: what it is about."),
]


def swept(name: str, workspace: Path, metrics: Sequence[str], quiet: bool = False) -> Entries:
    """The sweep of that name, with a note on how it stands."""
    from ticketctl.stages.collect import summary
    from ticketctl.stages.sweep_entries import entries_of, plan_named

    whole = entries_of(plan_named(name, workspace), metrics)
    for text in (f"sweep {whole.plan.id}: {summary(whole)}", *whole.remarks):
        note(text, quiet)
    return whole


def show_sweep(whole: Entries, against: str | None, metric: str, kind: str) -> None:
    """Its combinations in the form asked for.

    Args:
        whole: the sweep.
        against: as it was typed.
        metric: that is compared.
        kind: table, csv, latex, markdown or json.
    """
    from ticketctl.stages.sweep_cells import grid, remarks
    from ticketctl.stages.sweep_groups import as_record, reference_of, rows_of, swept_of

    found = swept_of(whole, metric)
    reference = reference_of(against, found)
    rows = rows_of(whole, found, reference, metric)
    said = [*remarks(rows, found, metric, reference), *whole.remarks]
    if kind == "json":
        print_json(
            {
                "sweep": whole.plan.id, "title": whole.plan.title, "metric": metric, "axes": list(whole.axes),
                "against": str(reference) if reference else None, "rows": [as_record(row, metric) for row in rows],
            }
        )  # fmt: skip
    elif kind == "csv":
        print_sheet([*whole.axes, *SHEET], [_sheet(row, metric) for row in rows])
        remark(kind, said)
    else:
        columns, *cells = grid(rows, found, metric, reference)
        print_as(kind, columns, cells, left=columns.index("n"))
        remark(kind, said)


def _sheet(row: Row, metric: str) -> dict[str, Any]:
    from ticketctl.stages.sweep_groups import as_record

    record = as_record(row, metric)
    gap = record["paired"] or {}
    paired = {"paired": gap.get("mean"), "paired_low": gap.get("low"), "paired_high": gap.get("high")}
    return {**record["labels"], **record, **paired, "pairs": gap.get("n"), "metric": metric}


def show_table(whole: Entries, kind: str, verdict: Callable[[Sequence[Line]], OutsideError | None]) -> None:
    """The cells of the paper's table that the sweep is of, as `reproduce` shows them; then which are not whole.

    Args:
        whole: the sweep.
        kind: table, csv, latex, markdown or json.
        verdict: what the command ends with.
    """
    from ticketctl.stages.sweep_table import gaps, lines_of, table_of

    table = table_of(whole)
    lines = lines_of(whole, table)
    for text in gaps(whole):
        note(text)
    show_lines(table, lines, len(whole.runs), kind, verdict(lines))


def shown(
    name: str, workspace: Path, metric: str | None = None, against: str | None = None, axes: str | None = None,
    *, quiet: bool = False,
) -> Shown:  # fmt: skip
    """The sweep of that name, as figures and pages show it."""
    from ticketctl.figures.sweep_axes import axes_of
    from ticketctl.stages.sweep_groups import reference_of, swept_of
    from ticketctl.stages.sweep_report import Shown, usual_metric

    whole = swept(name, workspace, [metric] if metric else [], quiet)
    found = swept_of(whole, metric or usual_metric(whole))
    axes_of(found, axes or "")
    return Shown(whole, found, reference_of(against, found), found.metric, axes or "")


def refuse(**given: object) -> None:
    """Refuse options that a sweep says itself.

    Raises:
        UsageError: one of them was given.
    """
    odd = next((name for name, value in given.items() if value), None)
    if odd is not None:
        raise UsageError(f"--sweep goes without {odd.replace('_', '-')}: the sweep says what it is of")


def alone(**given: object) -> None:
    """Refuse options that go with a sweep alone.

    Raises:
        UsageError: one of them was given.
    """
    odd = next((name for name, value in given.items() if value), None)
    if odd is not None:
        raise UsageError(f"--{odd} goes with --sweep, such as --sweep newest")
