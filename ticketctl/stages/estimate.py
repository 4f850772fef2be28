"""What a draw would cost, from the recipe and a few steps on this machine. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch

from ticketctl.masks.select import kept_count
from ticketctl.recipe import Recipe
from ticketctl.stages.method import cost_in, inputs, method_of, target_of
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.train.bench import Bench
from ticketctl.train.evaluate import passed
from ticketctl.train.optimizer import optimizer_for

WARM, STEPS, LAPS, MOST = 2, 2, 4, 50
"""Steps that are not timed, steps of a lap, and how many laps there are at least and at most."""
ENOUGH = 0.3
"""Seconds after which no more laps than the least are begun."""
TICK = 1e-6
"""Seconds that a lap takes at least: clocks have a grain."""


def estimate_draw(recipe: Recipe, seed: int, around: Surroundings) -> dict[str, Any]:
    """Resolved recipe, trainings, steps, bytes, seconds: on this machine alone, and as busy as it is now.

    Raises:
        UnavailableError, UsageError: as the draw would.
    """
    setting = prepare(recipe, seeds_of(recipe, seed), around)
    cost = cost_in(setting)
    inputs(setting.recipe, around.workspace)
    per_epoch = setting.bench.feed.steps_per_epoch
    steps = round(cost.epochs * per_epoch)
    speed = speed_of(setting)
    evaluated = steps / per_epoch / recipe.train.eval_every * passed(setting.bench.exams)
    images = work_of(steps, setting.bench.feed.batch_size, evaluated)
    size = sum(value.numel() * value.element_size() for value in setting.initial.weights.values())
    return {
        "recipe": setting.recipe.record(),
        "trainings": cost.trainings,
        "epochs": cost.epochs,
        "at_most": cost.at_most,
        "steps": steps,
        "prunable": sum(shape.numel() for shape in setting.shapes.values()),
        "parameters": sum(parameter.numel() for parameter in setting.bench.model.parameters()),
        "kept": _kept(setting),
        "images_per_second": speed.alone,
        "seconds": images / speed.alone,
        "seconds_as_busy": images / speed.now,
        "bytes": size * (1 + (cost.trainings if recipe.draw and recipe.draw.keep == "all" else 0)),
    }


def work_of(steps: int, batch: int, evaluated: float) -> float:
    """Training images that take as long: one costs about three passes of an evaluated one."""
    return steps * batch + evaluated / 3


@dataclass(frozen=True)
class Speed:
    """Training images a second."""

    alone: float
    """With the machine to itself: the fastest lap; under one thread by the processor's time, which others take none of.
    """
    now: float
    """As it went, beside whatever else is running."""


def speed_of(setting: Setting) -> Speed:
    """Training speed over a few steps; the net's weights are put back."""
    bench = setting.bench
    device = bench.place.device
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    optimizer = optimizer_for(bench.model, bench.train, device)
    bench.feed.begin_epoch(setting.seeds, 0)
    steps = count()
    _lap(bench, optimizer, steps, WARM)
    laps: list[tuple[int, float, float]] = []
    began = time.perf_counter()
    while len(laps) < LAPS or (time.perf_counter() - began < ENOUGH and len(laps) < MOST):
        at, now = clock(), time.perf_counter()
        seen = _lap(bench, optimizer, steps, STEPS)
        laps.append((seen, max(clock() - at, TICK), max(time.perf_counter() - now, TICK)))
    setting.initial.load_into(bench.model)
    return speed_from(laps)


def speed_from(laps: Sequence[tuple[int, float, float]]) -> Speed:
    """The fastest lap, and all of them.

    Args:
        laps: of each its images, its seconds of work, and its seconds on the wall, above 0.
    """
    alone = max(seen / work for seen, work, _ in laps)
    now = sum(seen for seen, _, _ in laps) / sum(wall for _, _, wall in laps)
    return Speed(alone, min(alone, now))


def _lap(bench: Bench, optimizer: torch.optim.Optimizer, steps: Iterator[int], length: int) -> int:
    """Some steps of training; how many images that were."""
    seen = 0
    for step in islice(steps, length):
        inputs, labels, index = bench.feed.batch(step % bench.feed.steps_per_epoch)
        with bench.place.autocast():
            logits = bench.model(inputs)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        seen += len(index)
    if bench.place.device.type == "cuda":
        torch.cuda.synchronize(bench.place.device)
    return seen


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
