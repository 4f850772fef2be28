"""What papers print for a recipe: accuracies by sparsity, of tables in which some cell's recipe is this one. No torch.

A recipe is a cell's where runs of it would be (stages/against.py): net, data set, method, control and tweaks are the
cell's, and so are the keys by which the rows of its table differ. Whatever else differs is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import parse_recipe, read_recipe
from ticketctl.stages.against import OTHERWISE
from ticketctl.stages.compare import Group
from ticketctl.stages.papers import Cell, Table, tables
from ticketctl.stages.recorded import settings_of
from ticketctl.stages.targets import Target, agree, differences, targets_of, telling

METRIC = "test.accuracy"


@dataclass(frozen=True)
class Marks:
    """What one table prints for the recipe."""

    table: str
    """As users name it: 001:A2."""
    points: tuple[tuple[float, float], ...]
    """Sparsity and accuracy, each in [0, 1]; the dense net is at 0."""
    differs: tuple[str, ...]
    """What the recipe has otherwise than the table's."""


def marks_of(asked: Mapping[str, Any]) -> tuple[Marks, ...]:
    """The marks of every shipped table that has any.

    Args:
        asked: the tables of a draw's recipe, as its intent keeps them.
    """
    try:
        recipe = parse_recipe(asked, where="the draw's recipe")
    except UsageError:  # of another version, or damaged: the draw itself will say so
        return ()
    if recipe.draw is None:
        return ()
    known = cache(read_recipe)
    found = (_of_table(table, recipe, known) for table in tables())
    return tuple(marks for marks in found if marks is not None)


def _of_table(table: Table, recipe: Recipe, known: Callable[[str], Mapping[str, Any]]) -> Marks | None:
    cells = [cell for cell in table.cells if _is_level(cell)]
    if not any(_near(cell, known(cell.recipe), recipe) for cell in cells):
        return None
    targets = targets_of(cells)
    keys = telling(targets)
    mine = [pair for pair in zip(cells, targets, strict=True) if _is(*pair, recipe, keys)]
    if all(cell.sparsity == 0 for cell, _ in mine):
        return None
    points = sorted(
        (float(cell.sparsity / 100), float(cell.value / 100))
        for cell, _ in mine
        if cell.sparsity is not None and cell.value is not None
    )
    said = dict.fromkeys(
        text for cell, target in mine for text in differences(_group(cell, recipe), target, cell)
    )
    return Marks(table.spec, tuple(points), tuple(said))


def _is_level(cell: Cell) -> bool:
    """Whether it is an accuracy of a ticket, or of the dense net, at a sparsity that is printed."""
    known = cell.value is not None and cell.sparsity is not None
    return known and not cell.control and (cell.metric, cell.unit) == (METRIC, "percent")


def _near(cell: Cell, said: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether net and data are the cell's, as far as its recipe says before it is checked."""
    net = cell.sets.get("model.name", said.get("model", {}).get("name"))
    data = cell.sets.get("data.name", said.get("data", {}).get("name"))
    return (net, data) == (recipe.model.name, recipe.data.name)


def _is(cell: Cell, target: Target, recipe: Recipe, keys: Mapping[tuple[Any, ...], set[str]]) -> bool:
    group = _group(cell, recipe)
    kind = (group.net, group.data, group.method, group.control, group.tweaks)
    if kind != target.kind:
        return False
    tell = {key for key in keys[kind] if key not in cell.unknown}
    tell |= {key for key in {*group.settings, *target.settings} if key.startswith(OTHERWISE)}
    return all(agree(group.settings.get(key), target.settings.get(key)) for key in tell)


def _group(cell: Cell, recipe: Recipe) -> Group:
    """The runs that the recipe would leave at the cell's sparsity."""
    assert recipe.draw is not None
    dense = cell.sparsity == 0
    density = 1 - Fraction(cell.sparsity or 0) / 100
    method = "dense" if dense else recipe.draw.method
    settings = settings_of(to_record(recipe.record()), dense=dense)
    return Group(recipe.model.name, recipe.data.name, method, "", density, (), settings, ())
