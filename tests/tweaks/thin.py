"""Nets of ours, a few channels wide, and trainings of one with a tweak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.train import small
from ticketctl.data.sets import Split
from ticketctl.nets.build import build, initialise_
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit, equip, started
from ticketctl.train.lab import Lab
from ticketctl.train.state import State

SEEDS = Seeds(0)
OURS = [name for name in plugins("nets") if ":" not in name]


def net_of(name: str, *, size: tuple[int, int] = (17, 19), channels: int = 3, width: int = 16) -> nn.Module:
    """One `width`-th as wide as published, its statistics and shifts away from 0 and 1."""
    net = build(name, shape=(channels, *size), classes=3, width=Fraction(1, width))
    return stirred(initialise_(net, "kaiming-normal", SEEDS))


@torch.no_grad()
def stirred(net: nn.Module) -> nn.Module:
    numbers = np.random.default_rng(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.add_(torch.from_numpy(numbers.uniform(0, 0.3, tuple(tensor.shape))).float())
    return net


def batch(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def kit(net: nn.Module, *shape: int) -> Kit:
    """A kit whose images are of `shape`."""
    bench = small.bench()
    if shape:
        split = Split(np.zeros((13, *shape), np.uint8), np.zeros(13, np.int64))
        images = Images(split, None, Scaling.of((0.5,) * shape[0], (0.5,) * shape[0], small.CPU), small.CPU)
        bench.feed.images = images
    return Kit(replace(bench, model=net), SEEDS, None)


def hook(module: ModuleType, net: nn.Module, *shape: int, **keys: Any) -> Hooks:
    made: Hooks = module.tweak(kit(net, *shape), params=module.Params(**keys))
    return made


def tweaked(module: ModuleType, net: nn.Module, *shape: int, **keys: Any) -> nn.Module:
    """`net` itself, changed."""
    hook(module, net, *shape, **keys).model(net, SEEDS)
    return net


def lab(
    folder: Path, module: ModuleType, *, stop: Callable[[], int | None] = small.never, **keys: Any
) -> tuple[Lab, Hooks]:
    """Of a thin ResNet-20 that the tweak has changed, as a new process would make it; 4 epochs of 3 steps."""
    plain: Bench = small.bench(small.train_spec(epochs=4), stop=stop)
    net = build("resnet20", shape=(2, 4, 4), classes=3, widths=(2, 2, 3, 3))
    initialise_(net, "kaiming-normal", SEEDS)
    initial = State.of(net, 0)
    bench = replace(plain, model=net)
    made: Hooks = module.tweak(Kit(bench, SEEDS, None), params=module.Params(**keys))
    bench = equip(bench, [made], SEEDS)
    identity = {"test": bench.train.model_dump(mode="json")}
    shapes = {"fc.weight": initial.weights["fc.weight"].shape}
    return Lab(bench, SEEDS, started(initial, net), shapes, 0, False, (), identity, folder), made
