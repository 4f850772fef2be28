"""Which metrics a recipe wants along its spends, and whether they can be had there. Nothing here imports torch, unless
keys of metrics are given, whose values their modules check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.plugins import defaults, load, plugins
from ticketctl.recipe import Recipe
from ticketctl.recipe_audit import parse_audit
from ticketctl.stages.examined import Wanted
from ticketctl.stages.params import checked

SERVED = ("net", "train", "val", "test")
"""What of a metric's `NEEDS` is there while a net is trained."""


def check_watched(recipe: Recipe) -> None:
    """Refuse metrics that no spend can be watched with, whatever its net and data are.

    Args:
        recipe: its `keep.metrics` and `[metrics]` are read.

    Raises:
        UsageError: no such metric or key (says the near miss), a value of the wrong kind, or a metric that needs images
            which are only there in an audit.
        MissingExtraError: one whose packages are not here.
    """
    names = recipe.keep.metrics
    tables = {"audit": {"metrics": names}, "metrics": recipe.metrics}
    parsed = parse_audit(tables, where="keep.metrics" if names else "[metrics]")
    for name in names:
        _check_needs(name)
    missing = Wanted(parsed, True, {}).missing if names else {}
    if missing:
        raise MissingExtraError(
            "keep.metrics: " + "; ".join(f"{name} {why}" for name, why in missing.items())
        )
    for name in names:
        if recipe.metrics.get(name):
            params_of(recipe, name)


def _check_needs(name: str) -> None:
    if plugins("metrics")[name].literals.get("TIMED"):
        raise UsageError(f"keep.metrics: {name} measures time, and a run is the same whenever it is trained")
    odd = next((need for need in plugins("metrics")[name].literals["NEEDS"] if need not in SERVED), None)
    if odd is not None:
        raise UsageError(
            f"keep.metrics: {name} needs {odd} images, which are not there while a net is trained; "
            f"measure it at the end: ticketctl audit RUN --metrics {name}"
        )


def params_of(recipe: Recipe, name: str) -> Any:
    """The keys of a metric, as its `Params`.

    Raises:
        UsageError: a value of the wrong kind.
    """
    return checked(load("metrics", name).Params, recipe.metrics.get(name, {}), f"metrics.{name}")


def settled_watch(
    recipe: Recipe, typed: Mapping[str, Any], filed: Mapping[str, Any]
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of a spend with the keys of watched metrics alone, none at its default, and a line for each other
    table: saying a default changes nothing, the run's place included.

    The draw's own recipe may carry keys for a later spend: of these nothing is said.

    Args:
        recipe: of the spend.
        typed: what `--set` said, as tables.
        filed: what `--recipe` said, as tables.

    Raises:
        UsageError: as `check_watched`; or `typed` has a key that nothing reads.
        MissingExtraError: as `check_watched`.
    """
    check_watched(recipe)
    names = recipe.keep.metrics
    for name, table in _table(typed, "metrics").items():
        if name not in names:
            raise UsageError(
                f"--set metrics.{name}.{next(iter(table), 'KEY')}: {name} is not watched; add it to keep.metrics"
            )
    if "every" in _table(typed, "keep") and not names:
        raise UsageError(
            "--set keep.every: nothing is measured along the training; name some in keep.metrics"
        )
    notes = [
        f"[metrics.{name}]: not used, {name} is not watched"
        for name in _table(filed, "metrics")
        if name not in names
    ]
    own = {name: _own_keys(name, recipe.metrics.get(name, {})) for name in names}
    kept = {name: table for name, table in own.items() if table}
    return recipe.model_copy(update={"metrics": kept}), tuple(notes)


def _own_keys(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are not at their defaults."""
    usual = defaults("metrics", name)
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return {key: table[key] for key, value in said.items() if key not in usual or usual[key] != value}


def _table(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    return found if isinstance(found, Mapping) else {}
