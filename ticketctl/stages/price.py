"""What a spend costs: of the runs that are not there the trainings, epochs, steps, and the seconds on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ticketctl.errors import OfflineError
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.beginning import restarts, share_before
from ticketctl.stages.estimate import part_of, shared, speed_of, timing, together
from ticketctl.stages.outset import setting_of
from ticketctl.stages.pace import START, pace_of
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.tweaking import epochs_of
from ticketctl.stages.wallet import Job


@dataclass(frozen=True)
class Price:
    """The sum over the runs that are not there."""

    trainings: int
    epochs: float
    steps: int | None = None
    """None: the number of images is not known."""
    seconds: float | None = None
    """With the machine to itself; None: not timed."""
    seconds_as_busy: float | None = None
    """With the machine as busy as it was."""
    unknown: str = ""
    """Why it was not timed."""
    devices: int = 1
    """How many would share each training; of several the seconds are the least that they take."""

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        names = ("trainings", "epochs", "steps", "seconds", "seconds_as_busy")
        more = {"devices": self.devices} if self.devices > 1 else {}
        return {name: getattr(self, name) for name in names} | more


def price(
    todo: Sequence[Job], recipe: Recipe, draw_seeds: Seeds, around: Surroundings, devices: int = 1
) -> Price:
    """The cost of a spend's jobs, of which there is one or more; a few steps are timed, and nothing is kept of them.

    Decoded data stay in the cache, as those of the spend do. Where `around` is offline and the data would have to be
    fetched, the price has no seconds and says why. Of several `devices` one is timed.

    Raises:
        UsageError, UnavailableError: as the spend would, where nothing has to be fetched.
        StoppedError: somebody asked to stop.
    """
    began, recipe = time.process_time(), shared(recipe, around, devices)
    try:
        setting = setting_of(todo, recipe, draw_seeds, around)
    except OfflineError:
        why = f"{recipe.data.name} is not here, and a dry run fetches nothing"
        return replace(price_in(todo, None), unknown=why, devices=devices)
    found, setup = price_in(todo, setting), time.process_time() - began
    around.reporter.note(timing(recipe))
    pace = pace_of(setting, START + setup, together(speed_of(part_of(setting, devices)), devices))
    seconds, busy = pace.seconds(recipe, found.steps or 0, found.trainings)
    return replace(found, seconds=seconds, seconds_as_busy=busy, devices=devices)


def price_in(todo: Sequence[Job], setting: Setting | None) -> Price:
    """The cost in trainings, epochs and, in a setting, steps; nothing is timed."""
    due = [job for job in todo if not job.ready]
    epochs = float(sum(_epochs(job) for job in due))
    steps = None if setting is None else round(epochs * setting.bench.feed.steps_per_epoch)
    return Price(len(due), epochs, steps)


def _epochs(job: Job) -> Fraction:
    """Of one training: what lies before the point at which its ticket enters the schedule is not trained."""
    recipe, epochs = job.recipe, Fraction(epochs_of(job.recipe))
    late = job.level and job.after is None and recipe.spend.start == "ticket" and not restarts(recipe)
    return epochs - (share_before(job.ticket) or 0) * recipe.train.epochs if late else epochs


def told(todo: Sequence[Job], cost: Price) -> str:
    """What a spend is about to do, in one line."""
    if not cost.trainings:
        return f"spend: {len(todo)} runs, all there"
    there = len(todo) - cost.trainings
    runs = f"{len(todo)} runs, {there} of them there" if there else f"{len(todo)} runs"
    return f"spend: {runs}; {amount(cost)}"


def amount(cost: Price) -> str:
    """Trainings, epochs and steps in words."""
    plural = "" if cost.trainings == 1 else "s"
    steps = "" if cost.steps is None else f" and {cost.steps:,} steps"
    return f"{cost.trainings} training{plural}, {cost.epochs:g} epochs{steps} in all"
