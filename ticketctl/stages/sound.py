"""What a training refuses as it begins, once its data and net are there: asked by whoever begins one, or plans many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ticketctl.artifacts.ticket import Ticket
from ticketctl.data.load import load
from ticketctl.data.splits import hold_out
from ticketctl.data.subsets import left, picked, size_by
from ticketctl.errors import OfflineError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import left_dense, policy, prunable
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import DataSpec
from ticketctl.seeds import Seeds
from ticketctl.stages import lineage
from ticketctl.stages.at_level import AtLevel
from ticketctl.stages.dressing import Outfit, dress
from ticketctl.stages.lengths import check_lengths, check_rewind, steps_of
from ticketctl.stages.method import check_start, inputs, lab_for
from ticketctl.stages.samples import noisy, settled_noise
from ticketctl.stages.setting import Setting, Surroundings, seeds_of
from ticketctl.stages.streamed import options_of
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
    alike: dict[tuple[str, tuple[int, ...]], list[Asked]] = {}
    classes: dict[str, tuple[int, ...]] = {}
    for one in asked:
        drawn = repr((one.recipe.record("data", "seeds"), one.seed))
        if drawn not in classes:
            classes[drawn] = _classes_of(setting, one)
        what = repr((one.recipe.record(*tables), one.folder is None))
        alike.setdefault((what, classes[drawn]), []).append(one)  # they may differ by the seed
    for (_, sizes), own in alike.items():
        try:
            images = _images(own[0].recipe, sizes)
            _check(_under(setting, own[0].recipe, images, around), own[0], around)
        except UsageError as error:
            if unsound is None:
                raise
            unsound += [(one.recipe, str(error)) for one in own]


def _classes_of(setting: Setting, one: Asked) -> tuple[int, ...]:
    """Images to train on of each class, by the labels they are given; of all classes where no part is taken."""
    data, part = setting.data, one.recipe.data
    if part.subset is None and part.drop is None:
        return (setting.counts["train"],)
    recipe = settled_noise(one.recipe, data)
    seeds, noise = seeds_of(recipe, one.seed), recipe.data.noise
    index, _ = hold_out(len(data.train), recipe.data.validation, seeds)
    own = noise is None or noise.kind == "none"
    labels = np.asarray(data.train.labels) if own or noise is None else noisy(noise, data, seeds).given
    return tuple(np.bincount(labels[index]).tolist())


def _images(recipe: Recipe, classes: Sequence[int]) -> int:
    """How many images a training has of so many in each class: which they are may say a run that is still to be made.

    Of a part of what a run leaves it is the most that there can be.

    Raises:
        UsageError: none would be left, or a class has too few.
    """
    drop, subset, many = recipe.data.drop, recipe.data.subset, sum(classes)
    any_of, index = np.zeros(many, np.int64), np.arange(many)
    if drop is not None:
        share = drop.most_forgotten or drop.least_forgotten
        return len(left(index, any_of, share)) if share else many
    if subset is None:
        return many
    labels = np.repeat(np.arange(len(classes)), classes)
    return len(picked(index, labels, any_of, size_by(subset.fraction, subset.count)))


def form_here(spec: DataSpec, around: Surroundings) -> tuple[tuple[int, int, int], int] | None:
    """Channels, height and width of an image and the number of classes; None: the data are not here.

    Raises:
        UsageError, UnavailableError: as `load`.
    """
    try:
        data = load(
            spec.name, cache=around.cache, folder=around.data_dir, offline=True, reporter=around.reporter,
            options=options_of(spec), form=spec.form,
        )  # fmt: skip
    except OfflineError:
        return None
    return data.shape, len(data.classes)


def _under(setting: Setting, recipe: Recipe, images: int, around: Surroundings) -> Setting:
    """The setting under another recipe, which trains on so many images: where that is a part, epochs have its steps."""
    feed = copy(setting.bench.feed)
    feed.steps_per_epoch = steps_of(recipe, images)
    train = settle(recipe.train, around.device)
    own = recipe.model_copy(update={"data": setting.recipe.data, "train": train})
    bench = replace(setting.bench, feed=feed, train=train, machines={})
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
