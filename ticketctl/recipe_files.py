"""Recipe files: finding, reading, laying one over another, and checking the result.

Precedence, lowest first: the defaults in `ticketctl.recipe`, `base/<model>-<data>`, the draw's or spend's recipe,
`--recipe` and its parents, `--set`, flags. An unknown key or a value of the wrong kind is refused, with the near miss.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe import DrawSpec, Recipe
from ticketctl.recipe_base import fault, others, shown
from ticketctl.shipped import room
from ticketctl.store.expand import expanded

OWN = ("summary", "source", "expected")
"""What a recipe says of itself alone: a child with other values does not claim its parent's results."""


TABLES = ("table-", "figure-")
"""How the names of files begin that hold a table or figure of a paper, and no recipe."""

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)+")


def recipe_names() -> list[str]:
    """All shipped recipes, as users name them: `base/lenet-300-100-digits`."""
    return [name for name in _shipped() if not _is_table(name)]


def table_names() -> list[str]:
    """All shipped tables and figures of papers: `papers/001-toast/table-a2`."""
    return [name for name in _shipped() if _is_table(name)]


@cache
def _shipped() -> tuple[str, ...]:
    """Walked once: a table of a paper asks for every cell, and no file comes while the program runs."""
    shipped = room("recipes")
    names = (path.relative_to(shipped).with_suffix("").as_posix() for path in shipped.rglob("*.toml"))
    return tuple(sorted(names))


def _is_table(name: str) -> bool:
    return name.startswith("papers/") and name.rpartition("/")[2].startswith(TABLES)


def read_recipe(name: str) -> dict[str, Any]:
    """The tables of a recipe file or shipped recipe, merged over those it extends.

    Raises:
        UsageError: no such recipe, not TOML, or parents that go in a circle.
    """
    return _read(name, ())


def _read(name: str, below: tuple[str, ...]) -> dict[str, Any]:
    if name in below:
        raise UsageError(f"recipe {name}: extends itself, by way of {' -> '.join(below)}")
    tables = _tables(_find(name), name)
    parent = tables.pop("extends", None)
    if parent is None:
        return tables
    if not isinstance(parent, str):
        raise UsageError(f"recipe {name}: extends names one recipe, as text")
    merged = lay(_read(parent, (*below, name)), tables)
    own = {key: tables[key] for key in OWN if key in tables}
    return {**{key: value for key, value in merged.items() if key not in OWN}, **own}


def _find(name: str) -> Path:
    if name.endswith(".toml") and (path := expanded(name)).is_file():
        return path
    shipped = room("recipes") / f"{name}.toml"
    if _PLAIN.fullmatch(name) and not _is_table(name) and shipped.is_file():
        return shipped  # without listing hundreds of others
    if name not in recipe_names():
        if name in table_names():
            raise UsageError(
                f"{name} is a table of a paper, not a recipe (ticketctl recipes --tables; ticketctl compare --paper)"
            )
        if name.endswith(".toml"):
            raise UsageError(
                f"no recipe {name!r}: there is no such file (shipped recipes are named without .toml)"
            )
        raise UsageError(
            f"no recipe {name!r}; {near_miss(name, recipe_names())} (a file of your own ends in .toml)"
        )
    return shipped


def _tables(path: Path, name: str) -> dict[str, Any]:
    try:
        found = deepcopy(_parsed(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise UsageError(f"recipe {name}: not readable TOML: {error}") from None
    try:
        return flat_draw(found)
    except UsageError as error:
        raise UsageError(f"recipe {name}: {error}") from None


@lru_cache(maxsize=64)
def _parsed(text: str) -> dict[str, Any]:
    """Read once: each cell of a paper's table starts from the same few recipes. Not to be changed."""
    return tomllib.loads(text)


def lay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As `merge`; besides, a density in `over` replaces rounds, and rounds alone a density below: one says how far.

    So rounds that nothing reads are in no record, and change no name.

    Raises:
        UsageError: as `flat_draw`.
    """
    merged, said = merge(under, over), over.get("draw")
    if not isinstance(said, Mapping):
        return merged
    hidden = "rounds" if "density" in said else "density" if "rounds" in said else None
    merged["draw"] = {key: value for key, value in merged["draw"].items() if key != hidden}
    if isinstance(merged.get("sources"), Mapping):
        merged["sources"] = {
            key: value for key, value in merged["sources"].items() if key != f"draw.{hidden}"
        }
    return merged


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`, table by table, a method's keys in `[draw]`; neither is changed.

    Raises:
        UsageError: as `flat_draw`.
    """
    return _merged(flat_draw(under), flat_draw(over))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def assignments(items: Sequence[str]) -> dict[str, Any]:
    """Tables from `--set train.lr=0.05` items. A value is TOML; what is no TOML value is taken as text.

    Raises:
        UsageError: no `=`, or an empty key; a method's key in both its spellings with different values.
    """
    tables: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UsageError(f"--set {item!r}: write KEY=VALUE, for example --set train.lr=0.05")
        nested: Any = _value(text)
        for part in reversed(parts):
            nested = {part: nested}
        tables = _merged(tables, nested)
    return flat_draw(tables)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()


def parse_recipe(tables: Mapping[str, Any], *, where: str) -> Recipe:
    """Check merged tables and make the recipe.

    Raises:
        UsageError: an unknown key (with the near miss), a missing one, or a value of the wrong kind, with its place.
    """
    tables = flat_draw(tables)
    if isinstance(tables.get("draw"), Mapping):
        tables["draw"] = _with_params(tables["draw"])
    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        missing = "{key} is not given; add --set {key}=… or a --recipe that has it"
        raise UsageError(f"{where}: {fault(error, Recipe, missing=missing)}{others(error)}") from None


def flat_draw(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with a method's keys in `[draw]` itself, where users write them: records have them in `draw.params`.

    Those that are called like a key of all methods stay where they are.

    Raises:
        UsageError: a key stands in both places with different values.
    """
    draw = tables.get("draw")
    params = draw.get("params") if isinstance(draw, Mapping) else None
    if not isinstance(draw, Mapping) or not isinstance(params, Mapping):
        return dict(tables)
    own = {key: value for key, value in params.items() if key not in DrawSpec.model_fields}
    for key, value in own.items():
        if key in draw and str(draw[key]) != str(value):
            raise UsageError(
                f"draw.{key} is {shown(draw[key])} and draw.params.{key} is {shown(value)}; the two are one key, "
                "say it once"
            )
    rest = {key: value for key, value in params.items() if key not in own}
    kept = {key: value for key, value in draw.items() if key != "params"}
    return {**tables, "draw": {**kept, **own, **({"params": rest} if rest else {})}}


def _with_params(draw: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of `[draw]` that are not common to all methods belong to the method, which checks them itself."""
    common = {key: value for key, value in draw.items() if key in DrawSpec.model_fields and key != "params"}
    own = {key: value for key, value in draw.items() if key not in DrawSpec.model_fields}
    params = draw.get("params", {})
    return {**common, "params": {**params, **own} if isinstance(params, Mapping) else params}
