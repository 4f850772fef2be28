"""Recipes behind the rows of a table, as `ticketctl draw` would resolve them. Nothing here imports torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from ticketctl.recipe import Recipe
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.request import Typed, draw_recipe
from ticketctl.stages.tweaking import check_tweaks

Resolve = Callable[..., Recipe]


def resolver(data: str | None, scale: Fraction | None) -> Resolve:
    """`resolve(name, sets, density=…, rounds=…)`: the recipe as `ticketctl draw` would have it.

    Args:
        data: stands in place of the recipe's data set.
        scale: stretches every recipe.
    """

    @cache
    def resolve(
        name: str, sets: tuple[str, ...], density: Fraction | None = None, rounds: int | None = None
    ) -> Recipe:
        own = (*_unmeasured(name), *sets)
        typed = Typed(recipe=name, data=data, sets=own, density=density, rounds=rounds)
        recipe = draw_recipe(typed).recipe.scaled(scale=scale)  # with a table's own sets: nobody typed them
        check_tweaks(recipe)
        return recipe

    @cache
    def _unmeasured(name: str) -> tuple[str, ...]:
        """Means and deviations of other data than those that stand for them are nobody's."""
        own = read_recipe(name).get("data", {})
        if data in (None, own.get("name")):
            return ()
        return tuple(f"data.{key}=[]" for key in ("mean", "std") if own.get(key))

    return resolve


def texts(sets: Mapping[str, Any]) -> tuple[str, ...]:
    """`KEY=VALUE`; a number that was written as text is read as one where a number belongs."""
    return tuple(f"{key}={_text(value)}" for key, value in sets.items())


def _text(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else json.dumps(value)
