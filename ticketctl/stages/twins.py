"""Twins: a ticket spent several times, from the same state, under other SGD noise (order and augmentation alone)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import DivergedError, UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.price import Price, price
from ticketctl.stages.request import Typed
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.spend import spend
from ticketctl.stages.wallet import Chosen, Job, Wanted, needed_by, prepare_spend

PLAIN = ("spend.tweaks=[]", "spend.attribution=false", "spend.small=false")
"""What the draw's recipe may say for its spends, and twins are not: twins of a ticket are plain trainings."""


def without_noise(batch: int, images: int, augment: str) -> bool:
    """Whether a training sees all its images in every step, and sees them as they are: its twins are one net.

    Args:
        batch: images of a step.
        images: to train on, those held out left out.
        augment: settled, `none` or another.
    """
    return batch >= images and augment == "none"


def check_noise(label: str, setting: Setting) -> None:
    """Refuse to ask from which epoch on twins are alike that are one net from the beginning.

    Raises:
        UsageError: says why, after `label`.
    """
    train, images, augment = setting.recipe.train, setting.counts["train"], setting.recipe.data.augment
    if without_noise(train.batch, images, augment):
        raise UsageError(
            f"{label}: it is trained without SGD noise, all {images:,} images in every step and none augmented, so its "
            "twins are one net from every epoch on; take a net with a smaller train.batch, or augmented images"
        )


@dataclass(frozen=True)
class Twins:
    """A spend under several seeds, of which the first is the draw's own: its trainings may lie there."""

    chosen: Chosen
    """Its jobs are the trainings of `levels`, and those that they need."""
    levels: tuple[int, ...]
    count: int
    """Of each level."""

    @property
    def left(self) -> list[Job]:
        """The trainings that are not there."""
        return [job for job in self.chosen.jobs if not job.ready]

    @property
    def remark(self) -> str:
        """What changes how their barrier is to be read, or ""."""
        recipe, images = self.chosen.recipe, self.chosen.ticket.manifest.draw.data.train
        if not without_noise(recipe.train.batch, images, recipe.data.augment):
            return ""
        return (
            f"twins of {self.chosen.ticket.folder} are trained without SGD noise, all {images:,} images in every step "
            "and none augmented: they are one net but for rounding, and a barrier of 0 says nothing"
        )


def planned_twins(ticket: Ticket, levels: Sequence[int], count: int, typed: Typed, workspace: Path) -> Twins:
    """What there is to train.

    Args:
        ticket: the ticket.
        levels: of its ladder; 0 is dense.
        count: twins of each level, 2 or more.
        typed: what changes the recipe, which is the draw's own otherwise.
        workspace: where spends lie.

    Raises:
        UsageError: fewer than two, a recipe under which all twins would be one, or what a spend refuses.
    """
    if count < 2:
        raise UsageError(f"--twins {count}: a barrier lies between two nets; give 2 or more")
    first = int(ticket.manifest.draw.seeds["root"])
    wanted = Wanted(
        ticket=str(ticket.folder),
        levels=",".join(map(str, levels)),
        seeds=[first + number for number in range(count)],
        controls=False,
        workspace=workspace,
        typed=replace(typed, sets=(*typed.sets, *PLAIN)),
    )
    chosen = prepare_spend(wanted)
    _check_noise(ticket, chosen.recipe)
    own = [job for job in chosen.jobs if job.level in levels]
    needed = {one.folder: one for job in own for one in needed_by(job)}
    return Twins(replace(chosen, jobs=tuple(needed.values())), tuple(levels), count)


def _check_noise(ticket: Ticket, recipe: Recipe) -> None:
    """Order and augmentation must follow the seed, one of them at least."""
    fixed = recipe.seeds.order is not None
    if fixed and (recipe.seeds.augment is not None or recipe.data.augment == "none"):
        raise UsageError(
            f"--twins: {ticket.folder} was drawn with seeds.order set apart, which its spends keep: all twins would "
            "be one net; draw it without [seeds] order"
        )


def price_of(twins: Twins, around: Surroundings) -> Price | None:
    """What the trainings cost that are not there, a few steps timed; None: all of them are.

    Raises:
        UsageError, UnavailableError, StoppedError: as `price`.
    """
    chosen = twins.chosen
    return price(chosen.jobs, chosen.recipe, chosen.draw_seeds, around) if twins.left else None


def trained_twins(twins: Twins, around: Surroundings) -> dict[int, list[Run]]:
    """The runs of each level, by seed; what lies there is not trained again.

    Raises:
        DivergedError: one left the finite numbers: there is no path to it.
        LockedError, StoppedError, UnavailableError, ResourceError: as `spend`.
    """
    chosen = twins.chosen
    spent = spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around)
    return _by_level(twins, ((one.job, one.run) for one in spent))


def found_twins(twins: Twins) -> dict[int, list[Run]]:
    """The same, of trainings that are all there.

    Raises:
        DivergedError: as `trained_twins`; ArtifactError: one is damaged.
    """
    return _by_level(twins, ((job, open_run(job.found)) for job in twins.chosen.jobs if job.found))


def _by_level(twins: Twins, trained: Iterable[tuple[Job, Run]]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = {level: [] for level in twins.levels}
    for job, run in trained:
        if job.level not in found:
            continue
        if run.manifest.status == "diverged":
            raise DivergedError(f"{run.folder}: diverged; there is no path from it to its twins")
        found[job.level].append(run)
    return found
