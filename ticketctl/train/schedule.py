"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math
from bisect import bisect_right

from ticketctl.duration import Duration
from ticketctl.recipe import TrainSpec


def learning_rates(spec: TrainSpec, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of a whole training, length epochs * steps_per_epoch.

    `step` changes at its milestones alone; `cosine` falls to 0 at the end, lr/2 * (1 + cos(pi t/T)), t counted in
    steps; a warm-up of w steps multiplies by (t+1)/w while t < w.
    """
    total = spec.epochs * steps_per_epoch
    warmup = _steps(spec.warmup, spec, steps_per_epoch)
    milestones = spec.milestones if spec.schedule == "step" else ()
    marks = sorted(_steps(text, spec, steps_per_epoch) for text in milestones)
    return [_rate(spec, step, total, marks) * _warm(step, warmup) for step in range(total)]


def _steps(text: str, spec: TrainSpec, steps_per_epoch: int) -> int:
    return Duration.parse(text).steps(epochs=spec.epochs, steps_per_epoch=steps_per_epoch)


def _rate(spec: TrainSpec, step: int, total: int, marks: list[int]) -> float:
    if spec.schedule == "cosine":
        return spec.lr / 2 * (1 + math.cos(math.pi * step / total))
    if spec.schedule == "step":
        return float(spec.lr * spec.gamma ** bisect_right(marks, step))
    return spec.lr


def _warm(step: int, warmup: int) -> float:
    return (step + 1) / warmup if step < warmup else 1.0
