"""Draw a ticket: run a method, write each level as it comes, seal the ladder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ticketctl import __version__, plugins
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.errors import UsageError, near_miss
from ticketctl.masks.ladder import rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.recipe import Recipe
from ticketctl.stages.controls import write_control
from ticketctl.stages.finished import CONTROLS, WORK, asked, drawn, missing_controls
from ticketctl.stages.intent import check_intent, read_intent, write_intent
from ticketctl.stages.records import RunOf, cost_of, level_record, save_run, steps_of_draw
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.store.files import make_folder
from ticketctl.store.locks import locked
from ticketctl.train.lab import Lab, Level, Target
from ticketctl.train.schedule import learning_rates


@dataclass
class Ladders:
    """The levels of a draw so far."""

    masks: list[Mask] = field(default_factory=list)
    levels: list[dict[str, Any]] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)
    steps: int = 0
    images: int = 0
    last: Level | None = None


def draw(recipe: Recipe, seed: int, folder: Path, around: Surroundings) -> Ticket:
    """Draw a ticket into `folder/ticket`, its trained levels into `folder/levels/<k>`.

    The same call again goes on where the last one stopped; once the ticket is there it is returned as it is.

    Raises:
        MismatchError: `folder` was begun with another recipe, seed, data set or version.
        LockedError: another process draws there.
        DivergedError, StoppedError, UnavailableError, UsageError, ResourceError: as their names say.
    """
    setting = _settled(recipe, seed, folder, around)
    with locked(folder):
        done = drawn(recipe, seed, folder)
        if done is None:
            _begin(folder, asked(recipe, seed), setting)
            sessions, ladders = Sessions(folder / WORK, around), Ladders()
            for number, level in enumerate(_levels(setting, folder)):
                _take(ladders, number, level, setting, folder)
            done = _seal(ladders, setting, seed, folder, sessions)
        for kind in missing_controls(recipe, folder):
            write_control(folder / CONTROLS / kind / "ticket", kind, done, setting)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        return done


def _settled(recipe: Recipe, seed: int, folder: Path, around: Surroundings) -> Setting:
    """Everything that can be refused is refused here, before a file is written.

    Precision and threads belong to the bits: what was settled when a draw began holds to its end.
    """
    found = read_intent(folder)
    if found is not None:
        check_intent(folder, found["asked"], asked(recipe, seed))
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=found["settled"])})
    plan(recipe)
    setting = prepare(recipe, seeds_of(recipe, seed), around)
    setting.rewind_step()
    learning_rates(setting.recipe.train, setting.bench.feed.steps_per_epoch)
    return setting


def plan(recipe: Recipe) -> int:
    """How many trainings a draw takes.

    Raises:
        UsageError: the method's keys or target cannot be.
    """
    method, params = method_of(recipe)
    return int(method.trainings(target_of(recipe), params))


def _begin(folder: Path, wish: dict[str, Any], setting: Setting) -> None:
    """Write down what this folder is for; on resume, refuse to go on with anything else."""
    wanted = {
        "asked": wish,
        "settled": {"precision": setting.recipe.train.precision, "threads": setting.recipe.train.threads},
        "versions": {"ticketctl": __version__, "torch": setting.bench.place.describe()["torch"]},
        "data": setting.data.fingerprint,
        "device": setting.bench.place.device.type,
    }
    found = read_intent(folder)
    if found is None:
        write_intent(folder, wanted)
    else:
        check_intent(folder, found, wanted)


def _levels(setting: Setting, folder: Path) -> Iterator[Level]:
    recipe = setting.recipe
    assert recipe.draw is not None
    method, params = method_of(recipe)
    target = target_of(recipe)
    trainings, epochs = plan(recipe), recipe.train.epochs
    steps = steps_of_draw(setting, trainings)
    what = f"draw {recipe.draw.method}: {recipe.model.name} on {setting.data.name}"
    cost = f"{trainings} trainings of {epochs} epochs, {steps:,} steps in all; --dry-run says how long that takes"
    setting.bench.reporter.job(f"{what}: {cost}", trainings)
    lab: Lab = setting.lab(
        folder / WORK / "fits", rewind=setting.rewind_step(), restart=recipe.draw.schedule == "restart"
    )
    levels: Iterator[Level] = method.draw(lab, target=target, params=params)
    return levels


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
            raise UsageError(f"draw.{key}: {recipe.draw.method} has no such key; {near_miss(key, known)}")
    try:
        return module, TypeAdapter(module.Params).validate_python(dict(recipe.draw.params))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"draw.{place}: {first['msg'].removeprefix('Value error, ')}, not {str(first['input'])[:60]!r}"
        ) from None


def target_of(recipe: Recipe) -> Target:
    """How far the recipe prunes.

    Raises:
        UsageError: it does not say.
    """
    assert recipe.draw is not None
    density: Fraction | None = recipe.draw.density
    if density is None and recipe.draw.rounds is None:
        raise UsageError("how far to prune is not said: give --density, --sparsity or --rounds")
    return Target(density, None if density is not None else recipe.draw.rounds)


def _take(ladders: Ladders, number: int, level: Level, setting: Setting, folder: Path) -> None:
    """Check a level, note it, and write its run."""
    setting.poll()
    if ladders.masks and not level.mask <= ladders.masks[-1]:
        raise AssertionError(f"level {number} keeps weights that level {number - 1} had lost")
    metrics = level.fit.metrics() if level.fit else {}
    record = level_record(number, level.mask, setting, metrics)
    if record["cut"]:
        setting.bench.reporter.note(
            f"level {number}: no path of kept weights leads from the input to the output"
        )
    ladders.masks.append(level.mask)
    ladders.levels.append(record)
    ladders.accuracy.append(metrics.get("test.accuracy"))
    if level.fit is not None:
        ladders.steps += level.fit.steps
        ladders.images += cost_of(level.fit.steps, setting, level.fit.order.start.step)["images"]
    ladders.last = level
    assert setting.recipe.draw is not None
    if level.fit is not None and setting.recipe.draw.keep == "all":
        dense = level.mask.kept == level.mask.size
        start = setting.initial if dense else level.start
        role = "rewind" if setting.rewind_step() and not dense else "init"
        target = folder / "levels" / str(number)
        save_run(target, RunOf(setting, setting.seeds, level.fit, level.mask, number, start, role))


def _seal(ladders: Ladders, setting: Setting, seed: int, folder: Path, sessions: Sessions) -> Ticket:
    """Write the ladder and the ticket."""
    last, recipe = ladders.last, setting.recipe
    assert last is not None
    assert recipe.draw is not None
    make_folder(folder / "ticket")
    init = last.start.tensors()
    death = rounds_of_death(ladders.masks)
    ladder = Ladder(death, len(ladders.masks) - 1, (), (), tuple(ladders.accuracy))
    step = setting.rewind_step()
    fields: dict[str, Any] = {
        "arch": setting.arch,
        "draw": _draw_record(ladders, setting, seed),
        "excluded": setting.excluded,
        "scope": str(recipe.draw.params.get("scope", "global")),
        "level": len(ladders.masks) - 1,
    }
    write_provenance(folder / "ticket", sessions.record(setting))
    return write_ticket(
        folder / "ticket",
        keep=last.mask.to_arrays(),
        init=init,
        ladder=ladder,
        init_role="rewind" if step else "init",
        init_step=step,
        init_epoch=repr(step / setting.bench.feed.steps_per_epoch) if step else "0",
        **fields,
    )


def _draw_record(ladders: Ladders, setting: Setting, seed: int) -> dict[str, Any]:
    recipe = setting.recipe
    assert recipe.draw is not None
    return {
        "method": recipe.draw.method,
        "rounds": len(ladders.masks) - 1,
        "params": {**recipe.draw.params, "rewind": recipe.draw.rewind, "prunable": recipe.draw.prunable},
        "recipe": setting.public_recipe,
        "data": setting.data_record,
        "seeds": {"root": seed, **setting.seeds.override},
        "levels": ladders.levels,
        "cost": {**cost_of(ladders.steps, setting), "images": ladders.images},
    }
