"""What a cell of a paper's table wants of a run, and what a run did otherwise than the recipe behind the cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.artifacts.records import to_record
from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import lay, parse_recipe, read_recipe
from ticketctl.stages.compare import CLOSE, Group
from ticketctl.stages.papers import Cell
from ticketctl.stages.recorded import Settings, same, searched, settings_of, shown
from ticketctl.stages.tweaking import check_keys, without_defaults

UNSAID = {"data.name", "draw.method", "model.name", "train.precision"}
"""Keys that are judged apart, or that no paper gives."""
USUAL = {"auto", "[]"}
"""In `[data]`, what the data set says itself; a run has it worked out."""


@dataclass(frozen=True)
class Target:
    """What a cell wants of a run."""

    net: str
    data: str
    method: str
    control: str
    tweaks: tuple[str, ...]
    settings: Settings
    recipe: Recipe

    @property
    def kind(self) -> tuple[Any, ...]:
        """What no run of another may be compared with."""
        return self.net, self.data, self.method, self.control, self.tweaks


def targets_of(cells: Sequence[Cell]) -> list[Target]:
    """The target of each cell.

    Raises:
        UsageError: a cell names a recipe that is not there, or keys that it cannot have.
    """
    target, found = cache(_target), []
    for cell in cells:
        try:
            check_control(cell)
            found.append(target(cell.recipe, _sets(cell), cell.tweaks, cell.control, _is_dense(cell)))
        except UsageError as error:
            raise UsageError(f"row {cell.row!r}: {error}") from None
    return found


def check_control(cell: Cell) -> None:
    """Refuse a kind of control that there is none of.

    Raises:
        UsageError: says the near miss.
    """
    if cell.control not in ("", *CONTROL_KINDS):
        raise UsageError(f"no control {cell.control!r}; {near_miss(cell.control, CONTROL_KINDS)}")


def _sets(cell: Cell) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (key, float(value) if isinstance(value, Decimal) else value) for key, value in cell.sets.items()
    )


def _is_dense(cell: Cell) -> bool:
    return cell.sparsity == 0


def _target(
    name: str, sets: tuple[tuple[str, Any], ...], tweaks: tuple[str, ...], control: str, dense: bool
) -> Target:
    tables = read_recipe(name)
    changed = tables
    for key, value in sets:
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        changed = lay(changed, nested)
    recipe = parse_recipe(changed, where=name)
    check_keys(recipe, values=False)
    settings = dict(_settings(recipe, dense))
    if not dense:
        settings |= searched(settings, to_record(parse_recipe(tables, where=name).record()))
    method = "dense" if dense or recipe.draw is None else recipe.draw.method
    return Target(recipe.model.name, recipe.data.name, method, control, tweaks, settings, recipe)


def _settings(recipe: Recipe, dense: bool) -> Settings:
    record = {**recipe.record(), "tweaks": without_defaults(recipe.tweaks)}
    return settings_of(to_record(record), dense=dense)


def telling(targets: Sequence[Target]) -> dict[tuple[Any, ...], set[str]]:
    """The keys by which targets of one kind differ."""
    kinds: dict[tuple[Any, ...], list[Target]] = {}
    for target in targets:
        kinds.setdefault(target.kind, []).append(target)
    return {
        kind: {key for one in alike for key in one.settings if len({o.settings.get(key) for o in alike}) > 1}
        for kind, alike in kinds.items()
    }


def agree(one: str | None, other: str | None) -> bool:
    """Whether two values, or their absence, are one."""
    return one == other or (one is not None and other is not None and same(one, other))


# --------------------------------------------------------------------------------------------------- what is other


def differences(group: Group, wanted: Target, cell: Cell) -> tuple[str, ...]:
    """What the runs did otherwise than the paper's recipe: `epochs 18 instead of 180`.

    Milestones, warm-up and rewind point that were stretched along with the epochs are not told again.
    """
    ours, theirs = group.settings, wanted.settings
    found = [f"data {group.data} instead of {wanted.data}"] if group.data != wanted.data else []
    stretched = _stretched(ours.get("train.epochs", ""), wanted, cell)
    for key in sorted(
        {*ours, *stretched} - UNSAID - set(cell.unknown), key=lambda key: (key != "train.epochs", key)
    ):
        one, other = ours.get(key), stretched.get(key)
        if key.startswith("search") or agree(one, other) or (key.startswith("data.") and other in USUAL):
            continue
        if one is not None and theirs.get(key) is not None:
            found.append(f"{key.removeprefix('train.')} {shown(one)} instead of {shown(theirs[key])}")
        elif key.startswith("tweaks."):
            found.append(f"{key} {one or 'default'} instead of {theirs.get(key, 'default')}")
    found += _search(ours, theirs)
    return (*found, *_density(group, cell))


def _stretched(epochs: str, wanted: Target, cell: Cell) -> Mapping[str, str]:
    """The target's settings as `--epochs` would make them, but for the number of epochs itself."""
    theirs = wanted.settings
    if not re.fullmatch(r"[1-9][0-9]{0,5}", epochs) or epochs == theirs.get("train.epochs"):
        return theirs
    scaled = dict(_settings(wanted.recipe.scaled(epochs=int(epochs)), _is_dense(cell)))
    return {**theirs, **scaled, "train.epochs": theirs["train.epochs"]}


def _search(ours: Settings, theirs: Settings) -> list[str]:
    if "search" in ours:
        return ["its draw unknown: no ticket lies beside the run"]
    found = []
    for key in sorted(key for key in {*ours, *theirs} if key.startswith("search.")):
        own = key.removeprefix("search.")
        one, other = ours.get(key, ours.get(own)), theirs.get(key, theirs.get(own))
        if not agree(one, other):
            found.append(f"drawn with {own.removeprefix('train.')} {one} instead of {other}")
    return found


def _density(group: Group, cell: Cell) -> list[str]:
    if cell.sparsity is None:
        return []
    aim = 1 - cell.sparsity / 100
    if abs(group.density - aim) <= CLOSE * aim:
        return []
    return [f"density {100 * float(group.density):.2f} % instead of {100 * float(aim):.2f} %"]
