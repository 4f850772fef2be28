"""From what was typed to one resolved recipe and the folder it belongs in. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.nets._zoo_names import ZOOS, check_zoo_name
from ticketctl.plugins import is_own, plugins, serving
from ticketctl.recipe import DrawSpec, Recipe
from ticketctl.recipe_base import Spec
from ticketctl.recipe_files import (
    OWN,
    assignments,
    flat_draw,
    lay,
    merge,
    parse_recipe,
    read_recipe,
    recipe_names,
)
from ticketctl.stages.identity import draw_folder

MODEL, DATA, METHOD = "lenet-300-100", "digits", "imp"
"""What is drawn when nothing is said: it runs in seconds, offline."""

LENDERS = ("resnet18", "resnet20s")
"""Nets from whose base a net that has none, because its name has a colon, takes the training; the first there is."""

STRETCHED = ("train", "keep", "draw")
"""Tables that `Recipe.scaled` changes."""

LENGTH = ("train", "epochs")
"""What `--epochs` sets, and `--scale` multiplies, whoever said it."""


@dataclass(frozen=True)
class Typed:
    """The options of draw and spend that shape a recipe; None where nothing was typed."""

    model: str | None = None
    data: str | None = None
    method: str | None = None
    recipe: str | None = None
    sets: Sequence[str] = ()
    rounds: int | None = None
    density: Fraction | None = None
    rewind: str | None = None
    epochs: int | None = None
    scale: Fraction | None = None
    controls: bool = False
    deterministic: bool = False


@dataclass(frozen=True)
class Choice:
    """A recipe, and one line for each thing that was chosen for the user."""

    recipe: Recipe
    notes: tuple[str, ...] = field(default=())


def draw_recipe(typed: Typed) -> Choice:
    """The recipe of a draw: base, the method's recipe, `--recipe`, `--set`, flags, in this order.

    Then stretched by `--epochs` or `--scale`, but for the points and lengths that `--set` and flags say.

    Raises:
        UsageError: a name, key or value that cannot be; no base for this model and data set.
    """
    own = read_recipe(typed.recipe) if typed.recipe else {}
    typed_tables = merge(assignments(typed.sets), _flags(typed))
    said = merge(own, typed_tables)
    unused = _unused_rounds(own, typed_tables)
    method = _name(said, "draw", "method") or METHOD
    _must_exist("draws", "method", method)
    tables, notes = _base(said, bool(typed.recipe))
    notes = [*([] if _name(said, "draw", "method") else [f"method {METHOD}: none was named"]), *notes]
    if f"draw/{method}" in recipe_names():
        tables = merge(tables, read_recipe(f"draw/{method}"))
        notes.append(f"recipe draw/{method}: what {method} takes where nothing else is said")
    tables = merge(tables, {"draw": {"method": method}})
    for layer in (own, typed_tables):
        tables = lay(tables, layer)
    recipe = parse_recipe(tables, where=typed.recipe or "recipe")
    longer = lengthened(recipe, typed_tables, epochs=typed.epochs, scale=typed.scale)
    return Choice(longer, (*notes, *unused))


def spend_recipe(typed: Typed, drawn: Mapping[str, Any]) -> Choice:
    """The recipe of a spend: the draw's own, then `--recipe`, `--set`, flags. Model and data are the ticket's.

    Then stretched as that of a draw.

    Raises:
        UsageError: a key or value that cannot be, another model than the ticket's, or a key of `[draw]`.
    """
    own = read_recipe(typed.recipe) if typed.recipe else {}
    said = assignments(typed.sets)
    if "draw" in said:
        raise UsageError(
            "--set draw…: the ticket is drawn already; a spend has train, data, spend, tweaks, keep and seeds"
        )
    without = {key: value for key, value in own.items() if key != "draw"}  # a recipe may serve both commands
    over = merge(said, _flags(typed))
    tables = merge(merge(drawn, without), over)
    wanted, has = _name(tables, "model", "name"), _name(drawn, "model", "name")
    if wanted != has:
        raise UsageError(f"the ticket is for {has}; it cannot be spent as {wanted}")
    recipe = parse_recipe(tables, where=typed.recipe or "recipe")
    given = parse_recipe(drawn, where="the ticket's recipe")
    notes = _changed_by(own, over, given, recipe, typed.recipe or "")
    notes += _others_scale(merge(without, over), drawn, recipe)
    longer = lengthened(recipe, over, epochs=typed.epochs, scale=typed.scale)
    return Choice(longer, tuple(notes))


def lengthened(
    recipe: Recipe, typed: Mapping[str, Any], *, epochs: int | None, scale: Fraction | None
) -> Recipe:
    """Stretched as by `Recipe.scaled`, but for the points and lengths that were typed: they are of the new training.

    Args:
        recipe: with what was typed in it.
        typed: the tables that were typed; of these `train.epochs` alone is stretched, as the length of the training.
        epochs: the new length; None: none was asked for.
        scale: or the factor.
    """
    longer, said = recipe.scaled(epochs=epochs, scale=scale), flat_draw(typed)
    found = {table: _put_back(recipe, longer, table, {*(said.get(table) or ())}) for table in STRETCHED}
    return longer.model_copy(update=found)


def _put_back(recipe: Recipe, longer: Recipe, table: str, keys: Set[str]) -> Spec | None:
    """A table of `longer` with these keys as they are in `recipe`; a method's own among them."""
    was: Spec | None = getattr(recipe, table)
    if was is None:
        return None
    back = {key: getattr(was, key) for key in keys & type(was).model_fields.keys() if (table, key) != LENGTH}
    if isinstance(was, DrawSpec) and longer.draw is not None:
        back["params"] = {**longer.draw.params, **{key: was.params[key] for key in keys & was.params.keys()}}
    moved: Spec = getattr(longer, table)
    return moved.model_copy(update=back)


def _changed_by(
    own: Mapping[str, Any], over: Mapping[str, Any], drawn: Recipe, recipe: Recipe, name: str
) -> list[str]:
    """What the recipe that was named changes of the net and the data."""
    before, after = drawn.record("model", "data"), recipe.record("model", "data")
    found = []
    for table in ("model", "data"):
        for key in own.get(table, {}).keys() - over.get(table, {}).keys():
            was, now = before[table].get(key), after[table].get(key)
            what, how = ("data", "on") if key == "name" else (f"{table}.{key}", "with")
            text = f"{what} {now}: from the recipe {name}, the ticket was drawn {how} {was}"
            found += [text] if was != now else []
    return sorted(found)


def _others_scale(said: Mapping[str, Any], drawn: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """That another data set than the ticket's is normalised as the ticket's was, unless something else is said."""
    has, wanted = _name(drawn, "data", "name") or "", recipe.data.name
    same = has.partition(":")[0] == wanted.partition(":")[0]
    if same or recipe.data.normalise == "none" or not recipe.data.mean or "mean" in said.get("data", {}):
        return []
    return [
        f"data.mean and data.std: those of {has}, as the ticket was drawn; "
        f"--set data.mean=[] --set data.std=[] takes those of {wanted}"
    ]


def check_trust(typed: Typed, drawn: Mapping[str, Any]) -> None:
    """Refuse to run code that nobody but a ticket names: it may come from anywhere.

    Raises:
        UsageError: the ticket's net is a function of somebody's module, and what was typed does not name it.
    """
    name = _name(drawn, "model", "name") or ""
    own = read_recipe(typed.recipe) if typed.recipe else {}
    if is_own("nets", name) and _name(merge(own, assignments(typed.sets)), "model", "name") != name:
        raise UsageError(
            f"the ticket's net is {name}, code that would be run here; if you trust it: --set model.name={name}"
        )


def run_folder(recipe: Recipe, seed: int, out: Path | None, workspace: Path) -> Path:
    """Where a draw lives: `--out`, or `<workspace>/<model>-<data>/<method>-<hash>/seed-<n>`."""
    if out is not None:
        return out
    return draw_folder(recipe, seed, workspace / subject(recipe))


def subject(recipe: Recipe) -> str:
    """`<model>-<data>`; a colon becomes a dash, and a path after the data set's its last name."""
    data, colon, target = recipe.data.name.partition(":")
    return f"{_slug(recipe.model.name)}-{data}{'-' if colon else ''}{_slug(Path(target).stem)}"


def _slug(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name)


def _flags(typed: Typed) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    if typed.model:
        tables["model"] = {"name": typed.model}
    if typed.data:
        tables["data"] = {"name": typed.data}
    if typed.deterministic:
        tables["train"] = {"deterministic": True}
    draw = {"method": typed.method, "rounds": typed.rounds, "density": typed.density, "rewind": typed.rewind}
    draw["controls"] = True if typed.controls else None
    said = {key: value for key, value in draw.items() if value is not None}
    return {**tables, "draw": said} if said else tables


def _unused_rounds(*layers: Mapping[str, Any]) -> list[str]:
    """That `lay` leaves rounds out, where the last of `layers` that says how far to prune says it twice."""
    draws = [draw for layer in layers if isinstance(draw := layer.get("draw"), Mapping)]
    last = next((draw for draw in reversed(draws) if not {"density", "rounds"}.isdisjoint(draw)), {})
    if not {"density", "rounds"} <= last.keys():
        return []
    return [f"rounds {last['rounds']}: not used, the density says how far to prune"]


def _name(tables: Mapping[str, Any], section: str, key: str) -> str | None:
    table = tables.get(section)
    value = table.get(key) if isinstance(table, Mapping) else None
    return value if isinstance(value, str) else None


def _base(said: Mapping[str, Any], has_recipe: bool) -> tuple[dict[str, Any], list[str]]:
    """The base recipe for what was said, and what was chosen where nothing was."""
    model, data = _name(said, "model", "name"), _name(said, "data", "name")
    notes = [f"model {MODEL}: none was named"] if model is None else []
    notes += [f"data {DATA}: none was named"] if data is None else []
    model, data = model or MODEL, data or DATA
    _must_exist("nets", "model", model)
    _must_exist("data", "data set", data.partition(":")[0])
    if model.partition(":")[0] in ZOOS:
        notes.append(f"{model}: its own stem, new weights, no dropout")
    name = f"base/{model}-{data.partition(':')[0]}"
    if name in recipe_names():
        return merge(read_recipe(name), {"data": {"name": data}}), [
            *notes,
            f"recipe {name}: the base of {model} on {data}",
        ]
    if has_recipe and "train" in said:
        return {"model": {"name": model}, "data": {"name": data}}, notes
    if ":" in model and (lender := _lender(data)):
        tables = {**_without_model(read_recipe(lender)), "model": {"name": model}}
        note = f"recipe {lender}: {model} has no base on {data}, the training is that one's"
        return merge(tables, {"data": {"name": data}}), [*notes, note]
    bases = [known for known in recipe_names() if known.startswith("base/")]
    same = [known for known in bases if known.startswith(f"base/{model}-")]
    hint = near_miss(name, same or bases)
    raise UsageError(
        f"no base recipe for {model} on {data}; {hint} (or name one, or a file with its own [train], with --recipe)"
    )


def _lender(data: str) -> str | None:
    """The base of another net on the same data."""
    names = (f"base/{model}-{data.partition(':')[0]}" for model in LENDERS)
    return next((name for name in names if name in recipe_names()), None)


def _without_model(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what it says of its net."""
    kept = {key: value for key, value in tables.items() if key not in ("model", *OWN)}
    sources = tables.get("sources")
    if isinstance(sources, Mapping):
        kept["sources"] = {key: text for key, text in sources.items() if not key.startswith("model.")}
    return kept


def _must_exist(kind: str, noun: str, name: str) -> None:
    if kind == "nets" and name.partition(":")[0] in ZOOS:
        check_zoo_name(name)
    if serving(kind, name) is None:
        begun = [known for known in plugins(kind) if name and known.startswith(name)]
        raise UsageError(f"no {noun} named {name!r}; {near_miss(name, begun or plugins(kind))}")
