"""What a report page says of a sweep: maps of its combinations, tests, ranks, what failed and why. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ticketctl.errors import UsageError, listed
from ticketctl.figures.page.parts import Map, Page, SweepPart, Table, Text, Tile
from ticketctl.figures.page.words import private
from ticketctl.figures.sweep_axes import ONE, Panel, axes_of, inside, panels_of
from ticketctl.figures.sweep_ranks import ranked_axis, ranks_of, told
from ticketctl.figures.swept import SIGNS, Combination, Swept, words
from ticketctl.stages.collect import summary
from ticketctl.stages.compare import unit_of
from ticketctl.stages.gallery import Gallery, gallery
from ticketctl.stages.grouped_cells import NONE
from ticketctl.stages.retry import advised, way_on
from ticketctl.stages.sweep_cells import TESTED, form_of, grid, half, remarks
from ticketctl.stages.sweep_commands import Repeats
from ticketctl.stages.sweep_entries import Entries
from ticketctl.stages.sweep_groups import Reference, Row, combined, rows_of, swept_of
from ticketctl.stages.sweep_table import stand_in, table_of

FIGURES = ("sweep-axes", "sweep-ranks", "sweep-cost")
TITLES = 3
"""Jobs of one cause that are named."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A sweep as it is shown."""

    whole: Entries
    swept: Swept
    reference: Reference | None
    metric: str
    axes: str = ""
    """Two of its axes with a comma, as typed; nothing: the usual ones."""

    @property
    def of(self) -> tuple[str, str]:
        """Words of a command that name it."""
        return ("--sweep", self.whole.plan.id)

    def sets(self, figures: Sequence[str]) -> list[str]:
        """Keys of those of its figures that are drawn: what they show where it is not the usual."""
        found = [f"figures.sweep-axes.axes={self.axes}"] if self.axes and FIGURES[0] in figures else []
        usual = usual_metric(self.whole)
        mine = [name for name in FIGURES if name in figures and self.metric != usual]
        return [*found, *(f"figures.{name}.metric={self.metric}" for name in mine)]


def usual_metric(whole: Entries) -> str:
    """What most of its places report."""
    return Counter(entry.metric for entry in whole.entries).most_common(1)[0][0]


def gallery_of(whole: Entries, metric: str | None = None) -> Gallery:
    """The runs of a sweep, as figures and pages take them, and the sweep; of a paper's table that table, too.

    Raises:
        UsageError: none of them is there.
        ArtifactError: all that are there are damaged.
    """
    if not whole.runs:
        raise UsageError(
            f"sweep {whole.plan.id}: no run is there yet; ticketctl status {whole.plan.id} says why"
        )
    names = [str(run.folder) for run in whole.runs]
    workspace, table = whole.plan.workspace, table_of(whole) if whole.is_table else None
    found = gallery(names, workspace, table=table, data=stand_in(whole))
    swept = swept_of(whole, metric or usual_metric(whole))
    return replace(found, shelf=replace(found.shelf, sweep=swept, place=str(workspace)))


def with_sweep(page: Page, shown: Shown, *, titled: bool) -> Page:
    """The page with what is to be said of the sweep, and its name as the title, unless it has one."""
    whole = shown.whole
    compared = shown.reference and ["--against", str(shown.reference)]
    line = " ".join(["ticketctl compare", *shown.of, *(compared or [])])
    commands = (
        Text("The combinations of the sweep", line),
        Text("All trials of the sweep as one table", f"ticketctl collect {whole.plan.id} --out sweep.csv"),
        *(one for one in page.commands if not one.text.startswith("ticketctl compare")),
    )
    title = page.title if titled else whole.plan.title or page.title
    return replace(page, title=title, sweep=part_of(shown), commands=commands)


def part_of(shown: Shown) -> SweepPart:
    """The section of a page."""
    whole, swept, metric = shown.whole, shown.swept, shown.metric
    rows = rows_of(whole, swept, shown.reference, metric)
    said = (f"Sweep {whole.plan.id}: {summary(whole)}.", *(f"{text}." for text in whole.remarks))
    signed = any(one.signs(metric) for one in swept.combinations)
    return SweepPart(
        tuple(map(private, said)),
        tuple(_maps(shown)),
        (*_tables(rows, shown), *_ranks(shown), *_failures(whole)),
        (*([SIGNS] if signed else []), *remarks(rows, swept, metric, shown.reference)),
    )


# -------------------------------------------------------------------------------------------------------------- maps


def _maps(shown: Shown) -> list[Map]:
    swept, axes = shown.swept, axes_of(shown.swept, shown.axes)
    repeats, found = Repeats(shown.whole.plan), list[Map]()
    mine = combined(shown.whole)

    def tile(one: Combination) -> Tile:
        return Tile(_said(one, shown.metric), "\n".join(repeats.of(mine[tuple(one.labels.values())])))

    for net, data in swept.places:
        here = [one for one in swept.combinations if (one.net, one.data) == (net, data)]
        for panel in panels_of(swept, here, axes):
            tiles = {_place(one, axes): tile(one) for one in inside(swept, here, panel, axes)}
            found.append(_map(tiles, axes, _caption(shown, (net, data), panel)))
    return found


def _caption(shown: Shown, place: tuple[str, str], panel: Panel) -> str:
    sign = unit_of(shown.metric)[1]
    what = f"{shown.metric}{f' in {sign}' if sign else ''} of {' on '.join(place)}"
    return f"{what}{f', {words(panel)}' if panel else ''}: mean over seeds ± half its 95 % interval"


def _place(one: Combination, axes: tuple[str, str]) -> tuple[str, str]:
    return one.labels[axes[0]], one.labels[axes[1]] if axes[1] else ONE


def _map(tiles: Mapping[tuple[str, str], Tile], axes: tuple[str, str], caption: str) -> Map:
    rows, columns = (list(dict.fromkeys(place[at] for place in tiles)) for at in (0, 1))
    return Map(
        caption,
        " by ".join(filter(None, axes)),
        tuple(columns),
        tuple((row, tuple(tiles.get((row, column)) for column in columns)) for row in rows),
    )


def _said(one: Combination, metric: str) -> str:
    """`94.37 ± 0.86, n=4 x1`: how many only where some are not there."""
    mean, signs, scale = one.mean(metric), one.signs(metric), unit_of(metric)[0]
    form = form_of(metric)
    if mean is None:
        return signs or NONE
    wide = half(mean, scale, form)
    text = f"{scale * mean.mean:{form}}" + ("" if wide == NONE else f" ± {wide}")
    return f"{text}, n={mean.n} {signs}" if signs else text


# ------------------------------------------------------------------------------------------------------------ tables


def _tables(rows: Sequence[Row], shown: Shown) -> list[Table]:
    """Means and cost; and apart the tests."""
    columns, *cells = grid(rows, shown.swept, shown.metric, shown.reference)
    first = columns.index("n")
    tests = [at for at, name in enumerate(columns) if name in TESTED[1:] or name.startswith("vs ")]
    means = [at for at in range(len(columns)) if at not in tests]
    beyond = f"ticketctl compare --sweep {shown.whole.plan.id} has all"
    found = [_table("Every combination, and what it cost", columns, cells, means, first, beyond)]
    tested = [row for row in cells if tests and any(row[at] not in ("", NONE) for at in tests)]
    if tested:
        caption = f"Differences from {shown.reference}, paired by seed"
        found.append(_table(caption, columns, tested, [*range(first), *tests], first, beyond))
    return found


def _table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int], words: int, beyond: str
) -> Table:  # fmt: skip
    cells = tuple(tuple(row[at] for at in kept) for row in rows)
    return Table(caption, tuple(columns[at] for at in kept), cells, words, beyond, headed=False)


def _ranks(shown: Shown) -> list[Table]:
    axis = axes_of(shown.swept, shown.axes)[0] if shown.axes else ranked_axis(shown.swept)
    found = ranks_of(shown.swept, axis, shown.metric)
    if found is None:
        return []
    ordered = sorted(found.means.items(), key=lambda pair: pair[1])
    caption = f"Mean ranks over {found.blocks} rankings, 1 is the best; {'; '.join(told(found))}"
    return [Table(caption, (axis, "mean rank"), tuple((name, f"{rank:.2f}") for name, rank in ordered))]


def _failures(whole: Entries) -> list[Table]:
    """Failed jobs by cause, with all that waits for them."""
    states = whole.states
    causes: dict[tuple[str, str], list[str]] = {}
    for job in states.failed:
        state = states.states[job.id]
        causes.setdefault((state.cause, private(advised(state.message, whole.plan))), []).append(job.title)
    blocked = states.counts().get("blocked", 0)
    rows = [
        (cause, listed(titles, TITLES), message, str(len(titles)))
        for (cause, message), titles in sorted(causes.items(), key=lambda pair: -len(pair[1]))
    ]
    need = "job needs" if blocked == 1 else "jobs need"
    more = f"; {blocked} more {need} one of them" if blocked else ""
    way = way_on(states)
    caption = f"Failed jobs by cause{more} ({'ticketctl sweep ' * way.startswith('--')}{way})"
    return [Table(caption, ("cause", "which", "message", "jobs"), tuple(rows), words=3)] if rows else []
