"""Which metrics a recipe wants along its spends, and whether they can be had there. Nothing here imports torch, unless
keys of metrics are given, whose values their modules check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.plugins import defaults, load, plugins
from ticketctl.recipe import Recipe
from ticketctl.recipe_audit import parse_audit
from ticketctl.stages.explored import missing
from ticketctl.stages.params import checked

SERVED = ("net", "train", "val", "test")
"""What of a metric's `NEEDS` is there while a net is trained."""
RESAMPLED, RESAMPLED_CLASS = 3e-6, 5e-7
"""Seconds that 200 resamplings take for each test image, and for each class of it: of metrics without a price."""
BESIDE = 0.01
"""Seconds that one measurement of a metric takes besides: 200 resamplings of few images are mostly overhead."""
PRODUCTS, PRODUCT = 20, 10
"""Products with the Hessian for one eigenvalue (`keep.lambda_max`), and what one takes in forward passes."""


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
    gone = missing("metrics", parsed.chosen) if names else {}
    if gone:
        raise MissingExtraError("keep.metrics: " + "; ".join(f"{name} {why}" for name, why in gone.items()))
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


@dataclass(frozen=True)
class Shown:
    """What there is to measure along a training: images by set (`train`, `val`, `test`), and classes."""

    sizes: Mapping[str, int]
    classes: int


def watching(recipe: Recipe, shown: Shown, epochs: float, trainings: int) -> tuple[float, float]:
    """What `keep.metrics` and `keep.lambda_max` take: forward passes of single images, and seconds besides; roughly.

    Args:
        recipe: of all trainings, as `check_watched` lets it pass.
        shown: to each of them.
        epochs: of all together, at least 0.
        trainings: how many, at least 1.

    Raises:
        UsageError: a metric's key has a value of the wrong kind.
    """
    passes = beside = 0.0
    if recipe.keep.metrics:
        times = trainings * (1 + math.ceil(epochs / trainings / recipe.keep.every))
        passes, beside = (times * each for each in _once(recipe, shown))
    batch = min(recipe.train.batch, shown.sizes["train"])
    each = (recipe.keep.lambda_max or 0) * batch * PRODUCTS * PRODUCT
    return passes + (epochs + trainings) * each, beside


def _once(recipe: Recipe, shown: Shown) -> tuple[float, float]:
    """Of one measurement of all metrics: each set is answered once."""
    modules = {name: load("metrics", name) for name in recipe.keep.metrics}
    asked = {need for module in modules.values() for need in module.NEEDS}
    passes, beside = float(sum(size for name, size in shown.sizes.items() if name in asked)), 0.0
    for name, module in modules.items():
        price = getattr(module, "price", None)
        if price is not None:
            passes += price(shown.sizes, params_of(recipe, name))
        else:
            beside += shown.sizes["test"] * (RESAMPLED + RESAMPLED_CLASS * shown.classes)
        beside += BESIDE
    return passes, beside
