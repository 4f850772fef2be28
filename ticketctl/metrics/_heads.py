"""What the metrics that train heads on a frozen net share: their keys, their recipe, their rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.metrics._norms import NormKeys, check_norms, policy, taken_anew
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Value
from ticketctl.train.features import Tap, features_of
from ticketctl.train.heads import ITERATIONS, TOLERANCE, Head, Recipe, train_heads
from ticketctl.train.specimen import Specimen

LIMIT = 4 << 30
"""Bytes of features that are held at once."""
STEP = 0.02
"""Forward passes that an image costs in an epoch of a head, where the net's speed and features are not known."""
USUAL = 100
"""Iterations of L-BFGS, about: heads of a LeNet-300-100 take 66 and 111."""
DESCENT, SOLUTION = 5e-9, 1e-9
"""Seconds of a CPU core for an image and feature in an epoch of SGD (4e-9 to 15e-9 were measured), and for an image,
feature and class in an iteration of L-BFGS (0.9e-9 to 1.3e-9)."""


@dataclass(frozen=True)
class HeadKeys(NormKeys):
    """Keys of how heads are trained."""

    solver: Literal["sgd", "lbfgs"] = "sgd"
    """What the rows without `lbfgs` in their names are of."""
    epochs: int = 5
    """Of SGD."""
    lr: float = 0.005
    """Of SGD; constant."""
    weight_decay: float = 1e-4
    """On weights and biases."""
    momentum: float = 0.9
    """Of SGD, below 1."""
    batch: int = 256
    """Images of a step of SGD."""
    standardize: bool = False
    """Train on features of mean 0 and deviation 1."""
    converged: bool = True
    """Heads of L-BFGS besides."""


def check(metric: str, keys: HeadKeys) -> None:
    """Refuse keys out of their range.

    Raises:
        UsageError: names the key.
    """
    check_norms(metric, keys)
    for key, least, right in (
        ("epochs", 1, "1 or more; the paper has 5"),
        ("batch", 1, "1 or more; 256 is the default"),
    ):
        if getattr(keys, key) < least:
            raise UsageError(f"metrics.{metric}.{key} = {getattr(keys, key)} must be {right}")
    for key, fits, right in (
        ("lr", 0 < keys.lr < math.inf, "a positive number; the paper has 0.005"),
        ("weight_decay", 0 <= keys.weight_decay < math.inf, "0 or more; the paper has 1e-4"),
        ("momentum", 0 <= keys.momentum < 1, "from 0 to below 1"),
    ):
        if not fits:
            raise UsageError(f"metrics.{metric}.{key} = {getattr(keys, key)} must be {right}")


def recipes(keys: HeadKeys) -> dict[str, Recipe]:
    """What heads are trained by, by what stands in their rows' names: "" for the solver that was asked for."""
    asked = Recipe(
        keys.solver, keys.epochs, keys.lr, keys.weight_decay, keys.momentum, keys.batch, keys.standardize
    )
    more = keys.converged and keys.solver != "lbfgs"
    return {"": asked, **({".lbfgs": replace(asked, solver="lbfgs")} if more else {})}


def shown(net: Specimen) -> list[str]:
    """The sets that heads are looked at on, `train` first."""
    return ["train", *(name for name in ("val", "test") if name in net.images)]


def passes(sizes: Mapping[str, int], keys: HeadKeys) -> float:
    """Forward passes of single images: one of each set, one for the statistics, and the heads' own work.

    That is told by `rate` (passes a second), `features` (channels behind all blocks) and `classes` among the sizes.
    """
    train = sizes["train"]
    epochs = keys.epochs if keys.solver == "sgd" else 0
    turns = USUAL if keys.converged or keys.solver == "lbfgs" else 0
    if "rate" in sizes:
        each = epochs * DESCENT + turns * SOLUTION * sizes["classes"]
        heads = each * sizes["features"] * sizes["rate"]
    else:
        heads = STEP * (epochs + turns)
    return train + sizes.get("val", 0) + sizes["test"] + taken_anew(sizes, keys) + heads * train


@dataclass(frozen=True)
class Found:
    """A trained head and whether it is right about the images of each set."""

    head: Head
    right: Mapping[str, Tensor]
    """bool [N] by set."""
    fed: bool = True
    """Whether what it was trained on, and looked at on, is finite; otherwise there is no head, and NaN in its place."""

    def value(self, name: str) -> Value:
        """Its accuracy on the set `name`."""
        return Value.mean(self.right[name].cpu().numpy())

    def accuracy(self, name: str) -> float:
        """The same as a bare number; NaN where training left the numbers, or there is no such set."""
        return self.value(name).value if self.head.finite and name in self.right else math.nan


def trained(
    net: Specimen, taps: Sequence[Tap], how: Mapping[str, Recipe], seeds: Seeds
) -> list[dict[str, Found]]:
    """At each place a head by each of `how`, by its name.

    Args:
        net: under the policy that its BatchNorm layers are to have.
        taps: places.
        how: what `recipes` gives.
        seeds: stream `probe`.

    A place that gives NaN or infinite values has no head, whatever the others have: see `Found.fed`.
    """
    features = {name: features_of(net, name, taps) for name in shown(net)}
    fed = [
        all(bool(parts[place].isfinite().all()) for parts in features.values()) for place in range(len(taps))
    ]
    found: list[dict[str, Found]] = [{} for _ in taps]
    for key, recipe in how.items():
        inputs = [part for part, sound in zip(features["train"], fed, strict=True) if sound]
        heads = iter(
            train_heads(inputs, net.labels("train"), net.classes, recipe=recipe, seeds=seeds, poll=net.poll)
        )
        for place, sound in enumerate(fed):
            head = next(heads) if sound else _none(features["train"][place], net.classes, recipe)
            right = {name: head.right(parts[place], net.labels(name)) for name, parts in features.items()}
            found[place][key] = Found(head, right, sound)
    return found


def _none(features: Tensor, classes: int, recipe: Recipe) -> Head:
    """In the place of a head on [N, C] features that are no numbers."""
    weight = features.new_full((features.shape[1], classes), math.nan)
    return Head(weight, weight[0].clone(), 0, math.nan if recipe.solver == "lbfgs" else None)


def protocol(net: Specimen, keys: HeadKeys, used: int) -> dict[str, Any]:
    """What was settled that is no key."""
    said: dict[str, Any] = {
        "batchnorm": policy(keys, used),
        "features": "mean over positions, float32", "augment": "none",
        "sets": {name: len(net.images[name]) for name in shown(net)},
        "objective": "mean cross-entropy + weight_decay / 2 (|W|^2 + |b|^2)", "start": "0",
    }  # fmt: skip
    if keys.converged or keys.solver == "lbfgs":
        said["lbfgs"] = {"gradient at most": TOLERANCE, "iterations at most": ITERATIONS, "precision": "f64"}
    return said


def plain(values: Sequence[float | int | bool]) -> Any:
    """As an array of a report: int64, float64, or uint8 of what is true or false."""
    found = np.asarray(values)
    return found.astype(np.uint8) if found.dtype == bool else found


def kept(found: Mapping[str, Mapping[str, Found]]) -> dict[str, Any]:
    """Weights float32 [C, K] and biases [K] of heads, by the name of their place and what stands in their rows'."""
    return {
        f"{place}{key}.{part}": tensor.cpu().numpy()
        for place, heads in found.items()
        for key, one in heads.items()
        for part, tensor in (("weight", one.head.weight), ("bias", one.head.bias))
    }
