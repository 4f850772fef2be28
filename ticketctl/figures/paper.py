"""A paper's table or figure with the runs beside it.

`--paper` names it (001:A2, 003:fig2; `ticketctl recipes --tables`). What a table has over sparsity is drawn as lines,
one for each of its rows, means over seeds with a band of one sample deviation; the paper's own values are open marks in
the colour of their row, upright bars at them are the deviations that it prints. A row without runs is its marks alone.
What a table has in other columns, or at a single sparsity, is drawn as bars, open ones for the paper's values. Of
figures that print no numbers there are the runs alone.

Which runs belong to a cell `ticketctl compare --paper` says, cell by cell, and what was done otherwise there: net, data
set, method, tweaks and the keys by which the table's rows differ are the cell's, and the density lies within half a
level of it. Runs are drawn at the sparsity of the cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ticketctl.errors import KNOWN, UsageError, listed
from ticketctl.figures.rows import PANELS, parts, split
from ticketctl.figures.sheet import PAPER, Axis, Cell, NothingError, Sheet, counted
from ticketctl.figures.shelf import Paper, PaperCell, Shelf

FACTS = {
    "from": "runs",
    "papers": "000 to 004, every table and figure in recipes/papers",
}
UNITS = {"percent": "%", "number": "", "share": ""}
"""How units of cells are written; others are as they are."""
TOLD = 4
"""Differences that notes tell; the comparison tells all."""
_STOPS = ",;:"
LINES, BARS = 8, 6
"""Rows of a table in one panel, as lines (so many marks there are) and as bars."""


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    rows: str = ""
    """Only rows of the table whose names have these words in them, whole and side by side, as `batch 100`; or the row
    that is called just so. Capital letters count for nothing."""


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each unit of the table's cells; more where it has many rows.

    Raises:
        NothingError: no table was named, or no run belongs to it.
    """
    paper = shelf.paper
    if paper is None:
        raise NothingError(f"no paper's table was named; run: ticketctl plot {shelf.place} --paper 001:A2")
    wanted = named(dict.fromkeys(one.row for one in paper.cells), params.rows)
    if not wanted and params.rows:
        there = listed(list(dict.fromkeys(one.row for one in paper.cells)), KNOWN)
        raise UsageError(
            f"figures.paper.rows = {params.rows!r}: no row of {paper.spec} has these words; there is {there}"
        )
    told = [one for one in paper.cells if one.row in wanted and (one.ours, one.theirs) != (None, None)]
    cells = shortened(told)
    if all(one.ours is None for one in cells):
        raise NothingError(
            f"no run belongs to a cell of {paper.spec}; run: ticketctl reproduce {paper.spec} --dry-run"
        )
    sheets = [*_sheets(cells)]
    names = parts(f"{paper.spec}-{cells[0].unit}" for cells, _ in sheets)
    left = len({one.row for one in cells} - {one.row for shown, _ in sheets for one in shown})
    for (shown, form), part in zip(sheets, names, strict=True):
        yield _sheet(shelf, paper, shown, form, part, left)


def named(rows: Iterable[str], words: str) -> list[str]:
    """The row of that name; else those that have all the words, whole and side by side."""
    asked = words.casefold().split()
    known = {row: row.casefold().split() for row in rows}
    own = [row for row, mine in known.items() if mine == asked]
    return own or [row for row, mine in known.items() if _within(asked, mine)]


def _within(words: Sequence[str], name: Sequence[str]) -> bool:
    """Whether these words stand in a name one behind the other; a comma behind a word is no part of it."""
    bare = [[one.rstrip(_STOPS) for one in some] for some in (words, name)]
    count = len(words)
    return any(bare[1][at : at + count] == bare[0] for at in range(len(name) - count + 1))


def _sheets(cells: Sequence[PaperCell]) -> Iterator[tuple[list[PaperCell], str]]:
    """The cells of each sheet, and its form; without those in which no run is."""
    for unit in dict.fromkeys(one.unit for one in cells):
        mine = [one for one in cells if one.unit == unit]
        lines = any(is_ladder([one for one in mine if one.row == row]) for row in {one.row for one in mine})
        for few in _few(mine, LINES if lines else BARS):
            if any(one.ours is not None for one in few):
                yield few, "lines" if lines else "bars"


def _few(cells: Sequence[PaperCell], rows: int) -> Iterator[list[PaperCell]]:
    """So many rows of each panel, and so many panels, at a time."""
    for panels in split(list(dict.fromkeys(map(panel_of, cells))), PANELS):
        names = {
            panel: list(dict.fromkeys(one.row for one in cells if panel_of(one) == panel)) for panel in panels
        }
        parts_ = {panel: split(found, rows) for panel, found in names.items()}
        for at in range(max(map(len, parts_.values()))):
            shown = {(panel, row) for panel, found in parts_.items() if at < len(found) for row in found[at]}
            yield [one for one in cells if (panel_of(one), one.row) in shown]


def shortened(cells: Sequence[PaperCell]) -> list[PaperCell]:
    """Rows without what stands behind a colon, where that says but what their panel says: momentum 0: block 4."""
    names = {(panel_of(one), one.row): one.row.rpartition(": ")[0] or one.row for one in cells}
    several = len({panel for panel, _ in names}) > 1
    unique = len({(panel, name) for (panel, _), name in names.items()}) == len(names)
    shared = len({*names.values()}) < len({row for _, row in names})
    return [
        replace(one, row=names[panel_of(one), one.row]) if several and unique and shared else one
        for one in cells
    ]


def is_ladder(cells: Sequence[PaperCell]) -> bool:
    """Whether a row goes over sparsity: several cells, each in a column of its own sparsity."""
    known = {one.sparsity for one in cells}
    return len(known) > 1 and all(one.sparsity is not None and _is(one.column, one.sparsity) for one in cells)


def _is(column: str, sparsity: float) -> bool:
    try:
        return abs(float(column) - sparsity) < 1e-9
    except ValueError:
        return False


def panel_of(cell: PaperCell) -> str:
    """What is measured."""
    return cell.metric.replace(".", " ")


def _sheet(shelf: Shelf, paper: Paper, cells: Sequence[PaperCell], form: str, part: str, left: int) -> Sheet:
    panels = list(dict.fromkeys(map(panel_of, cells)))
    alone = len(panels) == 1
    make = _lines if form == "lines" else _bars
    ordered = [list(found) for _, found in groupby(cells, lambda one: (one.row, panel_of(one)))]
    rows = [row for mine in ordered for row in make("" if alone else panel_of(mine[0]), mine)]
    runs = [one for one in cells if one.ours is not None]
    ours = [(one.n,) for one in runs]
    each = "" if paper.n is None else f", {paper.n} runs each"
    printed = any(one.theirs is not None for one in cells)
    missing = len(cells) - len(runs)
    standing = f" --data {paper.data[0]}" if paper.data else ""
    notes = [
        *_otherwise(paper, runs),
        f"runs: mean over n = {counted(ours)}; {'band' if form == 'lines' else 'whiskers'}: ± one sample deviation",
        f"{paper.spec}{each}; its deviations where it prints any"
        if printed
        else f"{paper.spec} prints no numbers",
        f"how recipes differ: ticketctl compare --paper {paper.spec}{standing} {shelf.place}",
    ]
    notes += [f"{missing} of {len(cells)} cells without runs"] if missing else []
    notes += [f"{left} more rows of the table, without runs, are not drawn"] if left else []
    x = Axis("sparsity", "%", "sparsity") if form == "lines" else Axis("column of the table")
    unit = UNITS.get(cells[0].unit, cells[0].unit)
    sources = tuple(dict.fromkeys(run for one in cells for run in one.sources))
    instead = f", runs on {paper.data[0]} instead" if paper.data else ""
    return Sheet(
        "paper", form, f"{paper.title} (paper {paper.spec}){instead}", x, Axis(panels[0] if alone else "value", unit),
        tuple(rows), part, notes=tuple(notes), sources=sources,
    )  # fmt: skip


def _otherwise(paper: Paper, runs: Sequence[PaperCell]) -> Iterator[str]:
    """On which data the runs were, and what else they did otherwise than the paper, what most of them did first."""
    if paper.data:
        yield "runs on {} stand for the paper's on {}".format(*paper.data)
    every = Counter(word for one in runs for word in one.differs)
    told = [word for word, _ in every.most_common() if not (paper.data and word.startswith("data "))]
    if told:
        more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
        yield f"settings other than the paper's: {', '.join(told[:TOLD])}{more}"


def _lines(panel: str, cells: Sequence[PaperCell]) -> Iterator[tuple[Cell, ...]]:
    for one in cells:
        if one.ours is not None:
            yield panel, one.row, "line", one.sparsity, one.ours, *_around(one.ours, one.deviation), one.n
    for one in cells:
        if one.theirs is not None:
            around = _around(one.theirs, one.theirs_deviation)
            yield panel, one.row, "paper", one.sparsity, one.theirs, *around, None


def _bars(panel: str, cells: Sequence[PaperCell]) -> Iterator[tuple[Cell, ...]]:
    printed = any(cell.theirs is not None for cell in cells)
    for one in cells:
        ours, theirs = _around(one.ours, one.deviation), _around(one.theirs, one.theirs_deviation)
        category = column_of(one)
        yield panel, one.row, category, one.ours, *ours, one.n
        if printed:
            yield panel, one.row + PAPER, category, one.theirs, *theirs, None


def column_of(cell: PaperCell) -> str:
    """Its column of the table; the sparsity where that is one, as of a table over nothing else."""
    if cell.sparsity is not None and _is(cell.column, cell.sparsity):
        return "dense" if cell.sparsity == 0 else f"{cell.sparsity:g} % sparse"
    return cell.column


def _around(mean: float | None, deviation: float | None) -> tuple[float | None, float | None]:
    return (None, None) if mean is None or deviation is None else (mean - deviation, mean + deviation)
