"""The command line that repeats a draw or a spend, with every choice written out. Nothing here imports torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.plugins import is_own
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import assignments
from ticketctl.stages.request import Typed, draw_recipe
from ticketctl.stages.tweaking import NONE
from ticketctl.tomltext import toml_text


def draw_line(typed: Typed, recipe: Recipe, seeds: Sequence[int], rest: Sequence[str]) -> str:
    """`ticketctl draw …`, with `--set` for all that differs from what its base and its method's recipe give.

    Args:
        typed: what was typed; its `--recipe` is named again only where model and data have no base.
        recipe: what came of it.
        seeds: the seeds.
        rest: options that shape no recipe: where to write, where the data lie.
    """
    assert recipe.draw is not None
    named = Typed(model=recipe.model.name, data=recipe.data.name, method=recipe.draw.method)
    try:
        given = draw_recipe(named).recipe
    except UsageError:
        named = replace(named, recipe=typed.recipe)
        given = draw_recipe(named).recipe
    words = ["--method", recipe.draw.method, "--model", recipe.model.name, "--data", recipe.data.name]
    words += ["--recipe", str(named.recipe)] if named.recipe else []
    return _line("draw", [*words, *_seeds(seeds), *rest], settings(given.record(), recipe.record()))


def spend_line(
    ticket: Path,
    levels: Sequence[int],
    seeds: Sequence[int],
    given: Recipe,
    recipe: Recipe,
    rest: Sequence[str],
    sets: Sequence[Sequence[str]] = (),
) -> str:
    """`ticketctl spend …`, with `--set` for all that differs from the draw's recipe `given`.

    `sets` are the tweak sets of `--tweaks`; where there are any, nobody reads `spend.tweaks`, so it is left out.
    """
    sections = ("model", "data", "train", "spend", "keep", "seeds", "tweaks")
    changed = settings(given.record(*sections), recipe.record(*sections))
    changed = [item for item in changed if not (sets and item.startswith("spend.tweaks="))]
    if is_own("nets", recipe.model.name):  # a ticket alone runs no code: see check_trust
        changed = [f"model.name={recipe.model.name}", *changed]
    words = [str(ticket), "--level", ",".join(map(str, levels)), *_seeds(seeds)]
    tweaks = [word for names in sets for word in ("--tweaks", ",".join(names) or NONE)]
    return _line("spend", [*words, *rest, *tweaks], changed)


def settings(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """`KEY=VALUE` for every leaf of `wanted` that is not the same in `given`."""
    before = _leaves(given)
    return [
        f"{key}={_text(key, value)}"
        for key, value in _leaves(wanted).items()
        if key not in before or before[key] != value
    ]


def _line(command: str, words: Sequence[str], changed: Sequence[str]) -> str:
    return shlex.join(["ticketctl", command, *words, *(word for item in changed for word in ("--set", item))])


def _seeds(seeds: Sequence[int]) -> list[str]:
    return ["--seed", ",".join(map(str, seeds))]


def _leaves(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted key; a method's own keys stand in `[draw]` itself, where `--set` reaches them."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        place = prefix if prefix == "draw." and key == "params" else f"{prefix}{key}."
        found |= _leaves(value, place) if isinstance(value, Mapping) else {place[:-1]: value}
    return found


def _text(key: str, value: Any) -> str:
    """The value as `--set` reads it back, without quotes where they are not needed."""
    plain = str(value)
    if isinstance(value, str) and assignments([f"{key}={plain}"]) == assignments([f"{key}={_toml(value)}"]):
        return plain
    return _toml(value)


def _toml(value: Any) -> str:
    return toml_text({"value": value}).removeprefix("value = ").rstrip("\n")
