"""Nets, terrains and keepers to try curves on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.metrics.specimens import apart, random_images, specimen
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End, Make, Point, Terrain


class Stopped(Exception):  # noqa: N818  # nothing went wrong
    """Somebody asked to stop."""


class Keeper:
    """Keeps points in memory; stops before the `stop`-th that is made."""

    def __init__(self, stop: int | None = None) -> None:
        self.known: dict[str, Point] = {}
        self.made: list[str] = []
        self.asked: list[str] = []
        self.stop = stop

    def __call__(self, name: str, make: Make) -> Point:
        self.asked.append(name)
        if name not in self.known:
            if self.stop is not None and len(self.made) >= self.stop:
                raise Stopped
            self.made.append(name)
            self.known[name] = {key: np.array(value) for key, value in make().items()}
        return self.known[name]


def conv_net(seed: int = 0, act: type[nn.Module] = nn.Tanh) -> nn.Module:
    """Convolution, BatchNorm with statistics of its own, two Linear layers: on 3 x 4 x 4 images of 3 classes."""
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), act(), nn.Flatten(),
        nn.Linear(80, 6), act(), nn.Linear(6, 3),
    )  # fmt: skip
    draws = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                drawn = torch.from_numpy(draws.normal(size=tuple(value.shape)) * 0.4)
                value.copy_(drawn.abs() + 0.5 if name.endswith("var") or name == "1.weight" else drawn)
    return net.eval()


def masked(net: nn.Module, share: float = 0.5, seed: int = 0) -> Mask:
    """A random mask of every weight with more than one axis, applied; the first filter of each goes whole."""
    draws = np.random.default_rng(seed)
    keep = {}
    for name, value in net.named_parameters():
        if value.ndim > 1:
            keep[name] = torch.from_numpy(draws.random(tuple(value.shape)) >= share)
            keep[name][0] = False
            with torch.no_grad():
                value.mul_(keep[name])
    return Mask(keep)


def seen(net: nn.Module, mask: Mask | None = None, count: int = 30, seed: int = 0) -> Specimen:
    """The net on random images of 3 x 4 x 4; others in every set."""
    return apart(specimen(net, *random_images(count, (3, 4, 4), 3, seed), mask=mask, classes=3))


def end(name: str, net: nn.Module, mask: Mask | None = None) -> End:
    return End(name, State.of(net, 0), mask)


def terrain(net: Specimen, *others: End, seed: int = 0, keep: Any = None) -> Terrain:
    """The specimen's own net as the first end, and others."""
    ends = (end("0", net.model, net.mask), *others)
    return Terrain(net, ends, Seeds(seed), **({"keep": keep} if keep else {}))


def says(net: nn.Module, weights: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """Logits, in float64 throughout."""
    buffers = {name: value.double() for name, value in net.named_buffers()}
    held = {name: value.double() for name, value in weights.items()}
    return torch.func.functional_call(net, {**buffers, **held}, (pixels.double(),))


def loss_of(net: nn.Module, weights: Mapping[str, Tensor], subject: Specimen, name: str = "train") -> float:
    """Mean cross-entropy of all images of a set, in float64."""
    logits = says(net, weights, subject.pixels(name))
    return float(nn.functional.cross_entropy(logits, subject.labels(name)))


def found_state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def check_untouched(net: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Weights, buffers, mode and gradients are as they were."""
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(module.training for module in net.modules())
    assert all(value.grad is None and value.requires_grad for value in net.parameters())


def check_same(one: Any, other: Any) -> None:
    """Two measurements are equal to the bit."""
    assert {name: repr(value) for name, value in one.values.items()} == {
        name: repr(value) for name, value in other.values.items()
    }
    assert one.protocol == other.protocol
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.tobytes() == other.arrays[name].tobytes(), name
