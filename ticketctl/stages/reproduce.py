"""All draws and spends behind a table of a paper, each once. Nothing here imports torch.

A row's recipe is drawn with `draw.*`, `model.*` and label noise of the row's `sets` (paper 002 prunes under noise);
what else the row sets is the spend's (paper 003 trains a ticket with another batch, or on a part of the images). A
recipe that prunes in rounds is drawn once for all its cells, at the level nearest to each sparsity; one that prunes
once is drawn for each sparsity. A dense recipe, which has no rounds, is drawn with all that the row sets: that draw is
the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.agenda import SPENT, Draw, Use
from ticketctl.stages.cells import (
    Levels,
    is_ladder,
    is_winning,
    ladder_of,
    level_of,
    refusal,
    rows_asked,
)
from ticketctl.stages.measured import Reading, needs_dense, needs_report
from ticketctl.stages.papers import Cell, Table
from ticketctl.stages.repeat import settings
from ticketctl.stages.request import run_folder
from ticketctl.stages.resolving import Resolve, resolver, texts
from ticketctl.stages.tweaking import tweak_set

DRAWN = ("draw.", "model.", "seeds.", "data.noise.", "data.drop.", "data.validation")
"""Keys of a row that its draw has as well."""
OF_SPEND = ("tweaks.", "spend.")
COUNTED = "RUN"
"""Stands in a table for the training that counted forgetting."""


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    table: Table
    rows: Sequence[str] = ()
    levels: str | None = None
    seeds: Sequence[int] | None = None
    scale: Fraction | None = None
    data: str | None = None
    workspace: Path = Path("runs")


@dataclass(frozen=True)
class Planned:
    """A table, planned."""

    asked: Asked
    cells: tuple[Cell, ...]
    """Those asked for that can be run."""
    draws: tuple[Draw, ...]
    uses: tuple[Use, ...]
    refused: tuple[str, ...]
    """One line for each row, or part of one, that cannot be run, with the reason."""
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    audits: tuple[tuple[Reading, Use], ...] = ()
    """Reports that are read, and of what."""
    places: tuple[tuple[Cell, Use], ...] = ()
    """What each cell is worked out from: first its own run, of each seed."""

    @property
    def workspace(self) -> Path:
        """Where all of it lies or will lie."""
        return self.asked.workspace

    @property
    def departures(self) -> tuple[str, ...]:
        """Why this is no reproduction of the paper."""
        found = [f"scaled by {float(self.asked.scale):g}"] if self.asked.scale not in (None, 1) else []
        return (*found, f"on {self.asked.data}") if self.other_data else tuple(found)

    @property
    def other_data(self) -> bool:
        """Whether some cell's data set is another than the one that was asked for."""
        asked = self.asked.data
        own = {read_recipe(name).get("data", {}).get("name") for name in {cell.recipe for cell in self.cells}}
        return asked is not None and own != {asked}


def plan_table(asked: Asked) -> Planned:
    """Plan the rows and levels asked for.

    Raises:
        UsageError: a row or level that the table has not, a recipe or key that cannot be; rows that were typed and
            cannot be run.
        MismatchError: another draw was begun where one of these belongs.
    """
    rows = rows_asked(asked.table, asked.rows)
    seeds, notes = _seeds(asked)
    resolve = resolver(asked.data, asked.scale)
    levels, wanted = Levels(asked.levels), []
    refused: dict[tuple[str, str], list[str]] = {}
    for cell in (cell for cell in asked.table.cells if cell.row in rows):
        why = refusal(cell)
        want = None if why else _Want.of(cell, resolve)
        if want is None or want.why:
            refused.setdefault((cell.row, why or str(want and want.why)), []).append(cell.column)
        else:
            wanted.append(want)
    _check_typed(asked, wanted, refused)
    levels.check([(want.cell, want.level) for want in wanted])
    chosen = [want for want in wanted if levels.has(want.cell, want.level)]
    ends = _ends(chosen) if not levels.all else {}
    pairs = [
        (want, use) for seed in seeds for want in chosen for use in want.uses(seed, resolve, asked, ends)
    ]
    uses = dict.fromkeys(use for _, use in pairs)
    audits = dict.fromkeys((want.cell.reading, use) for want, use in pairs if needs_report(want.cell.metric))
    return Planned(
        asked,
        tuple(want.cell for want in chosen),
        tuple(_with_controls(uses)),
        tuple(uses),
        tuple(f"row {row!r}, left out {', '.join(cells)}: {why}" for (row, why), cells in refused.items()),
        tuple(seeds),
        tuple(notes),
        tuple((reading, use) for reading, use in audits if reading is not None),
        tuple((want.cell, use) for want, use in pairs),
    )


def _seeds(asked: Asked) -> tuple[list[int], list[str]]:
    table = asked.table
    if asked.seeds:
        return list(asked.seeds), []
    if table.seed_list:
        return list(table.seed_list), [f"seeds {','.join(map(str, table.seed_list))}: the paper's"]
    if table.seeds is None:
        return [0], ["seed 0: the paper does not say how many runs are behind a value"]
    return list(range(table.seeds)), [f"seeds from 0: as many runs as the table says, {table.seeds}"]


def _check_typed(asked: Asked, wanted: Sequence[_Want], refused: Iterable[tuple[str, str]]) -> None:
    """Refuse where nothing is left, or nothing of a row that was typed."""
    left = {want.cell.row for want in wanted}
    for row, why in refused:
        if not left or (asked.rows and row not in left):
            more = "; nor has the table another row that can be run" if not left and not asked.rows else ""
            raise UsageError(f"{asked.table.spec}: row {row!r}: {why}{more}")


@dataclass(frozen=True)
class _Want:
    """A cell with its draw's recipe."""

    cell: Cell
    recipe: Recipe
    level: int | None
    """Of a ladder."""
    own: tuple[str, ...]
    """What the draw takes of the row's sets."""
    density: Fraction | None
    """Of a draw that prunes once."""
    why: str | None
    """Why it cannot be run."""

    @classmethod
    def of(cls, cell: Cell, resolve: Resolve) -> _Want:
        """Where the cell's runs come from."""
        plain = resolve(cell.recipe, ())
        counts = any(key.endswith(".record") and value == COUNTED for key, value in cell.sets.items())
        whole = _is_dense(plain) and cell.sparsity == 0 and not counts
        own = texts(
            {
                key: value
                for key, value in cell.sets.items()
                if (not key.startswith(OF_SPEND) if whole else key.startswith(DRAWN))
            }
        )
        if is_ladder(plain):
            level = None if cell.sparsity is None else level_of(plain, cell.sparsity)
            lost = level is None and not is_winning(cell) and cell.sparsity is not None
            why = f"no level of {cell.recipe} lies near {cell.column} %" if lost else None
            return cls(cell, resolve(cell.recipe, own), level, own, None, why)
        why = "a draw that prunes once has no ladder to win on" if is_winning(cell) else None
        why = why or ("a draw that prunes once trains no dense net that could count" if counts else None)
        density = 1 - cell.sparsity / 100 if cell.sparsity else None
        return cls(cell, resolve(cell.recipe, own, density=density), None, own, density, why)

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """Cells that share a ladder share it."""
        return self.cell.recipe, self.own

    def uses(self, seed: int, resolve: Resolve, asked: Asked, ends: Mapping[Any, int]) -> list[Use]:
        """The levels, trained, that the cell reports, and of a ladder the dense net that it is held against."""
        draw = self._draw(seed, resolve, asked, ends.get(self.key))
        given = draw.recipe.record(*SPENT)
        sets = {
            key: [str(draw.folder / "levels" / "0")]
            if value == COUNTED and key.endswith(".record")
            else value
            for key, value in self.cell.sets.items()
        }
        aims = {"density": self.density} if self.density is not None else {}
        wanted = resolve(self.cell.recipe, texts(sets), **aims).record(*SPENT)
        use = Use(
            draw, self.cell.control, tuple(settings(given, wanted)), self.level, tweak_set(self.cell.tweaks)
        )
        if is_winning(self.cell):
            return [replace(use, level=level) for level in range(len(ladder_of(draw.recipe)))]
        dense = replace(use, level=0, control="", tweaks=())
        beside = [dense] if needs_dense(self.cell.metric) and self.level else []
        return [replace(use, level=0) if self.cell.sparsity == 0 else use, *beside]

    def _draw(self, seed: int, resolve: Resolve, asked: Asked, end: int | None) -> Draw:
        """The whole ladder; with `--levels`, if it is not there, as far as it is wanted."""
        recipe = self.recipe
        if self.cell.control and recipe.draw is not None:
            recipe = recipe.model_copy(update={"draw": recipe.draw.model_copy(update={"controls": True})})
        whole = Draw(run_folder(recipe, seed, None, asked.workspace), seed, self.cell.recipe, recipe)
        if end is None or end + 1 >= len(ladder_of(recipe)) or whole.done:
            return whole
        short = resolve(self.cell.recipe, self.own, rounds=end)
        assert short.draw is not None
        assert recipe.draw is not None
        short = short.model_copy(
            update={"draw": short.draw.model_copy(update={"controls": recipe.draw.controls})}
        )
        return Draw(run_folder(short, seed, None, asked.workspace), seed, self.cell.recipe, short)


def _is_dense(recipe: Recipe) -> bool:
    return recipe.draw is None or (recipe.draw.rounds == 0 and recipe.draw.density is None)


def _ends(wanted: Sequence[_Want]) -> dict[Any, int]:
    """The deepest level that is wanted of each ladder."""
    found: dict[Any, int] = {}
    for want in wanted:
        if want.level is not None:
            found[want.key] = max(found.get(want.key, 0), want.level)
    return found


def _with_controls(uses: Mapping[Use, None]) -> list[Draw]:
    """Every draw once; with its controls, if some row reports one."""
    found: dict[Draw, Draw] = {}
    for use in uses:
        if use.control or use.draw not in found:
            found[use.draw] = use.draw
    return list(found.values())
