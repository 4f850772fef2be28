"""The paper's table that a sweep is of, beside the sweep's runs. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ticketctl.stages.against import Line, against
from ticketctl.stages.compare import grouped
from ticketctl.stages.copies import without_copies
from ticketctl.stages.papers import Table, find_table
from ticketctl.stages.sweep_entries import Entries


def table_of(whole: Entries) -> Table:
    """The table, with the cells that the sweep is of.

    Raises:
        UsageError: it is gone.
    """
    table = find_table(str(whole.plan.about["table"]))
    places = {(place.labels["row"], place.labels["cell"]) for place in whole.plan.places}
    return replace(table, cells=tuple(cell for cell in table.cells if (cell.row, cell.column) in places))


def stand_in(whole: Entries) -> str | None:
    """The data set that stands for the paper's, if one does."""
    data = whole.plan.about.get("data")
    return str(data).partition(":")[0] if data else None


def lines_of(whole: Entries, table: Table) -> list[Line]:
    """Every cell of the table with what the sweep's runs say of it, as `reproduce` tells it."""
    runs = without_copies([replace(run, folder=run.folder.resolve()) for run in whole.runs])
    return list(against(table, grouped(runs), data=stand_in(whole)))


def gaps(whole: Entries, most: int = 5) -> Sequence[str]:
    """Cells whose runs are not all there, and why: the first of them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for entry in whole.entries:
        if entry.state != "done":
            found.setdefault(tuple(entry.labels.values()), []).append(f"seed {entry.seed} {entry.why}")
    lines = [f"{', '.join(labels)}: {', '.join(said)}" for labels, said in found.items()]
    more = [f"and {len(lines) - most} more cells; ticketctl collect has all"] if len(lines) > most else []
    return [f"not whole: {line}" for line in lines[:most]] + more
