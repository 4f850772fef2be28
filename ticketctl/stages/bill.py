"""What is left of a planned table costs: trainings, epochs, and, where the data are there, steps and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ticketctl.duration import Duration
from ticketctl.errors import OfflineError, UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import Agenda, Draw
from ticketctl.stages.beginning import restarts
from ticketctl.stages.errands import OTHERWISE, Task
from ticketctl.stages.estimate import PATIENCE, Watch, prepared
from ticketctl.stages.finished import drawn
from ticketctl.stages.method import plan
from ticketctl.stages.pace import START, Pace, pace_of
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.sound import Asked, Unsound, check_all
from ticketctl.stages.trained_for import Need
from ticketctl.stages.tweaking import epochs_of
from ticketctl.stages.twins import check_noise


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
    nets: Sequence[tuple[Need, Item]] = ()
    """What is trained for measurements alone."""

    @property
    def items(self) -> list[Item]:
        """All of them."""
        return [*self.draws.values(), *(item for _, item in (*self.spends, *self.nets))]

    def record(self) -> dict[str, Any]:
        """For `--json`; None where it is not known. Seconds are those of one command that does it all."""
        items = self.items
        start, late = self._start()
        steps = [item.steps for item in items if item.steps is not None]
        seconds = [item.seconds for item in items if item.seconds is not None]
        busy = [item.as_busy for item in items if item.as_busy is not None]
        return {
            "trainings": sum(item.trainings for item in items),
            "epochs": sum(item.epochs for item in items),
            "steps": sum(steps) if len(steps) == len(items) else None,
            "seconds": start + sum(seconds) if len(seconds) == len(items) else None,
            "seconds_as_busy": late + sum(busy) if len(busy) == len(items) else None,
            "trainings_untimed": sum(item.trainings for item in items if item.seconds is None),
            "seconds_timed": start + sum(seconds),
            "seconds_timed_as_busy": late + sum(busy),
            "at_most": any(item.at_most for item in items),
        }

    def _start(self) -> tuple[float, float]:
        """Seconds until the command has begun, alone and as busy as the rest: none, where nothing is timed."""
        alone = sum(item.seconds or 0.0 for item in self.items)
        busy = sum(item.as_busy or 0.0 for item in self.items)
        return (START, START * busy / alone) if alone else (0.0, 0.0)


NOTHING = Item(0, 0.0, 0, 0.0, 0.0)


def bill_of(
    planned: Agenda, todo: Sequence[Task], paces: Mapping[str, Pace], trained: Sequence[Need] = ()
) -> Bill:
    """The cost of what is not there yet.

    Args:
        planned: the table.
        todo: as `errands.tasks` gives them.
        paces: by `key_of`, as `survey` gives them; what is missing is not known.
        trained: for measurements, as `needs` gives it.

    Raises:
        UsageError: a method's keys or target cannot be.
    """
    draws = {draw: _of_draw(draw, _part_of(paces, draw.recipe)) for draw in planned.draws}
    left = [task for task in todo if not task.there]
    first = {(task.draw, task.use.control, task.use.sets): task for task in reversed(left)}
    begun = [any(task is one for one in first.values()) for task in left]
    spends = [(task, _of_task(task, paces, begins)) for task, begins in zip(left, begun, strict=True)]
    return Bill(draws, spends, [(need, _of_need(need, _part_of(paces, need.recipe))) for need in trained])


def _part_of(paces: Mapping[str, Pace], recipe: Recipe, beside: Recipe | None = None) -> Pace | None:
    """The pace on the recipe's part of the images (to a few of them: classes round it).

    Where none of `recipe` is known, as of a draw that is done, it is that of `beside`, a spend of it.
    """
    pace, part = paces.get(key_of(recipe)), recipe.data.subset
    pace = paces.get(key_of(beside)) if pace is None and beside is not None else pace
    if pace is None or part is None or part.fraction is None:
        return pace
    return replace(pace, images=max(1, round(pace.images * part.fraction)))


def _of_draw(draw: Draw, pace: Pace | None) -> Item:
    if drawn(draw.recipe, draw.seed, draw.folder) is not None:
        return NOTHING
    cost = plan(draw.recipe, _before(draw.recipe, pace) if pace else None)
    return item_of(draw.recipe, cost.trainings, cost.epochs, pace, cost.at_most, begins=True)


def _of_task(task: Task, paces: Mapping[str, Pace], begins: bool) -> Item:
    recipe, pace = task.recipe, _part_of(paces, task.recipe)
    epochs = epochs_of(recipe)
    if epochs == 0:
        return item_of(recipe, 1, 0.0, pace, begins=begins)
    entered = task.use.level != 0 and not restarts(recipe) and recipe.spend.start == "ticket"
    drawn = task.draw.recipe  # a ticket enters another schedule as far into it as it left the draw's
    before = _before(drawn, _part_of(paces, drawn, recipe)) if entered else 0.0
    skipped = before * recipe.train.epochs / drawn.train.epochs
    method = recipe.draw.method if recipe.draw else ""
    maybe = task.folder is None and method in OTHERWISE
    return item_of(recipe, 1, epochs - skipped, pace, maybe, begins=begins)


def _of_need(need: Need, pace: Pace | None) -> Item:
    skipped = need.trainings * _before(need.recipe, pace) if need.late else 0.0
    return item_of(need.recipe, need.trainings, need.epochs - skipped, pace, need.at_most, begins=True)


def _before(recipe: Recipe, pace: Pace | None) -> float:
    """Epochs before the rewind point."""
    rewind = recipe.draw.rewind if recipe.draw else "0"
    if pace is None:
        return 0.0 if rewind == "0" else 1.0  # as `plan` takes it
    per_epoch, epochs = pace.per_epoch(recipe), recipe.train.epochs
    with suppress(UsageError):  # of a part, counted to a few images; what lies past the end is refused before
        return Duration.parse(rewind).steps(epochs=epochs, steps_per_epoch=per_epoch) / per_epoch
    return float(epochs)


def item_of(
    recipe: Recipe,
    trainings: int,
    epochs: float,
    pace: Pace | None,
    at_most: bool = False,
    *,
    begins: bool = False,
) -> Item:
    """What trainings under a recipe cost.

    Args:
        recipe: of all of them.
        trainings: how many, at least 1.
        epochs: of all together, at least 0.
        pace: on the recipe's images; None: not known.
        at_most: whether it may be less.
        begins: whether data and net are set up for them, as once for each draw and each spend.
    """
    if pace is None:
        return Item(trainings, epochs, None, None, None, at_most)
    steps = round(epochs * pace.per_epoch(recipe))
    if pace.speed is None:
        return Item(trainings, epochs, steps, None, None, at_most)
    begun = pace if begins else replace(pace, setup=0.0)
    seconds, busy = begun.seconds(recipe, steps, trainings)
    return Item(trainings, epochs, steps, seconds, busy, at_most)


# ----------------------------------------------------------------------------------------------------------- survey


def key_of(recipe: Recipe) -> str:
    """Trainings with the same key go at the same pace."""
    record = _whole(recipe).record("model", "data", "train")
    train = {name: record["train"][name] for name in ("batch", "precision", "optimizer", "drop_last")}
    return repr((record["model"], record["data"], train))


def _alike(recipe: Recipe) -> str:
    """Trainings of which an image takes as long, however many there are and whatever their labels."""
    record = _whole(recipe).record("model", "data", "train")
    model = {name: value for name, value in record["model"].items() if name != "init"}
    data = [record["data"].get(name) for name in ("name", "size", "form", "augment", "padding")]
    return repr((model, data, [record["train"][name] for name in ("batch", "precision", "optimizer")]))


def _whole(recipe: Recipe) -> Recipe:
    """The recipe on all images: a part may be picked by a run that is still to be made."""
    data = recipe.data.model_copy(update={"subset": None, "drop": None})
    return recipe.model_copy(update={"data": data})


def _bare(recipe: Recipe) -> Recipe:
    """As `_whole`, with nothing drawn or kept: one of several whose pace is the same stands for all of them."""
    keep = recipe.keep.model_copy(update={"epochs": ()})
    return _whole(recipe).model_copy(update={"draw": None, "keep": keep})


def survey(
    planned: Agenda,
    todo: Sequence[Task],
    around: Surroundings,
    *,
    timed: bool,
    faults: list[str] | None,
    trained: Sequence[Need] = (),
    patience: float = PATIENCE,
    unsound: list[Unsound] | None = None,
) -> dict[str, Pace]:
    """Build every net on its data once, put on every tweak, and so refuse what cannot be before anything is trained.

    Args:
        planned: the table.
        todo: its tasks.
        around: where it runs; its reporter is told which net is timed.
        timed: also train a few steps of each, a few seconds for all together; nothing is kept of them.
        faults: takes the lines on data that would have to be fetched; None: the first is raised.
        trained: for measurements, as `needs` gives it.
        patience: about how many seconds the timing takes, above 0.
        unsound: takes the recipes that cannot be, each with why; None: the first is raised.

    Raises:
        UsageError: a recipe, tweak or key that does not fit net or data; an onset of a net without SGD noise.
        OfflineError: data that would have to be fetched, with `faults` None.
        UnavailableError: data or labels that cannot be had otherwise.
        StoppedError: somebody asked to stop.
    """
    paces: dict[str, Pace] = {}
    groups: dict[str, list[Asked]] = {}
    for asked in _open(planned, todo, trained):
        groups.setdefault(key_of(asked.recipe), []).append(asked)
    watch = Watch(around.reporter, len({_alike(own[0].recipe) for own in groups.values()}), patience)
    for key, own in groups.items():
        if (found := _begun(own, around, faults, unsound)) is None:
            continue
        setting, setup = found
        check_all(setting, own, around, unsound)
        for need in (one for one in trained if one.exam.reading.of == "onset" and key_of(one.recipe) == key):
            check_noise(f"onset of {need.exam.draw.name}", _on_part(setting, need.recipe))
        speed = watch.speed(_alike(own[0].recipe), setting) if timed else None
        paces[key] = pace_of(setting, setup, speed)
    return paces


def _begun(
    asked: Sequence[Asked], around: Surroundings, faults: list[str] | None, unsound: list[Unsound] | None
) -> tuple[Setting, float] | None:
    """The net of these on its data, and the seconds that took; None: it cannot be, and the lists say why."""
    recipe = asked[0].recipe
    try:
        return prepared(_bare(recipe), asked[0].seed, around)
    except OfflineError:
        if faults is None:
            raise
        faults.append(f"{recipe.model.name} on {recipe.data.name}: not here, and this fetches nothing")
    except UsageError as error:
        if unsound is None:
            raise
        unsound += [(one.recipe, str(error)) for one in asked]
    return None


def _on_part(setting: Setting, recipe: Recipe) -> Setting:
    """The setting, which has all images, as it counts them on the recipe's part (to a few of them)."""
    part = recipe.data.subset
    share = part.fraction if part is not None and part.fraction is not None else 1
    return replace(
        setting, counts={**setting.counts, "train": max(1, round(setting.counts["train"] * share))}
    )


def _open(planned: Agenda, todo: Sequence[Task], trained: Sequence[Need]) -> Iterable[Asked]:
    """What is still to be trained."""
    yield from (Asked(draw.recipe, draw.seed, draw.folder) for draw in planned.draws if not draw.done)
    yield from (Asked(task.recipe, task.draw.seed) for task in todo if not task.there)
    yield from (Asked(need.recipe, need.exam.draw.seed) for need in trained)
