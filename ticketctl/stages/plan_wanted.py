"""From a table's name, or the file of a grid, table or plan, to the plan that it means. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ticketctl.errors import UsageError
from ticketctl.stages.agenda import Part, Place, Use
from ticketctl.stages.auditing import check_audits
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in, is_grid, no_file, seeds_in
from ticketctl.stages.jobs import Plan, plan_of
from ticketctl.stages.measured import needs_report
from ticketctl.stages.only import Only
from ticketctl.stages.papers import Cell, find_table
from ticketctl.stages.plan_faults import Checked
from ticketctl.stages.plan_files import begun, read_plan, sweeps_in
from ticketctl.stages.reproduce import Asked, Planned, plan_table
from ticketctl.store.expand import expanded

NEWEST = "newest"
"""The sweep that was begun last."""
OF_TABLE = ("row", "cell", "sparsity", "density", "tweaks", "recipe")
"""What `--only` may ask of a table's cells."""


@dataclass(frozen=True)
class Wanted:
    """What was typed."""

    name: str
    workspace: Path
    rows: Sequence[str] = ()
    levels: str | None = None
    only: str = ""
    seeds: Sequence[int] | None = None
    scale: Fraction | None = None
    data: str | None = None


@dataclass(frozen=True)
class Meant:
    """A plan, and what is to be told of it."""

    plan: Plan
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    table: Planned | None = None
    """The table behind it, where there is one."""


def plan_meant(wanted: Wanted) -> Meant:
    """The plan.

    Args:
        wanted: what was typed.

    Raises:
        UsageError: no such table or file, or one that cannot be; options that it does not take.
        ArtifactError: a file of a plan is damaged.
        MissingExtraError: a package is not here that an audit needs.
    """
    path = expanded(wanted.name)
    if path.suffix == ".jsonl":
        return Meant(_of_file(path, wanted))
    if re.fullmatch(f"[0-9a-f]{{4,12}}|{NEWEST}", wanted.name):
        return Meant(
            _of_file(begun(None if wanted.name == NEWEST else wanted.name, wanted.workspace), wanted)
        )
    if path.suffix == ".toml" and not path.is_file():
        raise UsageError(f"{wanted.name}: {no_file(path)}")
    if path.suffix == ".toml" and is_grid(path):
        return _of_grid(path, wanted)
    if not {":", "/", "."} & {*wanted.name}:
        own = ", ".join(one.parent.name for one in sweeps_in(wanted.workspace)[:3])
        raise UsageError(
            f"no plan {wanted.name!r}: name a grid (GRID.toml), a paper's table (001:A2), a plan (PLAN.jsonl), or "
            f"a sweep ({own or f'none was begun in {wanted.workspace}'})"
        )
    return _of_table(wanted)


def _of_file(path: Path, wanted: Wanted) -> Plan:
    typed = {"--rows": wanted.rows, "--levels": wanted.levels, "--only": wanted.only, "--seed": wanted.seeds,
             "--scale": wanted.scale, "--data": wanted.data}  # fmt: skip
    odd = next((name for name, value in typed.items() if value), None)
    if odd is not None:
        raise UsageError(
            f"{wanted.name}: a plan that is made already; {odd} belongs to the grid or table that it is of"
        )
    return read_plan(path, wanted.workspace)


def _of_grid(path: Path, wanted: Wanted) -> Meant:
    odd = "--rows" if wanted.rows else "--levels" if wanted.levels else "--data" if wanted.data else None
    if odd:
        raise UsageError(f"{path}: {odd} is for a paper's table; of a grid --only takes a part")
    text = path.read_text(encoding="utf-8")
    grid = grid_in(text, str(path))
    seeds = list(wanted.seeds or seeds_in(grid.seeds))
    found = plan_grid(grid, seeds, wanted.workspace, only=wanted.only, scale=wanted.scale, name=str(path))
    check_audits(found)
    about = {"grid": text, "name": path.name, "axes": list(grid.axes), **_typed(wanted, seeds)}
    plan = plan_of(found, found.places, grid.title or path.stem, about)
    return Meant(plan, tuple(dict.fromkeys(note for place in plan.places if (note := _rounded(place)))))


def _rounded(place: Place) -> str:
    """That a level keeps another share than the grid says, by more than rounding; "" if it does not."""
    level, recipe = place.use.level, place.use.draw.recipe
    said = next((name for name in ("density", "sparsity") if name in place.labels), None)
    if said is None or not level or not is_ladder(recipe) or recipe.draw is None:
        return ""
    kept, wanted = ladder_of(recipe)[level], Fraction(place.labels[said])
    aim = wanted if said == "density" else 1 - wanted
    if abs(kept - aim) <= aim / 200:
        return ""
    return f"{said} {place.labels[said]} of {recipe.draw.method} is its level {level}, which keeps {float(kept):.4g}"


def _of_table(wanted: Wanted) -> Meant:
    asked = Asked(
        find_table(wanted.name), wanted.rows, wanted.levels, wanted.seeds, wanted.scale, wanted.data, wanted.workspace
    )  # fmt: skip
    planned = plan_table(asked)
    check_audits(planned)
    only = Only(wanted.only, OF_TABLE)
    pairs = [(cell, use) for cell, use in planned.places if only.has(_labels(cell))]
    if not pairs:
        raise UsageError(f"--only {wanted.only!r}: no cell of the table is left")
    pairs, refused = _sound(pairs, wanted)
    places = [
        Place({"row": cell.row, "cell": cell.column}, use.draw.seed, use, cell.metric) for cell, use in pairs
    ]
    part = bool(wanted.only or refused)
    agenda = _part(planned, pairs) if part else planned
    about = {"table": asked.table.name, "spec": asked.table.spec, "rows": list(wanted.rows), "levels": wanted.levels,
             "data": wanted.data, **_typed(wanted, planned.seeds)}  # fmt: skip
    title = f"{asked.table.spec}: {asked.table.title}"
    kept = {(cell.row, cell.column) for cell, _ in pairs}
    cells = tuple(cell for cell in planned.cells if (cell.row, cell.column) in kept)
    table = replace(planned, cells=cells) if part else planned
    return Meant(plan_of(agenda, places, title, about), planned.notes, (*planned.refused, *refused), table)


def _sound(pairs: Sequence[tuple[Cell, Use]], wanted: Wanted) -> tuple[list[tuple[Cell, Use]], list[str]]:
    """The cells whose trainings can be, as far as that is known without data, and a line for those that cannot.

    Raises:
        UsageError: none is left, or none of a row that was typed.
    """
    checked = Checked()
    faults = {(cell.row, cell.column): why for cell, use in pairs if (why := checked.why(use))}
    left = [(cell, use) for cell, use in pairs if (cell.row, cell.column) not in faults]
    rows, lines = {cell.row for cell, _ in left}, dict[tuple[str, str], list[str]]()
    for (row, column), why in faults.items():
        if not rows or (wanted.rows and row not in rows):
            raise UsageError(f"{wanted.name}: row {row!r}: {why}")
        lines.setdefault((row, why), []).append(column)
    return left, [f"row {row!r}, left out {', '.join(cells)}: {why}" for (row, why), cells in lines.items()]


def _typed(wanted: Wanted, seeds: Sequence[int]) -> dict[str, object]:
    return {
        "only": wanted.only,
        "scale": None if wanted.scale is None else str(wanted.scale),
        "seeds": list(seeds),
    }


def _labels(cell: Cell) -> dict[str, str]:
    found = {
        "row": cell.row,
        "cell": cell.column,
        "tweaks": ",".join(cell.tweaks) or "none",
        "recipe": cell.recipe,
    }
    if cell.sparsity is not None:
        found |= {"sparsity": f"{float(cell.sparsity):g}", "density": f"{float(1 - cell.sparsity / 100):g}"}
    return found


def _part(planned: Planned, pairs: Sequence[tuple[Cell, Use]]) -> Part:
    """What these cells are worked out from."""
    uses = dict.fromkeys(use for _, use in pairs)
    draws = {use.draw for use in uses}
    readings = {cell.reading for cell, _ in pairs if needs_report(cell.metric)}
    audits = [(reading, use) for reading, use in planned.audits if use in uses and reading in readings]
    kept = tuple(draw for draw in planned.draws if draw in draws)
    return Part(planned.workspace, kept, tuple(uses), tuple(audits))
