"""What is left of a planned table costs: trainings, epochs, and, where the data are there, steps and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ticketctl.duration import Duration
from ticketctl.errors import UnavailableError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import Recipe
from ticketctl.stages.beginning import restarts
from ticketctl.stages.dressing import dress
from ticketctl.stages.errands import OTHERWISE, Task
from ticketctl.stages.estimate import Speed, speed_of, work_of
from ticketctl.stages.finished import drawn
from ticketctl.stages.method import plan
from ticketctl.stages.reproduce import Draw, Planned
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.stages.tweaking import epochs_of, literal
from ticketctl.train.evaluate import passed


@dataclass(frozen=True)
class Pace:
    """How many images an epoch has and how fast they go by."""

    images: int
    evaluated: int
    """After each epoch that is evaluated."""
    speed: Speed | None
    """None: not timed."""

    def per_epoch(self, recipe: Recipe) -> int:
        """Steps, for the recipe's batch and its part of the images (to a few steps: classes round it)."""
        part, batch = recipe.data.subset, recipe.train.batch
        images = self.images
        if part is not None and part.fraction is not None:
            images = max(1, round(images * part.fraction))
        return max(1, images // batch if recipe.train.drop_last else -(-images // batch))


@dataclass(frozen=True)
class Item:
    """A draw, or one training beside it."""

    trainings: int
    epochs: float
    steps: int | None
    seconds: float | None
    """With the machine to itself."""
    as_busy: float | None
    """With the machine as busy as it was."""
    at_most: bool = False


@dataclass(frozen=True)
class Bill:
    """The sum, and what makes it up."""

    draws: Mapping[Draw, Item]
    spends: Sequence[tuple[Task, Item]]
    """Those that are not there."""

    @property
    def items(self) -> list[Item]:
        """All of them."""
        return [*self.draws.values(), *(item for _, item in self.spends)]

    def record(self) -> dict[str, Any]:
        """For `--json`; None where it is not known."""
        items = self.items
        steps = [item.steps for item in items if item.steps is not None]
        seconds = [item.seconds for item in items if item.seconds is not None]
        busy = [item.as_busy for item in items if item.as_busy is not None]
        return {
            "trainings": sum(item.trainings for item in items),
            "epochs": sum(item.epochs for item in items),
            "steps": sum(steps) if len(steps) == len(items) else None,
            "seconds": sum(seconds) if len(seconds) == len(items) else None,
            "seconds_as_busy": sum(busy) if len(busy) == len(items) else None,
            "trainings_untimed": sum(item.trainings for item in items if item.seconds is None),
            "seconds_timed": sum(seconds),
            "seconds_timed_as_busy": sum(busy),
            "at_most": any(item.at_most for item in items),
        }


NOTHING = Item(0, 0.0, 0, 0.0, 0.0)


def bill_of(planned: Planned, todo: Sequence[Task], paces: Mapping[str, Pace]) -> Bill:
    """The cost of what is not there yet.

    Args:
        planned: the table.
        todo: as `errands.tasks` gives them.
        paces: by `key_of`, as `survey` gives them; what is missing is not known.

    Raises:
        UsageError: a method's keys or target cannot be.
    """
    draws = {draw: _of_draw(draw, paces.get(key_of(draw.recipe))) for draw in planned.draws}
    spends = [(task, _of_task(task, paces.get(key_of(task.recipe)))) for task in todo if not task.there]
    return Bill(draws, spends)


def _of_draw(draw: Draw, pace: Pace | None) -> Item:
    if drawn(draw.recipe, draw.seed, draw.folder) is not None:
        return NOTHING
    cost = plan(draw.recipe, _before(draw.recipe, pace) if pace else None)
    return _item(draw.recipe, cost.trainings, cost.epochs, pace, cost.at_most)


def _of_task(task: Task, pace: Pace | None) -> Item:
    recipe = task.recipe
    epochs = epochs_of(recipe)
    if epochs == 0:
        return _item(recipe, 1, 0.0, pace)
    entered = task.use.level != 0 and not restarts(recipe) and recipe.spend.start == "ticket"
    skipped = _before(recipe, pace) if entered else 0.0
    method = recipe.draw.method if recipe.draw else ""
    maybe = task.folder is None and method in OTHERWISE
    return _item(recipe, 1, epochs - skipped, pace, maybe)


def _before(recipe: Recipe, pace: Pace | None) -> float:
    """Epochs before the rewind point."""
    rewind = recipe.draw.rewind if recipe.draw else "0"
    if pace is None:
        return 0.0 if rewind == "0" else 1.0  # as `plan` takes it
    per_epoch = pace.per_epoch(recipe)
    return Duration.parse(rewind).steps(epochs=recipe.train.epochs, steps_per_epoch=per_epoch) / per_epoch


def _item(recipe: Recipe, trainings: int, epochs: float, pace: Pace | None, at_most: bool = False) -> Item:
    if pace is None:
        return Item(trainings, epochs, None, None, None, at_most)
    per_epoch = pace.per_epoch(recipe)
    steps = round(epochs * per_epoch)
    if pace.speed is None:
        return Item(trainings, epochs, steps, None, None, at_most)
    batch = min(recipe.train.batch, pace.images)
    work = work_of(steps, batch, steps / per_epoch / recipe.train.eval_every * pace.evaluated)
    return Item(trainings, epochs, steps, work / pace.speed.alone, work / pace.speed.now, at_most)


# ----------------------------------------------------------------------------------------------------------- survey


def key_of(recipe: Recipe) -> str:
    """Trainings with the same key go at the same pace."""
    record = _whole(recipe).record("model", "data", "train")
    train = {name: record["train"][name] for name in ("batch", "precision", "optimizer", "drop_last")}
    return repr((record["model"], record["data"], train))


def _whole(recipe: Recipe) -> Recipe:
    """The recipe on all images: a part may be picked by a run that is still to be made."""
    data = recipe.data.model_copy(update={"subset": None, "drop": None})
    return recipe.model_copy(update={"data": data})


def survey(
    planned: Planned, todo: Sequence[Task], around: Surroundings, *, timed: bool, faults: list[str] | None
) -> dict[str, Pace]:
    """Build every net on its data once, put on every tweak, and so refuse what cannot be before anything is trained.

    Args:
        planned: the table.
        todo: its tasks.
        around: where it runs.
        timed: also train a few steps of each; nothing is kept of them.
        faults: takes the lines on data and nets that cannot be had; None: the first is raised.

    Raises:
        UsageError: a recipe, tweak or key that does not fit net or data.
        UnavailableError: data or a net that cannot be had, with `faults` None.
    """
    paces: dict[str, Pace] = {}
    groups: dict[str, list[tuple[Recipe, int]]] = {}
    for recipe, seed in _open(planned, todo):
        groups.setdefault(key_of(recipe), []).append((recipe, seed))
    for key, recipes in groups.items():
        try:
            setting = prepare(_whole(recipes[0][0]), seeds_of(*recipes[0]), around)
        except UnavailableError:
            if faults is None:
                raise
            recipe = recipes[0][0]
            faults.append(f"{recipe.model.name} on {recipe.data.name}: not here, and this fetches nothing")
            continue
        _try_on(setting, recipes)
        paces[key] = _pace(setting, timed)
    return paces


def _open(planned: Planned, todo: Sequence[Task]) -> Iterable[tuple[Recipe, int]]:
    """The recipes that something is still to be trained by."""
    for draw in planned.draws:
        if not draw.done:
            yield draw.recipe, draw.seed
    yield from ((task.recipe, task.draw.seed) for task in todo if not task.there)


def _pace(setting: Setting, timed: bool) -> Pace:
    speed = speed_of(setting) if timed else None
    return Pace(setting.counts["train"], passed(setting.bench.exams), speed)


def _try_on(setting: Setting, recipes: Iterable[tuple[Recipe, int]]) -> None:
    """Every tweak set, on a mask that keeps every second weight: which ones plays no part in whether it fits."""
    keep = {
        name: (torch.arange(shape.numel()) % 2 == 0).reshape(shape) for name, shape in setting.shapes.items()
    }
    sets = {
        repr(recipe.record("train", "draw", "spend", "tweaks")): (recipe, seed) for recipe, seed in recipes
    }
    for recipe, seed in sets.values():
        if recipe.draw is not None:
            replace(setting, recipe=recipe).rewind_step()
        needs = {need for name in recipe.spend.tweaks for need in literal(name, "NEEDS", ())}
        if recipe.spend.tweaks and "levels" not in needs:  # those are still to be drawn
            dress(setting, recipe, seeds_of(recipe, seed), Mask(keep), ticket=None, teacher=None)
