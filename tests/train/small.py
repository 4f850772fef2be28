"""The engine around a net so small that a whole draw takes milliseconds; no files but its own, no data set."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.progress import Reporter, Silent
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.device import Place
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.lab import Lab
from ticketctl.train.state import State

CPU = torch.device("cpu")
IMAGES, CLASSES, BATCH = 13, 3, 5
"""Three steps per epoch, the last of three images."""


class Net(nn.Module):
    """Convolution, BatchNorm, Linear: weights, biases and buffers of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3 * 16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))
        return logits


def weights(seed: int = 0) -> State:
    """Initial weights, from numpy."""
    numbers = np.random.default_rng(seed)
    state = {}
    for name, value in Net().state_dict().items():
        if value.is_floating_point() and value.dim() > 1:
            value = torch.from_numpy(numbers.normal(0, 0.3, tuple(value.shape)).astype(np.float32))
        elif name.endswith(("weight", "running_var")):
            value = torch.ones_like(value)
        else:
            value = torch.zeros_like(value)
        state[name] = value
    return State(state, 0)


def split(count: int, seed: int) -> Split:
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, CLASSES, count).astype(np.int64)
    noise = numbers.integers(0, 120, (count, 2, 4, 4))
    noise[np.arange(count), labels % 2, labels, :] += 130
    return Split(noise.astype(np.uint8), labels)


def train_spec(**keys: Any) -> TrainSpec:
    return TrainSpec(**{"epochs": 2, "batch": BATCH, "lr": 0.05, "threads": 1, "precision": "f32", **keys})


def never() -> int | None:
    return None


class Clock:
    """Advances by `step` seconds each time it is read."""

    def __init__(self, step: float) -> None:
        self.step, self.now = step, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def bench(
    train: TrainSpec | None = None,
    *,
    stop: Callable[[], int | None] = never,
    clock: Callable[[], float] | None = None,
    padding: int | None = None,
    images: int = IMAGES,
    device: torch.device = CPU,
    reporter: Reporter | None = None,
) -> Bench:
    train = train or train_spec()
    scaling = Scaling.of((0.4, 0.5), (0.2, 0.3), device)
    feed = Feed(
        Images(split(images, 1), None, scaling, device),
        batch=train.batch,
        padding=padding,
        drop_last=train.drop_last,
    )
    exams = {
        "val": Images(split(4, 2), None, scaling, device),
        "test": Images(split(6, 3), None, scaling, device),
    }
    model = Net().to(device, memory_format=torch.channels_last)
    place = Place(device, train.precision)
    return Bench(model, feed, exams, train, place, reporter or Silent(), stop, clock or Clock(0.0))


def lab(
    folder: Path,
    on: Bench,
    *,
    rewind: int = 0,
    restart: bool = False,
    keep: tuple[int, ...] = (),
    seeds: Seeds | None = None,
) -> Lab:
    initial = weights()
    shapes = {name: initial.weights[name].shape for name in ("conv.weight", "fc.weight")}
    identity = {"test": on.train.model_dump(mode="json")}
    return Lab(on, seeds or Seeds(0), initial, shapes, rewind, restart, keep, identity, folder)


def half(seed: int = 5, density: Fraction = Fraction(1, 2)) -> Mask:
    """A mask over the prunable weights of `Net`."""
    numbers = np.random.default_rng(seed)
    shapes = {"conv.weight": (3, 2, 3, 3), "fc.weight": (3, 48)}
    return Mask.from_arrays({name: numbers.random(shape) < float(density) for name, shape in shapes.items()})


def files_below(folder: Path, *, but: tuple[str, ...] = ("provenance.json", ".lock")) -> dict[str, bytes]:
    """Every file below `folder` but those named, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }
