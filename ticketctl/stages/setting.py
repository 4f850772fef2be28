"""A resolved recipe turned into data on the device, a net, and a bench to train it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ticketctl.artifacts.models import shapes_digest
from ticketctl.artifacts.ticket import Ticket
from ticketctl.data.load import load
from ticketctl.data.sets import DataSet
from ticketctl.data.splits import hold_out
from ticketctl.errors import UsageError
from ticketctl.masks.prunable import head, left_dense, policy, prunable
from ticketctl.nets.build import build, find, source, widths_of
from ticketctl.nets.initialise import initialise_
from ticketctl.progress import Attentive, Reporter
from ticketctl.recipe import ModelSpec, Recipe
from ticketctl.recipe_data import PLACES
from ticketctl.seeds import Seeds
from ticketctl.stages.lengths import check_kept, rewind_step, steps_of
from ticketctl.stages.samples import Samples, chosen_samples, memory_exams, settled_noise
from ticketctl.stages.streamed import bytes_held, crop_of, options_of, settled_crop
from ticketctl.train.bench import Bench, poll
from ticketctl.train.device import Place, room, settle, settle_arithmetic
from ticketctl.train.evaluate import Exam
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.foreign_code import code_of
from ticketctl.train.lab import Lab
from ticketctl.train.ranks import Ranks
from ticketctl.train.state import State
from ticketctl.train.threads import threads_here


@dataclass(frozen=True)
class Surroundings:
    """What a stage is given besides the recipe: where it runs and who watches."""

    device: torch.device
    cache: Path
    reporter: Reporter
    stop: Callable[[], int | None]
    data_dir: Path | None = None
    offline: bool = False
    argv: tuple[str, ...] = ()
    workspace: Path = Path("runs")
    """Where tickets that a method needs are looked for by name."""
    ranks: Ranks | None = None  # the processes that share the work, if it is not this one alone


@dataclass(frozen=True)
class Setting:
    """Everything that a draw or spend trains with."""

    recipe: Recipe
    bench: Bench
    data: DataSet
    counts: Mapping[str, int]
    """Images to train on, to validate with, to test with."""
    initial: State
    shapes: Mapping[str, torch.Size]
    excluded: tuple[str, ...]
    seeds: Seeds
    samples: Samples = field(default_factory=Samples)
    """The images trained on and their labels, where these are not the data set's own."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Ids of the tickets that the draw was given, by the key of `[draw]` that names each."""

    @property
    def base_name(self) -> str:
        """The data set's name without a path of this machine."""
        return self.recipe.data.name.partition(":")[0]

    @property
    def arch(self) -> dict[str, Any]:
        """The net, as manifests describe it."""
        model = self.recipe.model
        return {
            "name": model.name,
            "source": source(model.name),
            "num_classes": len(self.data.classes),
            "in_chans": self.data.shape[0],
            "size": list(self.data.shape[1:]),
            "kwargs": _kwargs(model),
            "param_shapes": shapes_digest({name: tuple(w.shape) for name, w in self.initial.weights.items()}),
        }

    @property
    def data_record(self) -> dict[str, Any]:
        """The data, as manifests describe them."""
        return {"name": self.base_name, "fingerprint": self.data.fingerprint, **self.counts}

    @property
    def public_recipe(self) -> dict[str, Any]:
        """The resolved recipe as artifacts carry it: no path of this machine in it."""
        record = self.recipe.record()
        record["data"]["name"] = self.base_name
        for table, known in self.samples.ids.items():
            record["data"][table][PLACES[table]] = known
        if self.given:
            record["draw"]["params"] |= self.given
        return record

    @property
    def identity(self) -> dict[str, Any]:
        """What a training is a function of, besides seeds, start and mask."""
        record = self.recipe.record("data", "train", "keep")
        for name in ("name", "stream", *PLACES):  # digests name the content, wherever it lies
            record["data"].pop(name, None)
        record["train"]["deterministic"] &= self.bench.place.device.type != "cpu"  # where all is
        found = {**record, "arch": self.arch, "fingerprint": self.data.fingerprint, **self.bench.devices}
        return {**found, **self.samples.identity, **code_of("nets", self.recipe.model.name)}

    def lab(self, folder: Path, seeds: Seeds | None = None, rewind: int = 0, restart: bool = False) -> Lab:
        """A lab whose trainings lie below `folder`."""
        per_epoch = self.bench.feed.steps_per_epoch
        epochs, last = self.recipe.keep.epochs, self.recipe.train.epochs
        keep = tuple(epoch * per_epoch for epoch in epochs if epoch <= last)
        return Lab(
            self.bench,
            seeds or self.seeds,
            self.initial,
            self.shapes,
            rewind,
            restart,
            keep,
            self.identity,
            folder,
            head(self.bench.model),
        )

    def poll(self) -> None:
        """Leave, if somebody asked to stop; for long work between trainings.

        Raises:
            StoppedError: somebody did.
        """
        poll(self.bench.stop)

    def rewind_step(self) -> int:
        """The step that levels rewind to.

        Raises:
            UsageError: at or past the end of the training.
        """
        return rewind_step(self.recipe, self.bench.feed.steps_per_epoch)


def seeds_of(recipe: Recipe, root: int) -> Seeds:
    """The streams of a run: `--seed`, with the roots that `[seeds]` sets apart."""
    return Seeds(root, recipe.seeds.model_dump(exclude_none=True))


def prepare(recipe: Recipe, seeds: Seeds, around: Surroundings, ticket: Ticket | None = None) -> Setting:
    """Load the data, build and initialise the net, and settle what the recipe leaves to the machine.

    Of a `ticket` that is spent the images are taken that it was drawn on, where this recipe picks no others.

    Raises:
        UnavailableError: the data cannot be had.
        UsageError: the recipe does not fit the data or the net.
    """
    check_kept(recipe)
    find(recipe.model.name)  # before data are fetched for a net that is not there
    data = _load(recipe, around)
    augment = data.augment if recipe.data.augment == "auto" else recipe.data.augment
    recipe = settled_noise(recipe, data)
    train, held = hold_out(len(data.train), recipe.data.validation, seeds)
    samples = chosen_samples(recipe, data, train, seeds, around, ticket)
    settled = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(
                update={"augment": augment, **_statistics(recipe, data), **settled_crop(recipe.data)}
            ),
            "train": settle(recipe.train, around.device, around.ranks.size if around.ranks else 1),
        }
    )
    settle_arithmetic(settled.train, around.device)
    model = net_of(recipe.model, data)
    initialise_(model, recipe.model.init, seeds)
    initial = State.of(model, 0)
    split = (train if samples.index is None else samples.index), held
    bench, counts = _bench(settled, data, samples, split, model, around)
    preset = policy(settled.draw.prunable if settled.draw else "default")
    names = prunable(model, preset)
    shapes = {name: initial.weights[name].shape for name in names}
    excluded = left_dense(model, names)
    return Setting(settled, bench, data, counts, initial, shapes, excluded, seeds, samples)


def net_of(spec: ModelSpec, data: DataSet) -> nn.Module:
    """The recipe's net for these data; its weights are not set until it is initialised.

    Raises:
        UsageError: no such net, or one that these data or options do not fit.
    """
    return build(
        spec.name,
        shape=data.shape,
        classes=len(data.classes),
        stem=spec.stem,
        width=spec.width,
        widths=spec.widths,
        conv_bias=spec.conv_bias,
    )


def _kwargs(spec: ModelSpec) -> dict[str, Any]:
    """What shapes the net besides the data, in the words that other tools need: numbers, no factor."""
    if source(spec.name) != "ticketctl":
        return {}
    kwargs: dict[str, Any] = {"stem": spec.stem}
    if spec.width != 1 or spec.widths:
        kwargs["widths"] = list(widths_of(spec.name, spec.width, spec.widths))
    return kwargs if spec.conv_bias is None else {**kwargs, "conv_bias": spec.conv_bias}


def _load(recipe: Recipe, around: Surroundings) -> DataSet:
    return load(
        recipe.data.name,
        cache=around.cache,
        folder=around.data_dir,
        offline=around.offline,
        reporter=Attentive(around.reporter, lambda: poll(around.stop)),
        options=options_of(recipe.data),
        form=recipe.data.form,
        workers=recipe.train.threads or threads_here().number,
    )


def _bench(
    recipe: Recipe,
    data: DataSet,
    samples: Samples,
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    model: nn.Module,
    around: Surroundings,
) -> tuple[Bench, dict[str, int]]:
    train, held = split
    scaling = scaling_of(recipe, data.shape[0], around.device)
    padding = recipe.data.padding if recipe.data.augment == "crop-flip" else None
    resident = bytes_held(data, padding) < room(around.device)
    if not resident:
        around.reporter.note("the data do not fit in memory beside the training and are read in batches")
    source, chosen = samples.split(data.train), train if len(train) < len(data.train) else None
    images = Images(source, chosen, scaling, around.device, resident=resident)
    exams: dict[str, Exam] = {}
    if len(held):
        exams["val"] = Images(source, held, scaling, around.device, resident=resident)
    exams["test"] = Images(data.test, None, scaling, around.device, resident=resident)
    exams |= memory_exams(samples.labels, images, train)
    if recipe.train.batch > len(data.train) and not recipe.train.drop_last:
        around.reporter.note(f"batch {recipe.train.batch:,}: all {len(images):,} images in one step an epoch")
    course, crop = recipe.train, crop_of(recipe.data)
    feed = Feed(images, batch=course.batch, padding=padding, drop_last=course.drop_last, crop=crop)
    steps_of(recipe, len(images))
    place = Place(around.device, recipe.train.precision)
    model.to(around.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    bench = Bench(model, feed, exams, recipe.train, place, around.reporter, around.stop, ranks=around.ranks)
    return bench, {"train": len(images), "validation": len(held), "test": len(data.test)}


def _statistics(recipe: Recipe, data: DataSet) -> dict[str, tuple[float, ...]]:
    """Means and deviations, settled: an artifact says what was used, whatever a later version takes."""
    if recipe.data.normalise == "none":
        return {}
    mean, std = recipe.data.mean or data.mean, recipe.data.std or data.std
    channels = data.shape[0]
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise UsageError(
            f"data.mean and data.std: these data want {channels} values each, deviations above 0; the recipe gives "
            f"{len(mean)} and {len(std)} (--set data.mean=[] --set data.std=[] takes the data's own)"
        )
    return {"mean": mean, "std": std}


def scaling_of(recipe: Recipe, channels: int, device: torch.device) -> Scaling:
    """How pixels become inputs, by a settled recipe."""
    if recipe.data.normalise == "none":
        return Scaling.of((0.0,) * channels, (1.0,) * channels, device)
    return Scaling.of(recipe.data.mean, recipe.data.std, device)
