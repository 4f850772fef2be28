"""Draw a ticket: run a method, write each level as it comes, seal the ladder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl import __version__
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.masks.collapse import Collapse
from ticketctl.masks.ladder import rounds_of_death
from ticketctl.progress import JOB
from ticketctl.recipe import Recipe
from ticketctl.stages import lineage, ranked
from ticketctl.stages.by_devices import check_devices
from ticketctl.stages.conditions import code
from ticketctl.stages.controls import write_control
from ticketctl.stages.finished import CONTROLS, WORK, asked, drawn, missing_controls
from ticketctl.stages.identity import check_asked
from ticketctl.stages.intent import check_intent, read_intent, write_intent
from ticketctl.stages.ladders import Ladders
from ticketctl.stages.method import cost_in, lab_for, method_of, plan, target_of
from ticketctl.stages.records import RunOf, cost_of, level_record, paths_of, save_run
from ticketctl.stages.samples import samples_of
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.stages.several import refuse_artifact
from ticketctl.stages.sound import check_draw
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import make_folder, write_atomic
from ticketctl.store.locks import locked
from ticketctl.store.tensors import Tensor
from ticketctl.train.lab import Fit, Lab, Level, training_id
from ticketctl.train.state import to_tensor


def draw(recipe: Recipe, seed: int, folder: Path, around: Surroundings) -> Ticket:
    """Draw a ticket into `folder/ticket`, its trained levels into `folder/levels/<k>`.

    The same call again goes on where the last one stopped; once the ticket is there it is returned as it is.

    Raises:
        MismatchError: `folder` was begun with another recipe, seed, data set or version.
        LockedError: another process draws there.
        DivergedError, StoppedError, UnavailableError, UsageError, ResourceError: as their names say.
    """
    if ranked.follows(around):
        return ranked.follow_draw(recipe, seed, folder, around)
    refuse_artifact(folder)
    setting = _settled(recipe, seed, folder, around)
    fresh = drawn(recipe, seed, folder) is None
    given = check_draw(setting, folder, around.workspace) if fresh else {}
    with locked(folder):
        done = drawn(recipe, seed, folder)
        if done is not None:
            ranked.tell_draw(setting, todo=False)
        else:
            setting = replace(setting, given={name: one.id for name, one in given.items()})
            _begin(folder, asked(recipe, seed), setting)
            ranked.tell_draw(setting, todo=True)
            sessions, ladders = Sessions(folder / WORK, around), Ladders()
            lab = lab_for(setting, folder / WORK / "fits", given)
            for number, level in enumerate(_levels(setting, lab)):
                _take(ladders, number, level, setting, folder)
            ladders.fits = lab.fits
            done = _seal(ladders, setting, seed, folder, sessions)
        for kind in missing_controls(recipe, folder):
            write_control(folder / CONTROLS / kind / "ticket", kind, done, setting)
        lineage.drew(done, [one.ticket for one in given.values()])
        shutil.rmtree(folder / WORK, ignore_errors=True)
        ranked.tell_drawn(setting)
        return done


def _settled(recipe: Recipe, seed: int, folder: Path, around: Surroundings) -> Setting:
    """Everything that can be refused is refused here and by `check_draw`, before a file is written.

    Precision and threads belong to the bits: what was settled when a draw began holds to its end.
    """
    found = read_intent(folder)
    if found is not None:
        check_asked(folder, found["asked"], asked(recipe, seed))
        check_devices(folder, found, around.ranks.size if around.ranks else 1)
        recipe = ranked.as_settled(recipe, found["settled"])
    plan(recipe)
    return prepare(recipe, seeds_of(recipe, seed), around)


def _begin(folder: Path, wish: dict[str, Any], setting: Setting) -> None:
    """Write down what this folder is for; on resume, refuse to go on with anything else."""
    recipe = setting.recipe
    assert recipe.draw is not None
    versions = {"ticketctl": __version__, "torch": setting.bench.place.describe()["torch"]}
    wanted = {
        "asked": wish,
        "settled": ranked.settled_in(setting),
        "versions": versions | code(recipe.model.name, [recipe.draw.method], "draws"),
        "data": setting.data.fingerprint,
        "device": setting.bench.place.device.type,
        **setting.bench.devices,
        **({"inputs": dict(setting.given)} if setting.given else {}),
    }
    found = read_intent(folder)
    if found is None:
        write_intent(folder, wanted)
    else:
        check_asked(folder, found["asked"], wish)
        check_intent(folder, {**found, "asked": wish}, wanted)


def _levels(setting: Setting, lab: Lab) -> Iterator[Level]:
    recipe = setting.recipe
    assert recipe.draw is not None
    method, params = method_of(recipe)
    target = target_of(recipe)
    cost = cost_in(setting)
    steps = round(cost.epochs * setting.bench.feed.steps_per_epoch)
    what = f"draw {recipe.draw.method}: {recipe.model.name} on {setting.data.name}"
    most = "at most " if cost.at_most else ""
    plural = "" if cost.trainings == 1 else "s"
    write_atomic(lab.folder.parent / JOB, canonical_json({"trainings": cost.trainings}))
    told = f"{cost.trainings} training{plural}, {most}{cost.epochs:g} epochs and {steps:,} steps in all"
    setting.bench.reporter.job(f"{what}: {told}", cost.trainings)
    levels: Iterator[Level] = method.draw(lab, target=target, params=params)
    return levels


def _take(ladders: Ladders, number: int, level: Level, setting: Setting, folder: Path) -> None:
    """Check a level, note it, and write its run."""
    setting.poll()
    if ladders.masks and not level.mask <= ladders.masks[-1]:
        raise AssertionError(f"level {number} keeps weights that level {number - 1} had lost")
    metrics = {**(level.fit.metrics() if level.fit else {}), **level.notes.get("metrics", {})}
    paths = paths_of(level.mask, setting)
    record = level_record(number, level.mask, paths, metrics)
    if record["cut"]:
        setting.bench.reporter.note(
            f"level {number}: no path of kept weights leads from the input to the output"
        )
    elif paths.effective is not None and 2 * paths.effective < level.mask.kept:
        setting.bench.reporter.note(
            f"level {number}: {paths.effective} of {level.mask.kept} kept weights lie on a path from input to output"
        )
    ladders.masks.append(level.mask)
    ladders.levels.append(record)
    ladders.accuracy.append(metrics.get("test.accuracy"))
    ladders.last = level
    ladders.notes[str(number)] = _noted(level, paths, setting)
    if paths.unknown:
        setting.bench.reporter.note(
            f"level {number}: whether the mask cuts the net is not judged: {paths.unknown}"
        )
    assert setting.recipe.draw is not None
    if level.fit is not None and setting.recipe.draw.keep == "all":
        _keep_run(number, level, setting, folder)


def _noted(level: Level, paths: Collapse, setting: Setting) -> dict[str, Any]:
    """How the level was chosen, and what no reader needs: the channels that no path uses, by layer."""
    notes = {key: value for key, value in level.notes.items() if key != "metrics"}
    if "samples" in notes:
        notes["samples"] = len(notes["samples"])  # which they were stands in the record: there may be many
    dead = {name: count for name, count in paths.dead_channels.items() if count}
    searched = level.fit is not None and not is_plain(level, setting)
    return {
        **notes,
        **({"trained": "search"} if searched else {}),
        **({"dead_channels": dead} if dead else {}),
        **({"unknown": paths.unknown} if paths.unknown else {}),
    }


def _scores(level: Level) -> tuple[dict[str, NDArray[np.float32]] | None, int]:
    """The scores as float32, and the power of two they were divided by: SynFlow's of deep nets lie beyond float32."""
    if level.scores is None:
        return None, 0
    largest = max(float(score.abs().max()) for score in level.scores.values())
    exponent = math.frexp(largest)[1] if largest > torch.finfo(torch.float32).max else 0
    found = {name: (score.double() * 2.0**-exponent).float().numpy() for name, score in level.scores.items()}
    return found, exponent


def _record(level: Level, setting: Setting) -> dict[str, Tensor] | None:
    """Labels and images that are not the data's own; what the method wrote down, and the images that it scored on."""
    found = {**samples_of(setting), **(level.record or {})}
    if "samples" in level.notes:
        found["samples"] = torch.tensor(level.notes["samples"], dtype=torch.int64)
    return {name: to_tensor(value) for name, value in found.items()} or None


def _keep_run(number: int, level: Level, setting: Setting, folder: Path) -> None:
    """The level's trained net; under `search` what was not trained as a spend of the ticket would train it."""
    assert level.fit is not None
    dense = level.mask.kept == level.mask.size
    start = setting.initial if dense else level.start
    place = "levels" if is_plain(level, setting) else "search"
    role = "init" if dense else role_of(level, setting)
    target = folder / place / str(number)
    save_run(target, RunOf(setting, level.fit.order.seeds, level.fit, level.mask, number, start, role))
    if level.search is not None:  # the training that found the mask, from whose end the level's own goes on
        order, role = level.search.order, "rewind" if setting.rewind_step() else "init"
        of = RunOf(setting, order.seeds, level.search, level.mask, number, order.start, role)
        save_run(folder / "search" / str(number), of)


def is_plain(level: Level, setting: Setting) -> bool:
    """Whether the level was trained as a spend of the ticket trains it: by the recipe, with nothing changed."""
    start = setting.initial if level.mask.kept == level.mask.size else level.start
    own = training_id(setting.identity, setting.seeds, start, level.mask)
    return level.fit is not None and level.fit.key == own


def role_of(level: Level, setting: Setting) -> str:
    """What the weights of a level's start are."""
    return level.role or ("rewind" if setting.rewind_step() else "init")


def _seal(ladders: Ladders, setting: Setting, seed: int, folder: Path, sessions: Sessions) -> Ticket:
    """Write the ladder and the ticket."""
    last, recipe = ladders.last, setting.recipe
    assert last is not None
    assert recipe.draw is not None
    make_folder(folder / "ticket")
    init = last.start.tensors()
    death = rounds_of_death(ladders.masks)
    ladder = Ladder(death, len(ladders.masks) - 1, (), (), tuple(ladders.accuracy))
    step, notes = last.start.step, last.notes
    scores, exponent = _scores(last)
    if exponent:
        ladders.notes[str(len(ladders.masks) - 1)]["scores_exponent"] = exponent
    fields: dict[str, Any] = {
        "arch": setting.arch,
        "draw": _draw_record(ladders, setting, seed),
        "excluded": setting.excluded,
        "scope": str(notes.get("scope", recipe.draw.params.get("scope", "global"))),
        "structure": str(notes.get("structure", "unstructured")),
        "level": len(ladders.masks) - 1,
        "scores": scores,
        "record": _record(last, setting),
        "ext": {"ticketctl.levels": ladders.notes},
    }
    write_provenance(folder / "ticket", sessions.record(setting))
    return write_ticket(
        folder / "ticket",
        keep=last.mask.to_arrays(),
        init=init,
        ladder=ladder,
        init_role=role_of(last, setting),
        init_step=step,
        init_epoch=repr(step / setting.bench.feed.steps_per_epoch) if step else "0",
        **fields,
    )


def _draw_record(ladders: Ladders, setting: Setting, seed: int) -> dict[str, Any]:
    recipe, public = setting.recipe, setting.public_recipe
    assert recipe.draw is not None
    return {
        "method": recipe.draw.method,
        "rounds": len(ladders.masks) - 1,
        "params": {
            **public["draw"]["params"],
            "rewind": recipe.draw.rewind,
            "prunable": recipe.draw.prunable,
        },
        "recipe": public,
        "parents": sorted(setting.given.values()),
        "data": setting.data_record,
        "seeds": {"root": seed, **setting.seeds.override},
        "levels": ladders.levels,
        "cost": _cost(ladders.fits, setting),
    }


def _cost(fits: Sequence[Fit], setting: Setting) -> dict[str, Any]:
    """What all trainings took together."""
    each = [cost_of(fit.steps, setting, fit.order.start.step) for fit in fits]
    whole = cost_of(sum(fit.steps for fit in fits), setting)
    return {**whole, "images": sum(one["images"] for one in each)}
