"""Which tweaks a spend names: groups, combinations, keys. Torch is imported only to check the
values of keys, where some are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import defaults, keys, load, plugins
from ticketctl.recipe import Recipe
from ticketctl.stages.params import check_tweak, checked

GROUPS = {
    "at": ("skip", "swish"),
    "trt": ("ls", "scaled-init"),
    "at+trt": ("skip", "swish", "ls", "scaled-init"),
}
"""Paper 001's: architecture tweaks, training tweaks, both."""

NONE = "none"
"""How the spend without tweaks is typed."""

DENSE = "dense"
"""The teacher that is the dense run of the same seed."""

Names = tuple[str, ...]


def tweak_set(words: Sequence[str]) -> Names:
    """The tweaks that `words` mean, each once, in the order in which they are asked: the order typed means nothing.

    Raises:
        UsageError: no such tweak (says the near miss), or two that make no sense together (says why).
    """
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    named = {name for part in parts if part != NONE for name in GROUPS.get(part, (part,))}
    known = plugins("tweaks")
    for name in sorted(named - known.keys()):
        raise UsageError(f"no tweak named {name!r}; {near_miss(name, [*known, *GROUPS])}")
    for one, other in permutations(sorted(named), 2):
        reason = literal(one, "EXCLUDES", {}).get(other)
        if reason is not None:
            raise UsageError(f"tweaks {one} and {other} exclude each other: {reason}")
    sequels = [name for name in sorted(named) if literal(name, "AFTER", False)]
    if len(sequels) > 1:
        raise UsageError(
            f"tweaks {sequels[0]} and {sequels[1]} both begin where another spend ended; spend one"
        )
    return tuple(sorted(named, key=lambda name: (literal(name, "RANK", 0), name)))


def literal(name: str, constant: str, default: Any) -> Any:
    """What the module of tweak `name` says of itself."""
    return plugins("tweaks")[name].literals.get(constant, default)


def changes(name: str) -> str:
    """What the tweak changes: net, loss, gradient, weights, mask, start or course; "" if it does not say."""
    known = plugins("tweaks")
    return known[name].facts.get("changes", "") if name in known else ""


def needs_mask(name: str) -> bool:
    """Whether the tweak means nothing for a dense net."""
    return changes(name) == "mask" or literal(name, "AFTER", False)


def sets_of(recipe: Recipe, typed: Sequence[str]) -> list[Names]:
    """All tweak sets of a spend, the plain one first if it is among them.

    Args:
        recipe: `spend.tweaks`, `spend.vanilla` and `spend.attribution` are read.
        typed: one text for each `--tweaks`; they win over `spend.tweaks`.

    Raises:
        UsageError: as `tweak_set`; or attribution of nothing.
    """
    wanted = asked_sets(recipe, typed)
    found: list[Names] = [()] if recipe.spend.vanilla or recipe.spend.attribution else []
    for names in wanted:
        if recipe.spend.attribution:
            found += [(name,) for name in names]
        found.append(names)
    if recipe.spend.attribution and not any(wanted):
        raise UsageError("spend.attribution tells what tweaks bring; name some with --tweaks")
    return list(dict.fromkeys(found))


def asked_sets(recipe: Recipe, typed: Sequence[str]) -> list[Names]:
    """The tweak sets that were asked for by name; see `sets_of`, which adds what an attribution wants beside them."""
    for words in typed:
        if not words.strip(" ,"):
            raise UsageError(f"--tweaks {words!r} names no tweak; leave it out, or write --tweaks none")
    return [tweak_set([words]) for words in typed] or [tweak_set(recipe.spend.tweaks)]


def recipe_with(recipe: Recipe, names: Names) -> Recipe:
    """The recipe of one job: with these tweaks and their keys alone, whatever else the spend asks for."""
    spend = recipe.spend.model_copy(
        update={"tweaks": names, "dense": True, "vanilla": True, "attribution": False, "small": False}
    )
    tables = {name: table for name, table in without_defaults(recipe.tweaks).items() if name in names}
    return recipe.model_copy(update={"spend": spend, "tweaks": tables})


def without_defaults(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The keys of tweaks that are not at their defaults: saying a default changes nothing, the run's place included."""
    found: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        usual = defaults("tweaks", name)
        said = {
            key: value for key, value in table.items() if key not in usual or not _same(value, usual[key])
        }
        found |= {name: said} if said else {}
    return found


def _same(value: Any, usual: Any) -> bool:
    if isinstance(value, bool) or isinstance(usual, bool) or value is None or usual is None:
        return value is usual
    if isinstance(usual, Fraction):
        try:
            return Fraction(str(value)) == usual
        except (ValueError, ZeroDivisionError):
            return False
    return bool(
        (list(value) if isinstance(value, tuple) else value)
        == (list(usual) if isinstance(usual, tuple) else usual)
    )


def epochs_of(recipe: Recipe) -> int:
    """Of the training of its last tweak: what `train.epochs` makes of it. Imports the tweaks that change it."""
    names = recipe.spend.tweaks
    if any(literal(name, "STEPS", None) == 0 for name in names):
        return 0
    epochs = recipe.train.epochs
    for name in names:
        if literal(name, "LENGTH", False):
            module = load("tweaks", name)
            params = checked(module.Params, recipe.tweaks.get(name, {}), f"tweaks.{name}")
            epochs = module.length(epochs, params)
    return epochs


def check_keys(recipe: Recipe, *, values: bool = True) -> None:
    """Refuse tables and keys that no tweak has, and `values` that their tweak refuses whatever net and data are.

    Raises:
        UsageError: says the near miss, or what is right.
    """
    known = plugins("tweaks")
    for name, table in recipe.tweaks.items():
        if name not in known:
            raise UsageError(f"[tweaks.{name}]: no such tweak; {near_miss(name, known)}")
        own = keys("tweaks", name)
        for key in table:
            if key not in own:
                raise UsageError(f"tweaks.{name}.{key}: {name} has no such key; {near_miss(key, own)}")
    for name, table in recipe.tweaks.items():
        if table and values:
            check_tweak(name, table)


def check_tweaks(recipe: Recipe) -> None:
    """As `check_keys`, for the `spend.tweaks` of a draw's recipe, which is its spends' too.

    Raises:
        UsageError: says the near miss, or what is right.
    """
    tweak_set(recipe.spend.tweaks)
    check_keys(recipe)


def without_unspent(
    recipe: Recipe, sets: Sequence[Names], typed: Mapping[str, Any], filed: Mapping[str, Any]
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of a spend with the keys of those tweaks alone that are spent, and a line for each other table.

    The draw's own recipe may carry keys for a later spend: of these nothing is said.

    Args:
        recipe: of the spend.
        sets: its tweak sets.
        typed: what `--set` said, as tables.
        filed: what `--recipe` said, as tables.

    Raises:
        UsageError: `typed` has keys of a tweak that is not spent.
    """
    spent = {name for names in sets for name in names}
    for name, table in _tables(typed).items():
        if name not in spent:
            key = f"tweaks.{name}.{next(iter(table), 'KEY')}"
            raise UsageError(
                f"--set {key}: {name} is not spent ({_named(spent)}); add it with --tweaks {name}"
            )
    notes = [
        f"[tweaks.{name}]: not used, {name} is not spent" for name in _tables(filed) if name not in spent
    ]
    tables = {name: table for name, table in recipe.tweaks.items() if name in spent}
    return recipe.model_copy(update={"tweaks": tables}), tuple(notes)


def _tables(said: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found = said.get("tweaks")
    return found if isinstance(found, Mapping) else {}


def _named(spent: set[str]) -> str:
    return ", ".join(sorted(spent)) + (" is" if len(spent) == 1 else " are") if spent else "no tweak is"


def sequel_of(names: Names) -> str | None:
    """The tweak among `names` that begins where the spend without it ended."""
    return next((name for name in names if literal(name, "AFTER", False)), None)
