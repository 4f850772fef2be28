"""What the axes of a grid say of recipes, and whether something is said twice. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from ticketctl.errors import near_miss
from ticketctl.recipe import Recipe
from ticketctl.recipe_base import exact, fields_of
from ticketctl.recipe_files import assignments, recipe_names, table_names
from ticketctl.stages.tweaking import NONE

Scalar = str | bool | int | Decimal
AXES = ("model", "data", "method", "recipe", "density", "sparsity", "level", "tweaks", "spend")
"""Axes that are no recipe keys."""
DEPTHS = ("density", "sparsity", "level")
"""Of these a grid has one at most."""
SETTLES = {
    "model": ("model.name",),
    "data": ("data.name",),
    "method": ("draw.method",),
    "density": ("draw.density", "draw.rounds"),
    "sparsity": ("draw.density", "draw.rounds"),
}
"""The recipe keys that nobody reads beside such an axis, which says the same."""


def check_axes(axes: Mapping[str, Sequence[Scalar]]) -> None:
    """Refuse axes that there are not, or that say one thing, and values that say nothing or stand there twice.

    Raises:
        ValueError: says which.
    """
    for name, values in axes.items():
        if name not in AXES and "." not in name:
            near = near_miss(name, AXES)
            raise ValueError(f"axes: no axis {name!r}; {near} (or a recipe key, as train.lr)")
        if not values:
            raise ValueError(f"axes.{name}: no value; write at least one")
        _check_values(name, [plain(value) for value in values])
    depths = [name for name in DEPTHS if name in axes]
    if len(depths) > 1:
        raise ValueError(f"axes: {' and '.join(depths)} say one thing; keep one of them")
    beside = [name for name in ("model", "data") if name in axes]
    if "recipe" in axes and beside:
        raise ValueError(f"axes: recipe stands in place of {' and '.join(beside)}; keep one of them")


def check_said_once(axes: Collection[str], sets: Iterable[str]) -> None:
    """Refuse recipe keys that two axes say, or an axis and `sets`, whatever they are called there.

    Raises:
        ValueError: names both.
    """
    said: dict[str, str] = {}
    for name in axes:
        for key in SETTLES.get(name, () if name in AXES else (name.strip(),)):
            if (other := _met(key, said)) is not None and said[other] != name:
                raise ValueError(f"axes: {said[other]} and {name} say one thing; keep one of them")
            said[key] = name
    own: dict[str, str] = {}
    for name in sets:
        key = name.strip()
        if (other := _met(key, said)) is not None:
            called = "" if said[other] == name else f", as {said[other]},"
            raise ValueError(f"{name}: stands in axes{called} and in sets; keep one of them")
        if (other := _met(key, own)) is not None:
            raise ValueError(f"sets: {own[other]!r} and {name!r} say one thing; keep one of them")
        own[key] = name


def _met(key: str, said: Iterable[str]) -> str | None:
    """The key among those that is this one, or a table of it, or in it."""
    return next(
        (one for one in said if f"{one}.".startswith(f"{key}.") or f"{key}.".startswith(f"{one}.")), None
    )


def check_key(where: str, key: str) -> None:
    """Refuse a key that no recipe has; those of plug-ins are theirs to check.

    Args:
        where: the table of the grid that has it.
        key: of a recipe.

    Raises:
        ValueError: the first part of it that is unknown, with the near miss.
    """
    place = key.split(".")
    for many, part in enumerate(place):
        known = fields_of(Recipe, place[:many])
        if not known or place[:many] == ["draw"]:  # a method's own keys stand there
            return
        if part not in known:
            raise ValueError(f"{where}: no key {'.'.join(place[: many + 1])}; {near_miss(part, known)}")


@cache
def unknown_recipe(name: str, kinds: tuple[str, ...], words: tuple[str, ...] = ()) -> str:
    """That there is no shipped recipe of this name, with the nearest of those that fit; "" where there is.

    Asked once for each name: a grid has many combinations, and few recipes.

    Args:
        name: a recipe's; a file ends in .toml, and is looked for elsewhere.
        kinds: how the names of those begin that fit.
        words: that may stand there, too.
    """
    names = recipe_names()
    if name.endswith(".toml") or name in names or name in table_names():
        return ""
    fitting = [known for known in names if known.startswith(kinds)]
    near = next(
        (hint for word in words if "?" in (hint := near_miss(name, [word]))), near_miss(name, fitting)
    )
    return f"no recipe {name!r}; {near} (a file of your own ends in .toml)"


def plain(value: Scalar) -> str:
    """As it is written in labels."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def density_in(name: str, text: str) -> Fraction:
    """Kept share of the prunable weights, in (0, 1].

    Args:
        name: density or sparsity.
        text: as it is written there.

    Raises:
        ValueError: no number, or outside.
    """
    try:
        value = exact(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"axes.{name}: {text!r} is no number") from None
    density = value if name == "density" else 1 - value
    if not 0 < density <= 1:
        raise ValueError(f"axes.{name}: {text}: a share of the weights is wanted, as 0.05 for 5 %")
    return density


def _check_values(name: str, values: Sequence[str]) -> None:
    known: dict[Hashable, str] = {}
    for text in values:
        if name in AXES and not text.strip(" ,"):
            way = f"; write {NONE}" if name in ("tweaks", "spend") else ""
            raise ValueError(f"axes.{name}: {text!r} names nothing{way}")
        meaning = _meaning(name, text)
        if meaning in known:
            both = "" if known[meaning] == text else f", as {known[meaning]} and as {text}"
            raise ValueError(f"axes.{name}: a value stands there twice{both}")
        known[meaning] = text


def _meaning(name: str, text: str) -> Hashable:
    """What is the same for values that say the same in other words, as far as these alone tell."""
    if name in ("density", "sparsity"):
        return density_in(name, text)
    if name == "level":
        return int(text) if text.isdecimal() else text
    if name == "tweaks":
        return frozenset(part.strip() for part in text.split(",")) - {"", NONE}
    if name == "spend" and "=" in text:
        parts = (part.partition("=") for part in text.split(";"))
        return frozenset((key.strip(), _parsed(value)) for key, _, value in parts)
    return _parsed(text) if "." in name else text


def _parsed(text: str) -> Hashable:
    """The value that `--set` would read."""
    return frozen(assignments([f"value={text}"])["value"])


def frozen(value: Any) -> Hashable:
    """The value of a key, so that equal ones are found."""
    if isinstance(value, Mapping):
        return frozenset((key, frozen(own)) for key, own in value.items())
    if isinstance(value, list):
        return tuple(map(frozen, value))
    return (bool, value) if isinstance(value, bool) else value  # Python takes True for 1
