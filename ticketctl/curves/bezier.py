"""A curve between two nets on which the error stays low, where the straight line has a barrier.

The quadratic Bezier curve theta(t) = (1-t)^2 a + 2t(1-t) c + t^2 b between the weights a and b of the nets (Garipov et
al. 2018, section 3.4). Its middle c starts half way, where the curve is the straight line, and is trained for the mean
loss over the curve: SGD with momentum, one uniform t and one batch for each step. Two nets that such a curve joins lie
in one valley, though it may be a bent one.

`bezier` is the error barrier of the curve, as `barrier` has it of the line: the largest error along it minus the mean
of the ends' errors, in percent points; `bezier.line` is that of the straight line at the same t; `.loss` is the same of
the mean cross-entropy. Errors are over the images, pairwise, at the t that was found largest. `bezier.length` is the
length of the curve in weights, and `bezier.length.line` that of the line.

Choices: the learning rate stays for half of the epochs, falls in a straight line to a hundredth of it till nine tenths,
and stays (the released code's; it trains VGG for 600 epochs at 0.015 and PreResNet for 200 at 0.03). The weight decay
is of the weights at t, in the gradient by c, biases and BatchNorm's too. Training images are those of the data set, not
augmented, in a seeded order, which nets trained on augmented ones may find easy. BatchNorm trains by its batches, and
along curve and line its statistics are set anew at every t, both ends included. c is 0 where neither net keeps a weight
(`mask = "union"`), or where either prunes it (`intersection`). What an epoch leaves is kept, of large nets after every
few, and a stopped training goes on from there to the same bits (on a GPU as far as its sums have an order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.curves._bezier import Curve, Join, Plan, Stage, Trainer, joined, midpoint
from ticketctl.curves._site import Parts, Shown, Site, check_counts, chosen, count_of, mean_of
from ticketctl.errors import UsageError
from ticketctl.train.curvature import flat, parts_of
from ticketctl.train.exam import Absent, Measurement, Value
from ticketctl.train.terrain import Point, Terrain

FACTS = {
    "nets": "2",
    "cost": "30 epochs of training, and 120 passes over the images that are shown and those of training",
}
BETTER = {"bezier": "lower"}

STEP = 3
"""Forward passes that a step's forward and backward pass is worth."""
KEPT = 1 << 30
"""Bytes of stages of the training that are kept, about; of large nets not every epoch is."""


@dataclass(frozen=True)
class Params:
    """Keys of `[curves.bezier]`."""

    epochs: int = 30
    """Of the training of the middle; 0: it stays half way, and the curve is the line."""
    lr: float = 0.015
    """Learning rate of its first half."""
    momentum: float = 0.9
    """Of SGD, in [0, 1)."""
    batch: int = 128
    """Images of a step, 2 or more: a BatchNorm may need two."""
    weight_decay: float = 5e-4
    """Of the weights at t."""
    points: int = 61
    """Equal steps of t from 0 to 1 at which curve and line are measured, both ends among them."""
    mask: Join = "union"
    """Where the middle may have weights: where one of the nets keeps them, or where both do."""
    set: Literal["train", "val", "test"] = "val"
    """Whose images errors are of: train, unaugmented; val, or test where none were held out; test."""
    images: int = 0
    """Of that set, drawn by the seed; 0: all."""
    bn_images: int = 0
    """Training images, evenly spaced, that BatchNorm's statistics are of; 0: all."""

    def __post_init__(self) -> None:
        _check(self)


def price(sizes: Mapping[str, int], params: Params, ends: int) -> float:
    """Forward passes of single images."""
    del ends
    each = count_of(sizes, params.set, params.images) + count_of(sizes, "train", params.bn_images)
    return float(STEP * params.epochs * sizes["train"] + (2 * params.points - 2) * each)


def measure(terrain: Terrain, *, params: Params) -> Measurement:
    """`bezier`, `.loss`, `.line`, `.line.loss`, `.length`, `.length.line`.

    Arrays, float64: `t` [A]; `errors` in [0, 1] and `losses` of the curve and `line.errors`, `line.losses` of the line,
    [A]; `training` [E], mean losses of its epochs.

    Raises:
        UsageError: not two nets of one architecture.
        Absent: the training left the finite numbers.
    """
    net = terrain.specimen
    if len(terrain.ends) != 2:
        raise UsageError(f"bezier joins two nets; {len(terrain.ends)} given")
    name, places = chosen(terrain, params.set, params.images)
    with Site(net) as site:
        ends = site.parts(terrain.ends[0]), site.parts(terrain.ends[1])
        keeps = joined(*terrain.ends, site.names, params.mask)
        start = Curve(ends[0], midpoint(*ends, site.names, keeps), ends[1])
        plan = Plan(params.epochs, params.lr, params.momentum, params.batch, params.weight_decay)
        curve, training = _trained(terrain, Trainer(net, keeps, plan, terrain.seeds), start)
        along = _Along(terrain, site, Shown(net, name, places), params)
        line = Curve(ends[0], _half(*ends), ends[1])
        tips = along.at(line, "end", 0), along.at(line, "end", params.points - 1)
        found = along.of(curve, "curve", tips), along.of(line, "line", tips)
    size = sum(part.numel() for part in ends[0])
    lengths = dict(zip(("bezier.length", "bezier.length.line"), curve.lengths(), strict=True))
    values = {
        **_lifts("bezier", *found[0]), **_lifts("bezier.line", *found[1]),
        **{name: Value(length, None, size) for name, length in lengths.items()},
    }  # fmt: skip
    arrays = {"t": _places(params.points), "training": training}
    for head, (wrong, losses) in zip(("", "line."), found, strict=True):
        arrays |= {f"{head}errors": wrong.mean(axis=1), f"{head}losses": losses.mean(axis=1)}
    return Measurement(values, _protocol(name, len(places), len(net.images["train"])), arrays)


def _check(params: Params) -> None:
    check_counts("bezier", images=params.images, bn_images=params.bn_images)
    for key, least in (("epochs", 0), ("batch", 2), ("points", 3)):
        if getattr(params, key) < least:
            raise UsageError(f"curves.bezier.{key} = {getattr(params, key)} must be at least {least}")
    if not 0 < params.lr < np.inf:
        raise UsageError(f"curves.bezier.lr = {params.lr} must be above 0")
    if not 0 <= params.momentum < 1:
        raise UsageError(f"curves.bezier.momentum = {params.momentum} must be in [0, 1)")
    if not 0 <= params.weight_decay < np.inf:
        raise UsageError(f"curves.bezier.weight_decay = {params.weight_decay} must be 0 or more")


def _places(points: int) -> NDArray[np.float64]:
    """t [A], 0 and 1 exactly among them."""
    return np.arange(points) / (points - 1)


def _half(first: Parts, second: Parts) -> list[Tensor]:
    return [(x + y) / 2 for x, y in zip(first, second, strict=True)]


# ------------------------------------------------------------------------------------------------------ the training


def _trained(terrain: Terrain, trainer: Trainer, start: Curve) -> tuple[Curve, NDArray[np.float64]]:
    """The curve after all epochs, and their losses [E]; kept at the end of each, or of each few of a large net."""
    epochs, like = trainer.plan.epochs, list(start.first)
    bytes_each = 2 * 4 * sum(part.numel() for part in like)
    each = max(1, -(-epochs * bytes_each // KEPT))
    stage = Stage(start, [torch.zeros_like(part) for part in like])
    losses: list[NDArray[np.float64]] = []
    for begin in range(0, epochs, each):
        end = min(begin + each, epochs)
        point = terrain.keep(f"epoch-{end:04d}", partial(_leg, trainer, stage, range(begin, end)))
        middle, speed = (_back(point[name], like) for name in ("middle", "speed"))
        stage = Stage(Curve(start.first, middle, start.second), speed)
        losses.append(point["loss"])
    return stage.curve, np.concatenate([np.zeros(0), *losses])


def _leg(trainer: Trainer, stage: Stage, epochs: range) -> Point:
    """Some epochs more: the middle and its speed float32 [P], and the epochs' losses.

    Raises:
        Absent: a loss, or a weight, is not finite.
    """
    losses = []
    for number in epochs:
        stage = trainer.epoch(number, stage)
        losses.append(stage.loss)
        middle = flat(stage.curve.middle)
        if not (np.isfinite(stage.loss) and bool(middle.isfinite().all())):
            raise Absent(
                f"the curve left the finite numbers in epoch {number + 1}: take less than "
                f"curves.bezier.lr = {trainer.plan.lr:g}"
            )
    return {
        "middle": flat(stage.curve.middle).cpu().numpy(), "speed": flat(stage.speed).cpu().numpy(),
        "loss": np.array(losses),
    }  # fmt: skip


def _back(vector: NDArray[Any], like: Sequence[Tensor]) -> list[Tensor]:
    """A tensor for each of `like`, on its device and in its layout, of float32 [P]."""
    parts = parts_of(torch.from_numpy(np.array(vector)), like)
    return [torch.empty_like(one).copy_(part) for one, part in zip(like, parts, strict=True)]


# --------------------------------------------------------------------------------------------------- along the curve


@dataclass(frozen=True)
class _Along:
    """What nets along a curve say to some images."""

    terrain: Terrain
    site: Site
    shown: Shown
    params: Params

    def of(
        self, curve: Curve, name: str, tips: tuple[Point, Point]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Wrong answers bool [A, N] and losses float64 [A, N], those of the ends being known."""
        inner = [self.at(curve, name, number) for number in range(1, self.params.points - 1)]
        points = [tips[0], *inner, tips[1]]
        wrong = np.stack([np.asarray(point["wrong"]).astype(bool) for point in points])
        return wrong, np.stack([point["losses"] for point in points])

    def at(self, curve: Curve, name: str, number: int) -> Point:
        """One place of a curve, kept by its name and number."""
        t = float(_places(self.params.points)[number])
        return self.terrain.keep(f"{name}-{number:04d}", partial(self._made, curve, t))

    def _made(self, curve: Curve, t: float) -> Point:
        self.site.put(curve.at(t))
        self.site.recalibrate(self.params.bn_images)
        said = self.shown.said()
        return {"wrong": (~said.right).astype(np.uint8), "losses": said.losses}


def _lifts(name: str, wrong: NDArray[np.bool_], losses: NDArray[np.float64]) -> dict[str, Value]:
    """The barriers of errors [A, N], in percent points, and of losses [A, N]."""
    return {
        name: mean_of(100 * _parts(wrong.astype(np.float64))),
        f"{name}.loss": mean_of(_parts(losses)),
    }


def _parts(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each image adds to the barrier of [A, N], [N]."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = values[values.mean(axis=1).argmax()] - (values[0] + values[-1]) / 2
    return found


def _protocol(name: str, images: int, train: int) -> dict[str, Any]:
    return {
        "loss": "mean cross-entropy, its softmax in float64", "augment": "none", "set": name, "images": images,
        "train": train,
        "unit": "percent points of error", "batchnorm": "recalibrate", "standard error": "over images, pairwise",
        "training": "SGD on the middle, t uniform, one for each step; rate 1 to 0.5, down to 0.01 at 0.9 of the epochs",
    }  # fmt: skip
