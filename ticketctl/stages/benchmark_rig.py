"""The trainings that a benchmark times: the loop of every training a step at a time, and the least a step can cost."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ticketctl.data.sets import Split
from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import policy, prunable
from ticketctl.nets.build import build, initialise_
from ticketctl.progress import Reporter
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.benchmark_cases import CLASSES, Case, Sizes
from ticketctl.train.bench import Bench, Order
from ticketctl.train.device import Place, room
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.loop import Loop
from ticketctl.train.optimizer import optimizer_for
from ticketctl.train.state import State
from ticketctl.train.stepper import SMALL_RATE, Ahead

DENSITY = 0.2
"""Of the random mask. Masked weights are multiplied like others, so it does not touch speed."""
LAYOUT = torch.channels_last


def training_flop(macs: Mapping[str, int]) -> int:
    """FLOP of training on one image: 2 (3 M - M_first).

    A multiply-add is two; forward, gradient of the weights, gradient of the inputs; the first layer has no gradient of
    its inputs.

    Args:
        macs: multiply-adds of each layer, the first layer first (`nets.describe.layer_macs`).
    """
    return 2 * (3 * sum(macs.values()) - next(iter(macs.values())))


def random_mask(model: nn.Module, density: float = DENSITY) -> Mask:
    """Each prunable weight is kept with probability `density`."""
    numbers = torch.Generator().manual_seed(0)
    weights = dict(model.named_parameters())
    names = prunable(model, policy("default"))
    return Mask({name: torch.rand(weights[name].shape, generator=numbers) < density for name in names})


class BareLoop:
    """The least a step can cost: same net, one batch in memory, no mask, the same optimizer, nothing kept in mind."""

    def __init__(
        self, model: nn.Module, batch: tuple[Tensor, Tensor], train: TrainSpec, place: Place
    ) -> None:
        """`batch`: inputs [B, C, H, W] and labels [B], on the device."""
        self.model, self.place = model.train(), place
        self.inputs, self.labels = batch
        self.optimizer = optimizer_for(model, train, place.device)

    def step(self) -> None:
        """One batch, always the same."""
        with self.place.autocast():
            logits = self.model(self.inputs)
        nn.functional.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Paced(Loop):
    """The loop of every training, a step at a time: nothing is evaluated and nothing written."""

    def step(self) -> None:
        """All that happens between two steps, and one step."""
        if self.progress.step >= self.end:
            self.progress.step = 0
            self.stepper.begin(self.progress)
        self._at_boundary()
        self._step()

    def _row_is_due(self) -> bool:
        return False

    @property
    def is_sound(self) -> bool:
        """Whether loss and weights are finite: else steps were left out."""
        return self._settle() and self.diverged is None and self._is_finite()

    @property
    def is_graph(self) -> bool | None:
        """Whether a step is one CUDA graph; None: not on a GPU."""
        return self.stepper.graph is not None if isinstance(self.stepper, Ahead) else None


@dataclass(frozen=True)
class Site:
    """Where it all runs."""

    place: Place
    threads: int
    reporter: Reporter
    stock: dict[Sizes, Images] = field(default_factory=dict)
    """Made-up images, each set made once."""

    def images(self, sizes: Sizes, padding: int | None) -> Images:
        """As many as the data set has, or as fit into half the memory: pixels and labels by chance."""
        if sizes not in self.stock:
            count = min(sizes.images, max(1, room(self.place.device) // _bytes(sizes.shape, padding)))
            numbers = np.random.default_rng(0)
            pixels = numbers.integers(0, 256, (count, *sizes.shape), dtype=np.uint8)
            split = Split(pixels, numbers.integers(0, CLASSES, count))
            self.stock[sizes] = Images(split, None, _scaling(sizes, self.place.device), self.place.device)
        return self.stock[sizes]

    def wait(self) -> None:
        """Until the device has done all that it was told."""
        if self.place.device.type == "cuda":
            torch.cuda.synchronize(self.place.device)


def _bytes(shape: tuple[int, int, int], padding: int | None) -> int:
    """Of one image in all its forms: its pixels twice, and padded and mirrored, or as floats."""
    channels, height, width = shape
    pad = 2 * (padding or 0)
    forms = 4 if padding is None else 3 * (height + pad) * (width + pad) / (height * width)
    return int(channels * height * width * (2 + forms))


def _scaling(sizes: Sizes, device: torch.device) -> Scaling:
    channels = sizes.shape[0]
    return Scaling.of((0.5,) * channels, (0.25,) * channels, device)


class Rig:
    """One net and all that is timed of it."""

    def __init__(self, case: Case, site: Site) -> None:
        self.case, self.site = case, site
        images = site.images(case.sizes, case.padding)
        self.train = case.recipe.train.model_copy(
            update={
                "batch": min(case.batch, len(images)),
                "lr": SMALL_RATE,  # nothing leaves the finite numbers
                "schedule": "constant",
                "warmup": "0",
                "threads": site.threads,
                "precision": site.place.precision,
                "drop_last": True,
            }
        )
        self.feed = Feed(images, batch=self.train.batch, padding=case.padding, drop_last=True)

    def model(self) -> nn.Module:
        """The net as it is initialised, on the device."""
        spec = self.case.recipe.model
        model = build(spec.name, shape=self.case.sizes.shape, classes=CLASSES, stem=spec.stem)
        initialise_(model, spec.init, Seeds(0))
        return model.to(self.site.place.device, memory_format=LAYOUT)  # type: ignore[no-any-return, call-overload]  # missing in the stubs

    def engine(self, *, masked: bool = True) -> Paced:
        """A training that has not taken a step; on a GPU its graph is captured."""
        model = self.model()
        place, reporter = self.site.place, self.site.reporter
        bench = Bench(
            model, self.feed_apart(), {}, self.train, place, reporter, lambda: None, clock=lambda: 0.0
        )
        order = Order(
            State.of(model, 0), random_mask(model) if masked else None, Seeds(0), (), "benchmark", "benchmark"
        )
        loop = Paced(bench, order, FitFiles(Path(os.devnull)))  # its clock stands still: nothing is written
        loop.stepper.begin(loop.progress)
        loop.company.start(loop.course)
        return loop

    def begun(self) -> tuple[Paced, float]:
        """A training that has taken its first step, and the seconds from building the net to there."""
        self.site.wait()
        began = time.perf_counter()
        loop = self.engine()
        loop.step()
        self.site.wait()
        return loop, time.perf_counter() - began

    def bare(self) -> BareLoop:
        """The bare loop, in the same precision and layout."""
        inputs, labels = self.feed.images.batch(0, self.train.batch)
        return BareLoop(self.model(), (inputs, labels), self.train, self.site.place)

    def feed_apart(self) -> Feed:
        """The same images in an order of their own, as each training has it."""
        apart = copy(self.feed)
        apart.order, apart.flip, apart.down, apart.right, apart.corner = (
            held.clone() for held in (apart.order, apart.flip, apart.down, apart.right, apart.corner)
        )
        return apart

    def held_out(self) -> Images:
        """As many images to evaluate as a step trains on."""
        return self.feed.images.pick(np.arange(self.train.batch, dtype=np.int64))

    def check(self, loop: Paced) -> None:
        """That what was timed was training.

        Raises:
            DivergedError: the loss or a weight was not finite, and steps were left out.
        """
        if not loop.is_sound:
            raise DivergedError(
                f"{self.case.net}: on random images the loss is not finite, so there is no speed to tell"
            )
