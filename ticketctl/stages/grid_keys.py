"""Keys of recipes that a grid says, and whose they are: the draw's, the spend's, or a tweak's. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import plugins
from ticketctl.recipe_files import OWN, flat_draw, read_recipe
from ticketctl.stages.agenda import SPENT, Use
from ticketctl.stages.grid_axes import unknown_recipe
from ticketctl.stages.grid_spec import OF_DRAW, TWEAKED, GridSpec
from ticketctl.stages.repeat import settings
from ticketctl.stages.resolving import texts
from ticketctl.stages.tweaking import NONE, Names, tweak_set
from ticketctl.store.expand import expanded

SPEND_RECIPES = ("spend/", "papers/")
"""Recipes that are for the axis `spend`."""


def check_recipe(name: str, kinds: tuple[str, ...], words: tuple[str, ...] = ()) -> None:
    """Refuse a shipped recipe that is not there, with the nearest of those that fit.

    Args:
        name: a recipe's; a file ends in .toml, and is looked for elsewhere.
        kinds: how the names of those begin that fit.
        words: that may stand there, too.

    Raises:
        UsageError: there is none of this name.
    """
    if why := unknown_recipe(name, kinds, words):
        raise UsageError(why)


def check_place(data: str) -> None:
    """Refuse data behind a colon that are not there; where there is no colon, `--data-dir` may say where they lie.

    Args:
        data: a data set's name, as `imagefolder:PATH`.

    Raises:
        UsageError: nothing is there.
    """
    base, _, target = data.partition(":")
    found = plugins("data").get(base)
    if target and found is not None and f"{base}:PATH" in found.help and not expanded(target).exists():
        raise UsageError(f"data {data}: there is no {target}")


def texts_of(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """As `--set` has them; what was written as text stays as it is, which may be a number there."""
    said = {key: value for key, value in keys.items() if not isinstance(value, str)}
    lists = {key: [_number(one) for one in value] for key, value in said.items() if isinstance(value, tuple)}
    return (
        *(f"{key}={value}" for key, value in keys.items() if isinstance(value, str)),
        *texts({**said, **lists}),
    )


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def keys_of(tweaks: Names, keys: Iterable[str]) -> tuple[str, ...]:
    """The keys without those of tweaks that are not spent here."""
    own = tuple(f"tweaks.{name}." for name in tweaks)
    return tuple(text for text in keys if not text.startswith("tweaks.") or text.startswith(own))


def spending(labels: Mapping[str, str]) -> tuple[Names, tuple[str, ...]]:
    """Tweaks and keys of the spend: of the axes `tweaks` and `spend`.

    Raises:
        UsageError: no such tweak or recipe, no KEY=VALUE, or a key of a tweak that is not spent.
    """
    words, name = [labels.get("tweaks", NONE)], labels.get("spend", NONE)
    if name == NONE:
        return tweak_set(words), ()
    if "=" in name:
        tweaks, keys = tweak_set(words), tuple(_pairs(name))
        if odd := next((key for key in keys if key not in keys_of(tweaks, keys)), None):
            raise UsageError(
                f"spend {name!r}: {odd} is a key of a tweak that is not spent; it belongs to tweaks"
            )
        return tweaks, keys
    check_recipe(name, SPEND_RECIPES, (NONE,))
    tables = {key: table for key, table in read_recipe(name).items() if key not in (*OWN, "sources", "draw")}
    theirs = tables.get("spend", {}).get("tweaks", [])
    own = settings({}, flat_draw(tables))
    kept = tuple(text for text in own if not text.startswith("spend.tweaks="))
    return tweak_set([*words, *theirs]), kept


def _pairs(text: str) -> Iterator[str]:
    """`train.lr=0.05; train.epochs=10`: several are parted by semicolons, for values have commas.

    Raises:
        UsageError: something is no KEY=VALUE, or no spend's, or stands there twice.
    """
    known = set[str]()
    for part in text.split(";"):
        key, sign, _ = (word.strip() for word in part.partition("="))
        if not sign or "." not in key:
            near = near_miss(key, SPENT)
            raise UsageError(f"spend {text!r}: {part.strip()!r} is no KEY=VALUE of a recipe; {near}")
        if key == "data.name" or (key.startswith(("draw.", "model.")) and key != "model.init"):
            raise UsageError(f"spend {text!r}: {key} {OF_DRAW}")
        if key == "spend.tweaks":
            raise UsageError(f"spend {text!r}: {TWEAKED}")
        if key in known:
            raise UsageError(f"spend {text!r}: {key} stands there twice")
        known.add(key)
        yield part.strip()


def check_tweaked(grid: GridSpec, uses: Iterable[Use]) -> None:
    """Refuse keys of a tweak that nothing is spent with.

    Raises:
        UsageError: names the first.
    """
    spent = {name for use in uses for name in use.tweaks}
    for key in (*grid.sets, *grid.axes):
        table, _, rest = key.partition(".")
        if table == "tweaks" and rest and rest.partition(".")[0] not in spent:
            raise UsageError(
                f"{key}: no combination is spent with it; {near_miss(rest.partition('.')[0], spent)}"
            )
