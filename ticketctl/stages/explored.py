"""From what was typed to what is measured, by which recipe; of an audit see `examined`. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ticketctl.artifacts.report_models import Kind
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.plugins import plugins
from ticketctl.recipe_base import Measuring
from ticketctl.recipe_explore import RECIPES, InterpolateRecipe, parse_explore
from ticketctl.recipe_files import assignments, merge, read_recipe


@dataclass(frozen=True)
class Explored:
    """What is to be measured, and by which recipe."""

    recipe: Measuring
    named: bool
    """Whether somebody named the plug-ins, rather than all being meant."""
    sets: Mapping[str, Any]
    """Of the nets' own recipes: `data.name` and `model.name`."""

    @property
    def kind(self) -> Kind:
        """Of the reports."""
        return self.recipe.TABLE

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The keys of single plug-ins."""
        return self.recipe.tables

    @property
    def spec(self) -> dict[str, Any]:
        """What of the command's own table every value depends on."""
        return self.recipe.spec

    @property
    def missing(self) -> dict[str, str]:
        """Plug-ins whose packages are not here, and what says so."""
        return missing(self.recipe.PLUGINS, self.recipe.chosen)


def missing(kind: str, names: Sequence[str]) -> dict[str, str]:
    """Of the plug-ins of a kind those whose packages are not here, and what says so."""
    found = {}
    for name in names:
        literals = plugins(kind)[name].literals
        gone = [package for package in literals.get("IMPORTS", ()) if find_spec(package) is None]
        if gone:
            found[name] = f"needs {gone[0]}: pip install 'ticketctl[{literals['EXTRA']}]'"
    return found


def explored(
    command: str, names: str | None, sets: Sequence[str], data: str | None, recipe: str | None
) -> Explored:
    """What `--recipe`, `--metrics`, `--set` and `--data` say, the later over the earlier.

    Args:
        command: probe, transfer or interpolate.
        names: of metrics, with commas; None where nothing was typed.
        sets: each `KEY=VALUE`.
        data: the nets' data set, with its path perhaps.
        recipe: a shipped recipe or a file.

    Raises:
        UsageError: no such recipe, plug-in, table or key; says the near miss.
        MissingExtraError: a plug-in was named whose packages are not here, or nets are to be aligned without scipy.
    """
    typed = assignments(sets)
    own = own_of(typed, data, ("data", "model", *(("seeds", "train") if command == "interpolate" else ())))
    _check_tables(command, typed)
    tables = merge(read_recipe(recipe) if recipe is not None else {}, typed)
    if names is not None:
        tables = merge(tables, {command: {RECIPES[command].PLUGINS: split(names)}})
    parsed = parse_explore(command, tables, where=said(names, typed, recipe) or command)
    _check_trained(parsed, own)
    found = Explored(parsed, names is not None, own)
    _check_packages(found)
    return found


def own_of(typed: dict[str, Any], data: str | None, tables: Sequence[str]) -> dict[str, Any]:
    """What of `typed` is of the nets' own recipes, that is in `tables`, taken out of it; with `--data`.

    Raises:
        UsageError: something in `typed` is no table.
    """
    flat = next((table for table, value in typed.items() if not isinstance(value, Mapping)), None)
    if flat is not None:
        raise UsageError(f"--set {flat}: write {flat}.KEY=VALUE")
    own: dict[str, Any] = {table: typed.pop(table) for table in tables if table in typed}
    return own if data is None else {**own, "data": {**own.get("data", {}), "name": data}}


def split(names: str) -> list[str]:
    """What `--metrics` names.

    Raises:
        UsageError: nothing.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        raise UsageError("--metrics names none; leave it out to measure all")
    return found


def said(names: str | None, typed: Mapping[str, Any], recipe: str | None) -> str:
    """Which of `--metrics`, `--set` and `--recipe` were given, for an error; or ""."""
    given = {"--metrics": names is not None, "--set": bool(typed), str(recipe): recipe is not None}
    return ", ".join(name for name, so in given.items() if so)


def _check_tables(command: str, typed: Mapping[str, Any]) -> None:
    known = {name for name in RECIPES[command].model_fields if name not in ("summary", "source", "sources")}
    odd = next((table for table in typed if table not in known), None)
    if odd is not None:
        tables = ", ".join(sorted({*known, "data", "model"}))
        threads = "; threads: OMP_NUM_THREADS" if odd == "train" and "threads" in typed[odd] else ""
        raise UsageError(f"--set {odd}…: {command} has {tables}; a net is taken as it is{threads}")


def _check_trained(recipe: Measuring, own: Mapping[str, Any]) -> None:
    """An onset alone trains a net of `--model` itself, so that it may be told how."""
    table = next((table for table in ("train", "seeds") if table in own), None)
    if table is not None and not (isinstance(recipe, InterpolateRecipe) and recipe.onset):
        raise UsageError(f"--set {table}…: for the onset of a --model alone; a net is taken as it is")


def _check_packages(asked: Explored) -> None:
    gone = asked.missing
    if gone and (asked.named or asked.kind == "interpolate"):
        raise MissingExtraError("; ".join(f"{name} {why}" for name, why in gone.items()))
    spec = asked.recipe.interpolate if isinstance(asked.recipe, InterpolateRecipe) else None
    if spec is not None and spec.align != "none" and find_spec("scipy") is None:
        raise MissingExtraError("interpolate.align needs scipy: pip install 'ticketctl[align]'")
