"""Which training images a training is given, and with which labels, where these are not the data set's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.artifacts.ticket import Ticket
from ticketctl.data.labels import read_labels
from ticketctl.data.noise import (
    Labels,
    class_map,
    flipped,
    given_labels,
    labels_digest,
    pair_flip,
    symmetric,
    usual_map,
)
from ticketctl.data.sets import DataSet, Split
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import NoiseSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.places import kept_images, with_runs
from ticketctl.stages.pool import Pool
from ticketctl.store.expand import expanded
from ticketctl.train.evaluate import Exam, Part
from ticketctl.train.feed import Images

if TYPE_CHECKING:
    from ticketctl.stages.setting import Setting, Surroundings


@dataclass(frozen=True)
class Samples:
    """`labels` of all N training images of the data set; `index` int64 [n], the images to train on, ascending.

    None where they are the data set's own, or all that are not held out. `ids` has, for each key that names a place
    of this machine, an id of what lies there.
    """

    labels: Labels | None = None
    index: NDArray[np.int64] | None = None
    ids: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, str]:
        """What a training is a function of besides the data set: nothing, where they are its own."""
        found = {"labels": self.labels.digest} if self.labels is not None else {}
        return found if self.index is None else {**found, "images": labels_digest(self.index)}

    def split(self, own: Split) -> Split:
        """The data set's training images with the labels that a training is given; its own are there as `clean`."""
        return own if self.labels is None else replace(own, labels=self.labels.given, clean=self.labels.clean)


def settled_noise(recipe: Recipe, data: DataSet) -> Recipe:
    """The recipe with the usual map of classes where none was named: an artifact says what was used.

    Raises:
        UsageError: there is no usual one for these classes.
    """
    noise = recipe.data.noise
    if noise is None or noise.kind != "asymmetric" or noise.map:
        return recipe
    named = noise.model_copy(update={"map": usual_map(data.classes)})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"noise": named})})


def chosen_samples(
    recipe: Recipe,
    data: DataSet,
    train: NDArray[np.int64],
    seeds: Seeds,
    around: Surroundings,
    ticket: Ticket | None = None,
) -> Samples:
    """What `[data.noise]`, `[data.drop]` and `[data.subset]` say, for these data.

    Args:
        recipe: settled.
        data: the data set as it is.
        train: the images of its training split that are not held out, ascending.
        seeds: the streams `labels` and `subset`.
        around: its reporter is told what may surprise; its workspace is where runs are looked for by name or id.
        ticket: that is spent; it has the list of its images, so that a record it was drawn by may lie anywhere.

    Raises:
        UsageError: they do not fit the data.
        UnavailableError: a file of labels cannot be read.
        ArtifactError: a damaged run.
    """
    noise = recipe.data.noise
    labels = noisy(noise, data, seeds) if noise is not None and noise.kind != "none" else None
    given = np.asarray(data.train.labels) if labels is None else labels.given
    ids: dict[str, Any] = (
        {"noise": labels_digest(given)} if noise is not None and noise.kind == "file" else {}
    )
    known = ids.get("noise", "")
    kept = None if ticket is None else kept_images(ticket, recipe, seeds, train, data.fingerprint, known)
    if kept is None:
        found = with_runs(recipe, around.workspace)
        kept = _picked(Pool(found, data, train, given, seeds, around.reporter))
    index, runs = kept
    return Samples(labels, None if np.array_equal(index, train) else index, {**ids, **runs})


def _picked(pool: Pool) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """What the recipe leaves of the pool, and the ids of the runs that this was read from, by their table."""
    drop, subset, index, ids = pool.recipe.data.drop, pool.recipe.data.subset, pool.train, dict[str, Any]()
    if drop is not None:
        index, ids["drop"] = pool.left(drop)
    if subset is not None:
        index, runs = pool.part(subset, index)
        ids |= {"subset": runs} if runs else {}
    return index, ids


def noisy(noise: NoiseSpec, data: DataSet, seeds: Seeds) -> Labels:
    """The labels that a training is given.

    Raises:
        UsageError: rate, map or file do not fit the data.
        UnavailableError: the file cannot be read.
    """
    clean, classes = np.asarray(data.train.labels), len(data.classes)
    if noise.kind == "file":
        return _of_file(noise, clean, classes)
    assert noise.rate is not None
    if noise.kind in ("symmetric", "symmetric-class"):
        return symmetric(clean, noise.rate, classes, seeds, per_class=noise.kind == "symmetric-class")
    to = pair_flip(classes) if noise.kind == "pair-flip" else class_map(noise.map or {}, data.classes)
    return flipped(clean, noise.rate, to, seeds)


def _of_file(noise: NoiseSpec, clean: NDArray[np.int64], classes: int) -> Labels:
    if not noise.path or noise.path.startswith("sha256:"):
        known = f" (here: {noise.path})" if noise.path else ""
        raise UsageError(
            f"data.noise.path: where the labels lie is not known{known}; say it with --set data.noise.path=FILE"
        )
    path = expanded(noise.path)
    labels, theirs = read_labels(path, key=noise.key, column=noise.column)
    if theirs is not None and not np.array_equal(theirs, clean):
        raise UsageError(
            f"data.noise.path: {path}: its true labels are not those of the data: "
            "it belongs to other images, or to another order of them"
        )
    return given_labels(labels, clean, classes, f"data.noise.path: {path}")


def memory_exams(labels: Labels | None, images: Images, index: NDArray[np.int64]) -> dict[str, Exam]:
    """What tells memorising from learning (paper 002, section 3): eval mode, without augmentation, at every epoch.

    `permuted`: the images drawn, against the labels they are given; a perfect classifier gets 1/K of them right.
    `restored`: the same images against their true labels. `unpermuted`: those never drawn. `train.eval`: all images
    trained on, as they are given. They share pixels and forward passes. None without wrong labels.

    Args:
        labels: of all images of the data set.
        images: those trained on.
        index: their places in the data set, ascending.
    """
    if labels is None:
        return {}
    drawn = labels.drawn[index]

    def part(of: NDArray[np.bool_], values: NDArray[np.int64]) -> Part:
        rows = np.flatnonzero(of)
        device = images.labels.device
        return Part(
            images, torch.from_numpy(rows).to(device), torch.from_numpy(values[index][rows]).to(device)
        )

    return {
        "permuted": part(drawn, labels.given),
        "restored": part(drawn, labels.clean),
        "unpermuted": part(~drawn, labels.given),
        "train.eval": images,
    }


def samples_of(setting: Setting) -> dict[str, torch.Tensor]:
    """What a ticket or run keeps of its images, empty where these are the data set's own.

    `labels.given` and `labels.clean` int64 [N], `labels.drawn` uint8 [N], in the order of the data set's training
    split; `subset.index` int64 [n], the images of that split that were trained on, ascending.
    """
    labels, index = setting.samples.labels, setting.samples.index
    found: dict[str, NDArray[Any]] = {}
    if labels is not None:
        found = {"labels.given": labels.given, "labels.clean": labels.clean}
        found["labels.drawn"] = labels.drawn.astype(np.uint8)
    if index is not None:
        found["subset.index"] = index
    return {name: torch.from_numpy(np.array(array)) for name, array in found.items()}
