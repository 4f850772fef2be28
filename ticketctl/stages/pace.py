"""From what was timed, the seconds that trainings take."""

from __future__ import annotations

from dataclasses import dataclass

from ticketctl.recipe import Recipe
from ticketctl.stages.setting import Setting
from ticketctl.stages.watching import Shown, watching
from ticketctl.train.evaluate import passed

START = 4.0
"""Seconds until a command that trains has loaded what it needs, torch above all."""
TRAINING = 0.05
"""Seconds that each training takes besides its steps and evaluations: set-up, checkpoints, its run and level."""
PARAMETER = 3e-7
"""Seconds more for each parameter of the net: weights are written, read back, and hashed; paths are searched.

These three are of an AMD EPYC (2 cores) with a local disk; docs/how-to/reproduce-a-table.md has what they were checked
against.
"""


@dataclass(frozen=True)
class Speed:
    """Training images a second."""

    alone: float
    """With the machine to itself: the fastest lap; under one thread by the processor's time, which others take none of.
    """
    now: float
    """As it went, beside whatever else is running."""
    share: float = 1 / 3
    """Of the time of a training image, what an evaluated one takes: forward alone, but in float32."""

    @property
    def slower(self) -> float:
        """How many times as long everything takes beside what else is running, at least 1."""
        return self.alone / self.now


@dataclass(frozen=True)
class Pace:
    """How many images an epoch has and how fast they go by."""

    images: int
    """Trained on, at least 1."""
    evaluated: int
    """After each epoch that is evaluated."""
    speed: Speed | None
    """None: not timed."""
    parameters: int = 0
    """Of the net: how long each training takes besides its steps."""
    setup: float = 0.0
    """Seconds, with the machine to itself, until data and net are there: once for each draw, and each spend of it."""
    shown: Shown | None = None
    """What metrics see along a training; None: they are not counted."""

    def per_epoch(self, recipe: Recipe) -> int:
        """Steps of an epoch under the recipe."""
        batch = recipe.train.batch
        return max(1, self.images // batch if recipe.train.drop_last else -(-self.images // batch))

    def seconds(self, recipe: Recipe, steps: int, trainings: int) -> tuple[float, float]:
        """What trainings take after one set-up: with the machine to itself, and with it as busy as it was when timed.

        Nets are evaluated after epochs, and once before the first step of each training; so is what the recipe keeps
        along them.

        Args:
            recipe: of all of them.
            steps: of all together, at least 0.
            trainings: how many, at least 1.
        """
        assert self.speed is not None
        per_epoch = self.per_epoch(recipe)
        epochs = steps / per_epoch
        # the last batch of an epoch may be smaller than the others, or dropped
        trained = epochs * min(self.images, per_epoch * recipe.train.batch)
        evaluated = (epochs / recipe.train.eval_every + trainings) * self.evaluated
        beside = self.setup + trainings * (TRAINING + PARAMETER * self.parameters)
        if self.shown is not None:
            passes, more = watching(recipe, self.shown, epochs, trainings)
            evaluated, beside = evaluated + passes, beside + more
        alone = beside + (trained + evaluated * self.speed.share) / self.speed.alone
        return alone, alone * self.speed.slower


def pace_of(setting: Setting, setup: float, speed: Speed | None) -> Pace:
    """The pace of what trains in a setting that took `setup` seconds to make."""
    parameters = sum(parameter.numel() for parameter in setting.bench.model.parameters())
    counts = setting.counts
    shown = Shown(
        {"train": counts["train"], "val": counts["validation"], "test": counts["test"]},
        len(setting.data.classes),
    )
    return Pace(counts["train"], passed(setting.bench.exams), speed, parameters, setup, shown)
