"""What a training refuses as it begins, once its data and net are there: asked by whoever begins one, or plans many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import left_dense, policy, prunable
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages import lineage
from ticketctl.stages.at_level import AtLevel
from ticketctl.stages.dressing import Outfit, dress
from ticketctl.stages.lengths import check_lengths, check_rewind
from ticketctl.stages.method import check_start, inputs, lab_for
from ticketctl.stages.setting import Setting, Surroundings, seeds_of
from ticketctl.stages.tweaking import literal
from ticketctl.stages.watched import watch_of
from ticketctl.stages.watching import check_watched
from ticketctl.train.company import rates_of
from ticketctl.train.device import settle


def check_draw(setting: Setting, folder: Path, workspace: Path) -> dict[str, AtLevel]:
    """Let lengths and method refuse what they must, before anything is trained.

    Args:
        setting: of the draw.
        folder: where it will lie; nothing is written.
        workspace: where tickets are looked for that the method needs.

    Returns:
        These tickets, by the keys that name them.

    Raises:
        UsageError, ArtifactError: as `check_lengths`, `inputs` and `check_start`.
    """
    per_epoch = setting.bench.feed.steps_per_epoch
    check_lengths(setting.recipe, per_epoch)
    check_rewind(setting.recipe, per_epoch)
    given = inputs(setting.recipe, workspace)
    lineage.check(one.ticket for one in given.values())
    check_start(setting, lab_for(setting, folder, given))
    return given


def check_spend(setting: Setting, recipe: Recipe, seeds: Seeds) -> None:
    """Refuse lengths, and metrics along the training, that cannot be.

    Args:
        setting: of the spend; its course is the recipe's.
        recipe: of the spend.
        seeds: of the spend.

    Raises:
        UsageError: something lies past the end of the training; a metric cannot be, or does not fit the data.
        MissingExtraError: a metric needs a package that is not here.
    """
    check_lengths(recipe, setting.bench.feed.steps_per_epoch)
    check_watched(recipe)
    watch_of(recipe, seeds, setting)


def try_on(
    setting: Setting,
    recipe: Recipe,
    seeds: Seeds,
    mask: Mask,
    *,
    ticket: Ticket | None = None,
    sequel: bool = False,
    begun: int = 0,
) -> Outfit:
    """The outfit of a spend, if its tweaks, too, are as they must be.

    Args:
        setting: of the spend; its course is the recipe's.
        recipe: of the job.
        seeds: of the job.
        mask: as of `dress`, like the arguments below.
        ticket: see there.
        sequel: see there.
        begun: see there.

    Raises:
        UsageError: as `check_spend`; a tweak does not fit the net, the data or the course of the training.
        ArtifactError: a level of the ticket is damaged.
    """
    check_spend(setting, recipe, seeds)
    outfit = dress(setting, recipe, seeds, mask, ticket=ticket, teacher=None, sequel=sequel, begun=begun)
    rates_of(outfit.setting.bench, outfit.hooks)
    return outfit


# ------------------------------------------------------------------------------------------------------------- many


Unsound = tuple[Recipe, str]
"""The recipe of a training that cannot be, and why."""


@dataclass(frozen=True)
class Asked:
    """A training that is still to be begun."""

    recipe: Recipe
    seed: int
    folder: Path | None = None
    """Of a draw."""


def check_all(
    setting: Setting, asked: Iterable[Asked], around: Surroundings, unsound: list[Unsound] | None
) -> None:
    """Whether each can begin; of those that are alike but for their seeds one is asked, and answers for all.

    Args:
        setting: of one of them; the others are of the same net on the same images.
        asked: what is to be trained.
        around: where.
        unsound: takes those that cannot; None: the first is raised.

    Raises:
        UsageError: as `check_draw` and `try_on`, with `unsound` None.
    """
    tables = ("data", "train", "draw", "spend", "tweaks", "keep", "metrics")
    alike: dict[str, list[Asked]] = {}
    for one in asked:
        alike.setdefault(repr((one.recipe.record(*tables), one.folder is None)), []).append(one)
    for own in alike.values():
        try:
            _check(_under(setting, own[0].recipe, around), own[0], around)
        except UsageError as error:
            if unsound is None:
                raise
            unsound += [(one.recipe, str(error)) for one in own]


def _under(setting: Setting, recipe: Recipe, around: Surroundings) -> Setting:
    """The setting under another recipe; where that takes a part of the images, it is all of them here."""
    train = settle(recipe.train, around.device)
    own = recipe.model_copy(update={"data": setting.recipe.data, "train": train})
    bench = replace(setting.bench, train=train, machines={})
    names = prunable(bench.model, policy(recipe.draw.prunable if recipe.draw else "default"))
    shapes = {name: setting.initial.weights[name].shape for name in names}
    return replace(setting, recipe=own, bench=bench, shapes=shapes, excluded=left_dense(bench.model, names))


def _check(setting: Setting, one: Asked, around: Surroundings) -> None:
    if one.folder is not None:
        check_draw(setting, one.folder, around.workspace)
        return
    seeds, names = seeds_of(one.recipe, one.seed), one.recipe.spend.tweaks
    needs = {need for name in names for need in literal(name, "NEEDS", ())}
    if "levels" in needs:  # those are still to be drawn
        check_spend(setting, one.recipe, seeds)
        return
    # which weights are kept plays no part in whether tweaks fit
    keep = {
        name: (torch.arange(shape.numel()) % 2 == 0).reshape(shape) for name, shape in setting.shapes.items()
    }
    try_on(setting, one.recipe, seeds, Mask(keep))
