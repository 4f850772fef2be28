"""By what rows of a comparison are told apart: keys of the recipe whose values really differ, as users write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

from ticketctl.plugins import defaults
from ticketctl.recipe import DrawSpec, ModelSpec, SpendSpec, TrainSpec
from ticketctl.recipe_base import Spec
from ticketctl.recipe_data import DataSpec, DropSpec, NoiseSpec, SubsetSpec
from ticketctl.stages.recorded import Settings, read_by, same, shown

if TYPE_CHECKING:
    from ticketctl.stages.compare import Group

DRAWN = "drawn with"
"""Begins keys of the training that found the mask."""
SPECS: dict[str, type[Spec]] = {
    "model": ModelSpec,
    "data": DataSpec,
    "train": TrainSpec,
    "draw": DrawSpec,
    "spend": SpendSpec,
}
TABLES: dict[str, type[Spec]] = {"data.noise": NoiseSpec, "data.subset": SubsetSpec, "data.drop": DropSpec}
"""Tables that a recipe may do without."""
ORDER = ("tweaks", "train", "data", "model", "draw", "spend", DRAWN)
FOLDED, LONG, LISTED = 3, 24, 2
"""Keys of a row that a table shows, signs of a value, and items of a list."""
NONE = "none"
Usual = Callable[[str, str], str]
"""The default of a key, under a draw method."""


def changes(groups: Sequence[Group]) -> list[dict[str, str]]:
    """Of each group the recipe keys by which it is told from others of its net and data, with what took effect.

    Keys of the draw are told apart within its method; keys of a tweak among the groups that have it. `drawn with
    train.batch` is what the training that found the mask had; `drawn with` is "unknown" where no ticket lies beside
    the run.
    """
    known: dict[tuple[str, str], set[str]] = {}
    for group in groups:
        known.setdefault((group.net, group.data), set()).update(group.settings)
    usual = cache(_usual)
    words = [
        _words(group.settings, group.method, group.tweaks, known[group.net, group.data], usual)
        for group in groups
    ]
    scopes: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for group, word in zip(groups, words, strict=True):
        for scope in ("", group.method, *([DRAWN] if group.method != "dense" else [])):
            scopes.setdefault((group.net, group.data, scope), []).append(word)
    apart = cache(lambda scope, key, own: _apart(scopes[scope], key, own))
    shared = cache(lambda scope, key, own: _shared(scopes[scope], key, own))

    def told_by(group: Group, word: Mapping[str, str]) -> dict[str, str]:
        scope = partial(_scope, group=group)
        keys = [key for key in word if apart(scope(key), key, word[key])]
        # a table shows the first few: those that the fewest others have, or rows would look alike
        keys.sort(key=lambda key: (shared(scope(key), key, word[key]), _place(key)))
        return {key: word[key] for key in keys}

    return [told_by(group, word) for group, word in zip(groups, words, strict=True)]


def departed(ours: Settings, theirs: Settings, method: str) -> dict[str, str]:
    """The keys by which settings differ from those of a draw by `method` ("dense": none), with what took effect.

    Keys of tweaks aside: a draw has none.
    """
    known, usual = {**theirs, **ours}, cache(_usual)
    run, draw = (_words(said, method, (), known, usual) for said in (ours, theirs))
    return {key: run[key] for key in sorted(run, key=_place) if _apart([draw], key, run[key])}


def _scope(key: str, group: Group) -> tuple[str, str, str]:
    """The groups among which a key is told apart."""
    own = group.method if key.startswith(("draw.", f"{DRAWN} ")) else DRAWN if key == DRAWN else ""
    return group.net, group.data, own


def _apart(among: Sequence[Mapping[str, str]], key: str, own: str) -> bool:
    if any(key not in word for word in among) and _lacks_table(key, own):
        return True
    values = {word[key] for word in among if key in word}
    if key == "data.noise.kind" and own == _text(NoiseSpec.model_fields["kind"].default):
        values -= {NONE}  # the rate tells such a row from those
    return any(not same(own, value) for value in values)


def _shared(among: Sequence[Mapping[str, str]], key: str, own: str) -> int:
    """How many groups have a value."""
    return sum(key in word and same(own, word[key]) for word in among)


def _lacks_table(key: str, own: str) -> bool:
    """Whether a key sets a group apart from one that has it not: keys of a table do, but for those at their default."""
    table = _table_of(key)
    if key == DRAWN or key in TABLES:
        return True
    field = TABLES[table].model_fields.get(key.removeprefix(f"{table}.")) if table else None
    return bool(table) and (field is None or own != _text(field.default))


def _table_of(key: str) -> str:
    return next((table for table in TABLES if key.startswith(f"{table}.")), "")


def _place(key: str) -> tuple[int, str]:
    section = key[: len(DRAWN)] if key.startswith(DRAWN) else key.partition(".")[0]
    return ORDER.index(section) if section in ORDER else len(ORDER), key


# ------------------------------------------------------------------------------------------------------- the words


def _words(
    said: Settings, method: str, tweaks: Sequence[str], known: Iterable[str], usual: Usual
) -> dict[str, str]:
    """All keys that a training of these settings reads, of those that some group has said, in a user's words."""
    words = {
        key: said.get(key) or usual(key, method) or NONE
        for key in known
        if _read(key, said, method, tweaks, usual)
    }
    for table in {_table_of(key) for key in known} - {"", *map(_table_of, said)}:
        words |= _without(table)
    if method == "dense":
        return words
    if "search" in said:
        return words | {DRAWN: said["search"]}
    searched = {key for key in known if key.startswith("search.")}
    return words | {
        f"{DRAWN} {key.removeprefix('search.')}": said.get(key, words.get(key.removeprefix("search."), NONE))
        for key in searched
    }


def _read(key: str, said: Settings, method: str, tweaks: Sequence[str], usual: Usual) -> bool:
    """Whether the training has the key, said or not."""
    section, _, rest = key.partition(".")
    if key.startswith("search") or key == "draw.method":
        return False
    if section == "tweaks":
        return rest.partition(".")[0] in tweaks
    if section in ("draw", "spend"):
        own = method != "dense" and (key in said or usual(key, method) != "")
        return own and read_by(key, said)
    if _table_of(key):
        return key in said
    return key in said or read_by(key, said)


def _without(table: str) -> dict[str, str]:
    """How a row says that it does without."""
    return {"data.noise.kind": NONE} if table == "data.noise" else {table: NONE}


def _usual(key: str, method: str) -> str:
    """The default of a key that was not said; "" where the recipe's grammar has no such key."""
    section, _, name = key.partition(".")
    if section == "tweaks":
        tweak, _, own = name.partition(".")
        return _text(defaults("tweaks", tweak).get(own))
    fields = SPECS[section].model_fields if section in SPECS else {}
    if name in fields:
        return _text(fields[name].default)
    usual = defaults("draws", method) if section == "draw" else {}
    return _text(usual[name]) if name in usual else ""


def _text(value: Any) -> str:
    """A default as a manifest would have it."""
    if value is None or value is PydanticUndefined:
        return NONE
    if isinstance(value, str | Fraction):
        return str(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value)


# -------------------------------------------------------------------------------------------------------- for tables


def told(found: Mapping[str, str]) -> str:
    """All keys with their values: `train.epochs=2, data.noise.rate=0.4`."""
    return ", ".join(_pairs(found, shown))


def folded(found: Mapping[str, str]) -> str:
    """The same for a narrow column: three keys and the number of the others, long values cut."""
    pairs = _pairs(found, _short)
    more = len(pairs) - FOLDED
    return ", ".join([*pairs[:FOLDED], f"and {more} more"] if more > 1 else pairs)


def _pairs(found: Mapping[str, str], form: Callable[[str], str]) -> list[str]:
    """Without keys whose value is empty, as the widths of a net that has its usual ones."""
    return [_pair(key, value) for key, full in found.items() if (value := form(full))]


def _pair(key: str, value: str) -> str:
    return f"its draw {value}" if key == DRAWN else f"{key}={value}"


def _short(value: str) -> str:
    text = shown(value)
    items = text.split(",")
    if value.startswith("[") and len(items) > LISTED and len(text) > LONG:
        return f"{','.join(items[:LISTED])},... ({len(items)})"
    return text if len(text) <= LONG else f"{text[: LONG - 9]}..."
