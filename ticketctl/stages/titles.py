"""What draws are called beside each other. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import Draw
from ticketctl.stages.apart import fewest
from ticketctl.stages.data_names import data_names
from ticketctl.stages.repeat import settings


def draw_titles(draws: Iterable[Draw]) -> dict[Draw, str]:
    """Of each draw method, density, net and data, then as few keys as tell those apart that are alike so far, and seed.

    Args:
        draws: all that stand beside each other.
    """
    known = list(draws)
    called = data_names(draw.recipe.data.name for draw in known)
    alike: dict[str, dict[Path, Recipe]] = {}
    for draw in known:
        head = _head(draw.recipe, called[draw.recipe.data.name])
        alike.setdefault(head, {})[draw.folder.parent] = draw.recipe
    heads = {
        folder: ", ".join([head, *words])
        for head, recipes in alike.items()
        for folder, words in _apart(recipes).items()
    }
    return {draw: f"{heads[draw.folder.parent]}, seed {draw.seed}" for draw in known}


def _head(recipe: Recipe, data: str) -> str:
    method = recipe.draw.method if recipe.draw else "dense"
    deep = recipe.draw.density if recipe.draw else None
    to = f" to {100 * float(deep):.3g} %" if deep is not None else ""
    return f"{method}{to}, {recipe.model.name} on {data}"


def _apart(recipes: dict[Path, Recipe]) -> dict[Path, list[str]]:
    """`KEY=VALUE` by which each differs from the others."""
    if len(recipes) == 1:
        return {folder: [] for folder in recipes}
    texts = [settings({}, recipe.record()) for recipe in recipes.values()]
    words = {number: dict(text.split("=", 1) for text in own) for number, own in enumerate(texts)}
    keys = fewest(words, {number: repr(own) for number, own in words.items()})
    return {
        folder: [f"{key}={words[number][key]}" for key in keys if key in words[number]]
        for number, folder in enumerate(recipes)
    }
