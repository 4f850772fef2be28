"""What a draw would cost, from the recipe and a few steps on this machine. Only decoded data stay, in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count
from ticketctl.progress import Reporter
from ticketctl.recipe import Recipe
from ticketctl.stages.method import cost_in, inputs, method_of, target_of
from ticketctl.stages.pace import START, Speed, pace_of
from ticketctl.stages.ranked import refuse_kept
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.train.bench import Progress
from ticketctl.train.course import Course
from ticketctl.train.device import settle
from ticketctl.train.evaluate import BATCH
from ticketctl.train.feed import Feed
from ticketctl.train.machine import machine_for
from ticketctl.train.stepper import SMALL_RATE, stepper_for

ENOUGH = 3.0
"""Seconds for timing one net, about."""
LAPS, MOST = 3, 25
"""How many laps there are at least and at most."""
LAP = 0.02
"""Seconds of a lap, at least where steps are short: single steps are too uneven."""
PROBE = 8
"""Images of the first steps, which tell how many fit into the time that there is. Per image, so small a batch may be
a third slower than a large one."""
TICK = 1e-6
"""Seconds that a lap takes at least: clocks have a grain."""


def estimate_draw(recipe: Recipe, seed: int, around: Surroundings, devices: int = 1) -> dict[str, Any]:
    """Resolved recipe, trainings, steps, bytes, seconds: on this machine alone, and as busy as it is now.

    Args:
        recipe: of the draw.
        seed: of the draw.
        around: where, on one device.
        devices: how many would share each training; of several the seconds are the least that it takes.

    Raises:
        UnavailableError, UsageError: as the draw would.
    """
    setting, setup = prepared(shared(recipe, around, devices), seed, around)
    cost = cost_in(setting)
    inputs(setting.recipe, around.workspace)
    steps = round(cost.epochs * setting.bench.feed.steps_per_epoch)
    around.reporter.note(timing(recipe))
    speed = together(speed_of(part_of(setting, devices)), devices)
    pace = replace(pace_of(setting, START + setup, speed), shown=None)  # nothing is measured along a draw
    seconds, busy = pace.seconds(recipe, steps, cost.trainings)
    size = sum(value.numel() * value.element_size() for value in setting.initial.weights.values())
    each = (
        2 if "val" in setting.bench.exams else 1
    )  # the last weights, and those with the best validation accuracy
    return {
        "recipe": setting.recipe.record(),
        "trainings": cost.trainings,
        "epochs": cost.epochs,
        "at_most": cost.at_most,
        "steps": steps,
        "prunable": sum(shape.numel() for shape in setting.shapes.values()),
        "parameters": pace.parameters,
        "kept": _kept(setting),
        "images_per_second": speed.alone,
        "seconds": seconds,
        "seconds_as_busy": busy,
        "bytes": size * (1 + each * (cost.trainings if recipe.draw and recipe.draw.keep == "all" else 0)),
        **({"devices": devices} if devices > 1 else {}),
    }


def shared(recipe: Recipe, around: Surroundings, devices: int) -> Recipe:
    """The recipe as each of several devices has it: its ranks share this machine's threads.

    Raises:
        UsageError: the recipe is not for several devices.
    """
    if devices == 1:
        return recipe
    refuse_kept(recipe)
    return recipe.model_copy(update={"train": settle(recipe.train, around.device, devices)})


def part_of(setting: Setting, devices: int) -> Setting:
    """What one of several devices trains, that share each batch."""
    if devices == 1:
        return setting
    feed = setting.bench.feed
    share = -(-min(feed.batch_size, len(feed)) // devices)
    return replace(setting, bench=replace(setting.bench, feed=_cut(feed, share)))


def together(speed: Speed, devices: int) -> Speed:
    """Of so many devices that are each as fast by themselves: the fastest that they can be.

    What they tell one another, as sums of gradients, takes time too, and is not known here.
    """
    return Speed(devices * speed.alone, devices * speed.now, speed.share)


def prepared(recipe: Recipe, seed: int, around: Surroundings) -> tuple[Setting, float]:
    """What the recipe trains with, and the seconds of work that making it took.

    Raises:
        UnavailableError, UsageError: as `prepare`.
    """
    began = time.process_time()
    setting = prepare(recipe, seeds_of(recipe, seed), around)
    return setting, time.process_time() - began


def timing(recipe: Recipe) -> str:
    """What is said before a net is timed."""
    return f"timing {recipe.model.name} on {recipe.data.name.partition(':')[0]} …"


# ------------------------------------------------------------------------------------------------------------ speed


def speed_of(setting: Setting, seconds: float = ENOUGH) -> Speed:
    """Speed over a few steps of training and evaluation; the net's weights are put back.

    Args:
        setting: what is trained.
        seconds: about how long that may take. Where whole batches would take longer, parts of them are timed.

    Raises:
        StoppedError: somebody asked to stop.
    """
    clock = _clock(setting)
    setting.bench.feed.begin_epoch(setting.seeds, 0)
    images, seen = _afforded(setting, seconds)
    training = speed_from(_laps(_training(setting, images), clock, 0.6 * seconds, setting.poll))
    looking = speed_from(_laps(_evaluating(setting, seen), clock, 0.2 * seconds, setting.poll))
    setting.initial.load_into(setting.bench.model)
    return replace(training, share=training.alone / looking.alone)


def speed_from(laps: Sequence[tuple[int, float, float]]) -> Speed:
    """The fastest lap, and all of them.

    Args:
        laps: of each its images, its seconds of work, and its seconds on the wall, above 0.
    """
    alone = max(seen / work for seen, work, _ in laps)
    now = sum(seen for seen, _, _ in laps) / sum(wall for _, _, wall in laps)
    return Speed(alone, min(alone, now))


PATIENCE = 5.0
"""Seconds for timing all nets of a table together, about."""


@dataclass
class Watch:
    """Times each of several nets once, with an equal part of the time that is left for each that is to come."""

    reporter: Reporter
    nets: int
    left: float = PATIENCE
    speeds: dict[str, Speed | None] = field(default_factory=dict)
    """By what their callers call them."""

    def speed(self, net: str, setting: Setting) -> Speed | None:
        """None where no time is left: nothing is known of that net then."""
        if net not in self.speeds:
            self.speeds[net] = self._timed(setting) if self.left > 0 else None
            self.nets -= 1
        return self.speeds[net]

    def _timed(self, setting: Setting) -> Speed:
        self.reporter.note(timing(setting.recipe))
        began = time.perf_counter()
        speed = speed_of(setting, min(ENOUGH, self.left / max(1, self.nets)))
        self.left -= time.perf_counter() - began
        return speed


def _clock(setting: Setting) -> Callable[[], float]:
    own = setting.bench.place.device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if own else time.perf_counter


def _afforded(setting: Setting, seconds: float) -> tuple[int, int]:
    """Images of a step and of an evaluated batch that are timed; a GPU takes whole batches, and hardly notices."""
    batch = min(setting.bench.feed.batch_size, len(setting.bench.feed))
    if setting.bench.place.device.type == "cuda":
        return batch, BATCH
    few = min(PROBE, batch)
    step = _training(setting, few)
    step(1)  # sets up what it needs
    began = time.perf_counter()
    step(1)
    each = max(time.perf_counter() - began, TICK) / few
    most = max(few, int(0.6 * seconds / (LAPS + 1) / each))
    return min(batch, most), min(BATCH, max(few, most // 3))


def _training(setting: Setting, images: int) -> Callable[[int], int]:
    """Takes so many steps of `images`, as a training does, and answers how many images that were."""
    bench = replace(setting.bench, feed=_cut(setting.bench.feed, images), machines={})
    mask, progress = Mask.full(setting.shapes), Progress(0)
    machine = machine_for(bench, mask)
    machine.begin(setting.initial, mask, ())
    stepper = stepper_for(bench, machine)
    stepper.begin(progress)
    course = Course(bench, machine, progress, 1, setting.poll, 1)
    done = 0

    def lap(steps: int) -> int:
        nonlocal done
        seen = 0
        for _ in range(steps):
            position = done % bench.feed.steps_per_epoch
            stepper.take(position, SMALL_RATE, course)
            seen, done = seen + len(bench.feed.rows(position)), done + 1
        stepper.settle(progress)  # waits for the device
        return seen

    return lap


def _cut(feed: Feed, batch: int) -> Feed:
    """The same images in other batches."""
    cut = copy(feed)
    cut.batch_size, cut.steps_per_epoch = batch, max(1, len(feed) // batch)
    return cut


def _evaluating(setting: Setting, images: int) -> Callable[[int], int]:
    """Evaluates so many batches of `images`, and answers how many images that were."""
    model, source = setting.bench.model, setting.bench.feed.images

    def lap(steps: int) -> int:
        model.eval()
        with torch.no_grad():
            for _ in range(steps):
                float(model(source.batch(0, images)[0]).float().sum())  # waits for the device
        model.train()
        return steps * min(images, len(source))

    return lap


def _laps(
    run: Callable[[int], int], clock: Callable[[], float], seconds: float, poll: Callable[[], None]
) -> list[tuple[int, float, float]]:
    """As `speed_from` takes them, after one that is not counted."""
    began = time.perf_counter()
    run(1)
    steps = max(1, round(LAP / max(time.perf_counter() - began, TICK)))
    laps: list[tuple[int, float, float]] = []
    while len(laps) < LAPS or (time.perf_counter() - began < seconds and len(laps) < MOST):
        poll()
        at, now = clock(), time.perf_counter()
        seen = run(steps)
        laps.append((seen, max(clock() - at, TICK), max(time.perf_counter() - now, TICK)))
    return laps


def _kept(setting: Setting) -> int | None:
    """Weights of the deepest level, where density or rounds say it in advance."""
    target, draw = target_of(setting.recipe), setting.recipe.draw
    total = sum(shape.numel() for shape in setting.shapes.values())
    if target.density is not None:
        return kept_count(total, target.density)
    assert draw is not None
    _, params = method_of(setting.recipe)
    if target.rounds is None or not hasattr(params, "rate"):
        return None  # the method settles it
    return kept_count(total, (1 - params.rate) ** target.rounds)
