"""Which method a recipe names, how far it is to prune, what it needs and what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from ticketctl import plugins
from ticketctl.artifacts.workspace import resolve
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.recipe import DrawSpec, Recipe
from ticketctl.stages.at_level import AtLevel
from ticketctl.stages.params import checked
from ticketctl.stages.setting import Setting
from ticketctl.train.lab import Cost, Lab, Plan, Target


def plan(recipe: Recipe, rewind: float | None = None) -> Cost:
    """What a draw takes; `rewind` epochs lie before its rewind point (None: not known before the data are there).

    Raises:
        UsageError: the method's keys or target cannot be.
    """
    method, params = method_of(recipe)
    assert recipe.draw is not None
    restart = recipe.draw.schedule == "restart"
    if rewind is None:
        rewind = 0.0 if recipe.draw.rewind == "0" else 1.0
    found: Cost = method.cost(Plan(target_of(recipe), recipe.train.epochs, rewind, restart), params)
    return found


def cost_in(setting: Setting) -> Cost:
    """As `plan`, with the rewind point where these data have it."""
    return plan(setting.recipe, setting.rewind_step() / setting.bench.feed.steps_per_epoch)


def method_of(recipe: Recipe) -> tuple[ModuleType, Any]:
    """The draw's module and its checked keys.

    Raises:
        UsageError: no such method, or a key it does not have.
    """
    assert recipe.draw is not None
    module = plugins.load("draws", recipe.draw.method)
    known = getattr(module.Params, "__dataclass_fields__", {})
    for key in recipe.draw.params:
        if key not in known:
            raise UsageError(_unknown(recipe.draw.method, key, known))
    return module, checked(module.Params, recipe.draw.params, "draw")


def _unknown(method: str, key: str, known: Iterable[str]) -> str:
    common = [name for name in DrawSpec.model_fields if name != "params"]
    if key in common:
        return f"draw.params.{key}: a key of all methods; write draw.{key}"
    near = near_miss(key, [*known, *common])
    return (
        f"draw.{key}: {method} has no such key; {near if near.startswith('did') else near_miss(key, known)}"
    )


def inputs(recipe: Recipe, workspace: Path) -> dict[str, AtLevel]:
    """The tickets that the method says it needs (`NEEDS`), by the keys that name them.

    Raises:
        UsageError: none was named, or none is there.
        ArtifactError: it is damaged.
    """
    assert recipe.draw is not None
    found = {}
    for need in getattr(plugins.load("draws", recipe.draw.method), "NEEDS", ()):
        name = recipe.draw.params.get(need)
        if not name:
            raise UsageError(f"{recipe.draw.method} needs a {need}: name one with --set draw.{need}=PATH")
        found[need] = AtLevel(*resolve(str(name), workspace))
        net = found[need].ticket.manifest.arch.name
        if net != recipe.model.name:
            raise ArtifactError(
                "E_ARCH_MISMATCH",
                f"draw.{need}: {name} is a ticket of {net}; this draw is of {recipe.model.name}",
            )
    return found


class _Begun(Exception):  # noqa: N818  # no error: the method wants to train
    """A draw has come as far as its first training."""


def check_start(setting: Setting, lab: Lab) -> None:
    """Let the method refuse what it must, by running it as far as its first level or training, whichever is first.

    Raises:
        UsageError, ArtifactError: the method's, on keys, target, net or given ticket.
    """

    def begun(*_: Any, **__: Any) -> Any:
        raise _Begun

    method, params = method_of(setting.recipe)
    lab.fit, lab.note = begun, lambda text: None  # type: ignore[method-assign]  # of this one lab, used for nothing else
    with suppress(_Begun):
        next(iter(method.draw(lab, target=target_of(setting.recipe), params=params)))


def lab_for(setting: Setting, folder: Path, given: Mapping[str, AtLevel]) -> Lab:
    """The lab that a draw is handed, with its trainings below `folder`."""
    restart = setting.recipe.draw is not None and setting.recipe.draw.schedule == "restart"
    lab = setting.lab(folder, rewind=setting.rewind_step(), restart=restart)
    lab.inputs = {name: one.mask for name, one in given.items()}
    return lab


def target_of(recipe: Recipe) -> Target:
    """How far the recipe prunes.

    Raises:
        UsageError: it does not say.
    """
    assert recipe.draw is not None
    density: Fraction | None = recipe.draw.density
    own = getattr(plugins.load("draws", recipe.draw.method), "SETS_DENSITY", False)
    if density is None and recipe.draw.rounds is None and not own:
        raise UsageError("how far to prune is not said: give --density, --sparsity or --rounds")
    return Target(density, None if density is not None else recipe.draw.rounds)
