"""The loss around images instead of weights: along the sign of the gradient, and in a random direction.

Of each of N images x, at x + a u + b v: u = sign(grad_x L), the direction of the fast gradient sign method, and v of
random signs; a and b go from -eps to eps, and the loss is the mean over the images (after paper 001, Figure 8, which
shows every net the same test images; the directions are our choice). Pixels are in [0, 1], the normalisation inside;
nothing is clipped, so that a plane is a plane, and its images may have pixels beyond. Values are stored as they are,
and cut only where they are drawn.

`input-plane` is how much the mean loss rises at a = eps, b = 0, an attack's first step, lower is better;
`input-plane.random` the mean of what it rises at b = eps and b = -eps, a = 0. Their errors are over images, pairwise.
The random signs of an image depend on its number in the data alone. Gradients are of the summed loss, one image's not
depending on the others, with the softmax in float64; where one is exactly zero, u is too, and `input-plane.zero` is the
share of images without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.curves._site import (
    Said,
    alone,
    check_counts,
    check_grid,
    chosen,
    count_of,
    gathered,
    grid_of,
    mean_of,
    scored,
)
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.curvature import signs
from ticketctl.train.exam import Measurement, Value
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen
from ticketctl.train.terrain import Point, Terrain

FACTS = {"nets": "1", "cost": "441 passes over 500 test images"}
BETTER = {"input-plane": "lower", "input-plane.accuracy": "higher"}

GRADIENT = 3
"""Forward passes that a gradient by the pixels is worth."""
AXES = ((0, 0), (1, 0), (0, 1), (0, -1))
"""Where single images are asked, in parts of eps."""


@dataclass(frozen=True)
class Params:
    """Keys of `[curves.input-plane]`."""

    eps: float = 8 / 255
    """How far a pixel moves along each direction at most, in (0, 1]."""
    points: int = 21
    """Of each direction, odd: the images themselves are in the middle."""
    set: Literal["train", "val", "test"] = "test"
    """Whose images are moved: train, unaugmented; val, or test where none were held out; test."""
    images: int = 500
    """Of that set, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        check_grid("input-plane", self.points, 1.0)
        check_counts("input-plane", images=self.images)
        if not 0 < self.eps <= 1:
            raise UsageError(
                f"curves.input-plane.eps = {self.eps} must be above 0 and at most 1; 8/255 is 0.0314"
            )


def price(sizes: Mapping[str, int], params: Params, ends: int) -> float:
    """Forward passes of single images."""
    del ends
    each = params.points**2 + len(AXES) + GRADIENT
    return float(count_of(sizes, params.set, params.images) * each)


def measure(terrain: Terrain, *, params: Params) -> Measurement:
    """`input-plane`, `.random`, `.zero`, `.loss` and `.accuracy` of the images themselves, `.max` of the grid.

    Arrays: `grid` [A] in pixels of [0, 1]; `loss` and `accuracy` [A, A], [i, j] at a = grid[i] along the gradient's
    sign and b = grid[j] along random signs, float64; `images` [N], their places in the set.

    Raises:
        UsageError: more than one net.
    """
    net = alone(terrain, "input-plane")
    name, places = chosen(terrain, params.set, params.images)
    plane = _Plane(net, name, _batches(net, terrain.seeds, name, places))
    grid = grid_of(params.eps, params.points)
    axes = terrain.keep("axes", partial(_axes, plane, params.eps))
    rows = [
        terrain.keep(f"row-{number:04d}", partial(_row, plane, far, grid)) for number, far in enumerate(grid)
    ]
    arrays = {name: np.stack([row[name] for row in rows]) for name in ("loss", "accuracy")}
    still = np.concatenate([batch.still.cpu().numpy() for batch in plane.batches])
    values = _values(axes["losses"], axes["right"], still)
    values["input-plane.max"] = Value(float(arrays["loss"].max()), None, arrays["loss"].size)
    protocol = {
        "loss": "mean cross-entropy, its softmax in float64", "pixels": "[0, 1], not clipped", "batchnorm": "stored",
        "augment": "none", "set": name, "images": len(places),
        "directions": "sign of the gradient by the pixels; random signs",
    }  # fmt: skip
    return Measurement(values, protocol, {"grid": grid, **arrays, "images": places})


def _values(losses: NDArray[np.float64], right: NDArray[Any], still: NDArray[np.bool_]) -> dict[str, Value]:
    """By losses of single images [4, N] on the axes."""
    own, uphill, *random = losses
    with np.errstate(invalid="ignore"):
        named = {
            "input-plane": uphill - own,
            "input-plane.random": np.mean(random, axis=0) - own,
            "input-plane.loss": own,
            "input-plane.accuracy": right,
            "input-plane.zero": still,
        }
    return {name: mean_of(of) for name, of in named.items()}


@dataclass(frozen=True)
class _Batch:
    """Some images, and their two directions, int8 [B, C, H, W] each."""

    index: Tensor
    uphill: Tensor
    random: Tensor

    @property
    def still(self) -> Tensor:
        """Bool [B]: where no pixel has a gradient."""
        return (self.uphill == 0).flatten(1).all(dim=1)


@dataclass(frozen=True)
class _Plane:
    """Images and what lies around them."""

    net: Specimen
    name: str
    batches: Sequence[_Batch]

    @torch.no_grad()
    def at(self, far: float, aside: float) -> Said:
        """So far along the gradient's sign, and along the random signs."""
        images, scores = self.net.images[self.name], []
        for batch in self.batches:
            self.net.poll()
            pixels = _pixels(self.net, self.name, batch.index)
            pixels = pixels.add(batch.uphill, alpha=far).add(batch.random, alpha=aside)
            scores.append(scored(self.net.logits(pixels), images.labels[batch.index]))
        return gathered(scores)


def _pixels(net: Specimen, name: str, index: Tensor) -> Tensor:
    return net.images[name].take(index).float() / 255


def _batches(net: Specimen, seeds: Seeds, name: str, places: NDArray[np.int64]) -> list[_Batch]:
    found = []
    for index in torch.from_numpy(places).to(net.device).split(batch_on(net.device)):
        net.poll()
        pixels = _pixels(net, name, index)
        uphill = uphill_of(net, pixels, net.images[name].labels[index])
        numbers = net.numbers(name, index.cpu().numpy()).tolist()
        words = -(-pixels[0].numel() // 64)
        drawn = [
            signs(seeds.raw("landscape", "input-plane", number, count=words), pixels[0].numel())
            for number in numbers
        ]
        random = torch.from_numpy(np.stack(drawn)).view(pixels.shape).to(pixels)
        found.append(_Batch(index, uphill.to(torch.int8), random.to(torch.int8)))
    return found


def uphill_of(net: Specimen, pixels: Tensor, labels: Tensor) -> Tensor:
    """Signs of the gradients of the images' losses by their pixels, -1, 0 or 1, [N, C, H, W]; 0 where it is NaN."""
    leaf = pixels.detach().requires_grad_()
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(net.logits(leaf).double(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient.nan_to_num(0.0).sign()


def _axes(plane: _Plane, eps: float) -> Point:
    said = [plane.at(a * eps, b * eps) for a, b in AXES]
    return {
        "losses": np.stack([one.losses for one in said]),
        "right": said[0].right.astype(np.uint8),
    }


def _row(plane: _Plane, far: float, grid: NDArray[np.float64]) -> Point:
    said = [plane.at(far, float(aside)) for aside in grid]
    return {
        "loss": np.array([one.loss for one in said]),
        "accuracy": np.array([one.accuracy for one in said]),
    }
