"""What a draw would cost, from the recipe and a few steps on this machine. Writes nothing."""

from __future__ import annotations

import time
from typing import Any

import torch

from ticketctl.masks.select import kept_count
from ticketctl.recipe import Recipe
from ticketctl.stages.method import cost_in, inputs, method_of, target_of
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.train.evaluate import passed
from ticketctl.train.optimizer import optimizer_for

WARM, TIMED = 2, 6


def estimate_draw(recipe: Recipe, seed: int, around: Surroundings) -> dict[str, Any]:
    """Resolved recipe, trainings, steps, seconds, bytes.

    Raises:
        UnavailableError, UsageError: as the draw would.
    """
    setting = prepare(recipe, seeds_of(recipe, seed), around)
    cost = cost_in(setting)
    inputs(setting.recipe, around.workspace)
    per_epoch = setting.bench.feed.steps_per_epoch
    steps = round(cost.epochs * per_epoch)
    rate = images_per_second(setting)
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
        "images_per_second": rate,
        "seconds": images / rate,
        "bytes": size * (1 + (cost.trainings if recipe.draw and recipe.draw.keep == "all" else 0)),
    }


def work_of(steps: int, batch: int, evaluated: float) -> float:
    """Training images that take as long: one costs about three passes of an evaluated one."""
    return steps * batch + evaluated / 3


def images_per_second(setting: Setting) -> float:
    """Training speed over a few steps; the net's weights are put back."""
    bench = setting.bench
    optimizer = optimizer_for(bench.model, bench.train, bench.place.device)
    bench.feed.begin_epoch(setting.seeds, 0)
    seen, began = 0, time.perf_counter()
    for step in range(min(WARM + TIMED, bench.feed.steps_per_epoch)):
        if step == WARM:
            if bench.place.device.type == "cuda":
                torch.cuda.synchronize(bench.place.device)
            seen, began = 0, time.perf_counter()
        inputs, labels, index = bench.feed.batch(step)
        with bench.place.autocast():
            logits = bench.model(inputs)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        seen += len(index)
    if bench.place.device.type == "cuda":
        torch.cuda.synchronize(bench.place.device)
    seconds = time.perf_counter() - began
    setting.initial.load_into(bench.model)
    return seen / seconds


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
