"""The loss around a net, in one or two random directions that are as long as its filters.

L(theta + a d + b e) over a grid of a and b (Li et al. 2018, section 4; `dimensions = 1`: no b). Directions are standard
normal numbers, each filter of them (each row of a Linear layer) scaled to the length of the net's own; biases and
BatchNorm's weights do not move. The second is drawn independently of the first, and not made orthogonal to it:
`plane-cosine` says how far it is from that. Two nets of one architecture are looked at in the same random numbers.

`plane` is the half-width at which the loss doubles, in lengths of the filters, the higher the flatter: of the interval
around the net in which the loss is at most twice its own, half the length, from the first point of the grid on each
side that is beyond, found to 1/256 of a step; infinite where a side has none. It compares nets of about equal loss: of
two nets equally curved, the one with the smaller loss has doubled it sooner. `plane.curvature` does not have that
trouble: the second derivative of the parabola that fits the loss best at -0.1, -0.05, 0, 0.05, 0.1 (whatever the grid
is). With two directions both are means over them, and their errors are over them; n is how many there are.

Subspace: `sparse` prunes the directions before they are scaled, so that a pruned filter does not move and no length is
spent on pruned weights: how the ticket's own loss bends. `full` moves pruned weights too, with the length of what is
left of their filter.

Choices: of the training images, unaugmented, 1000 drawn by the seed (the released code takes all 50 000; a plane of
51 x 51 points is then 130 million forward passes). BatchNorm's statistics are the stored ones, as in the released code;
with `bn = "recalibrate"` they are those of each point. A loss is a float64 mean; where an answer is no finite number,
the loss is infinite and is stored so: whoever draws it sets the ceiling (paper 001, Figure 8: 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.curves._directions import Norm, cosine, directed
from ticketctl.curves._site import (
    Parts,
    Said,
    Shown,
    Site,
    alone,
    check_counts,
    check_grid,
    chosen,
    count_of,
    grid_of,
    mean_of,
)
from ticketctl.train.exam import Absent, Measurement, Value
from ticketctl.train.terrain import Point, Terrain

FACTS = {"nets": "1", "cost": "2601 passes over 1000 training images; 51 with `dimensions = 1`"}
BETTER = {
    "plane": "higher",
    "plane.curvature": "lower",
    "plane.loss": "lower",
    "plane.accuracy": "higher",
    "plane.max": "lower",
}

NEAR = (-0.1, -0.05, 0.0, 0.05, 0.1)
"""Where the parabola is fitted."""
HALVINGS = 8
"""Of a step of the grid, when the half-width is looked for."""


@dataclass(frozen=True)
class Params:
    """Keys of `[curves.plane]`."""

    dimensions: Literal[1, 2] = 2
    """Directions."""
    points: int = 51
    """Of each, odd: the net itself is in the middle."""
    span: float = 1.0
    """How far the grid goes to each side, in lengths of the filters."""
    subspace: Literal["sparse", "full"] = "sparse"
    """Whether pruned weights stay at 0, or move too."""
    norm: Norm = "filter"
    """What is as long as the net's own: each filter, or each layer."""
    set: Literal["train", "val", "test"] = "train"
    """Whose images the loss is of: train, unaugmented; val, or test where none were held out; test."""
    images: int = 1000
    """Of that set, drawn by the seed; 0: all."""
    bn: Literal["stored", "recalibrate"] = "stored"
    """BatchNorm's statistics: the net's, or those of each point's weights."""
    bn_images: int = 1000
    """Training images that recalibrated statistics are of; 0: all."""

    def __post_init__(self) -> None:
        check_grid("plane", self.points, self.span)
        check_counts("plane", images=self.images, bn_images=self.bn_images)


def price(sizes: Mapping[str, int], params: Params, ends: int) -> float:
    """Forward passes of single images, about."""
    del ends
    each = count_of(sizes, params.set, params.images)
    if params.bn == "recalibrate":
        each += count_of(sizes, "train", params.bn_images)
    aside = params.dimensions * (len(NEAR) - 1 + 2 * HALVINGS)
    return float((params.points**params.dimensions + aside + 1) * each)


def measure(terrain: Terrain, *, params: Params) -> Measurement:
    """`plane`, `.curvature`, `.loss` and `.accuracy` at the net, `.max` of the grid, `plane-cosine` of two directions.

    Arrays: `grid` [A]; `loss` and `accuracy` [A], or [A, A] with [i, j] at a = grid[i], b = grid[j]; `half-width`
    [D, 2] to the left and right and `curvature` [D] of each direction; all float64.

    Raises:
        UsageError: more than one net.
        Absent: the net's own loss is not finite.
    """
    net = alone(terrain, "plane")
    (name, places), grid = (
        chosen(terrain, params.set, params.images),
        grid_of(params.span, params.points),
    )
    with Site(net) as site:
        plane = _Plane(site, Shown(net, name, places), _directions(terrain, site, params), params)
        centre = plane.at()
        if not np.isfinite(centre.loss):
            raise Absent(f"the loss of the net itself is {centre.loss}")
        loss, accuracy = _surface(terrain, plane, grid)
        axes = [_along(loss, number) for number in range(params.dimensions)]
        asides = [
            terrain.keep(f"direction-{number}", partial(_aside, plane, number, grid, axis, centre.loss))
            for number, axis in enumerate(axes)
        ]
    wide, bent = (np.stack([aside[name] for aside in asides]) for name in ("half-width", "curvature"))
    values = {
        "plane": mean_of(wide.mean(axis=1)), "plane.curvature": mean_of(bent),
        "plane.loss": Value.mean(centre.losses), "plane.accuracy": Value.mean(centre.right),
        "plane.max": Value(float(loss.max()), None, loss.size),
    }  # fmt: skip
    if params.dimensions == 2:
        size = sum(value.numel() for value in site.start)
        values["plane-cosine"] = Value(cosine(*plane.directions), None, size)
    arrays = {"grid": grid, "loss": loss, "accuracy": accuracy, "half-width": wide, "curvature": bent}
    return Measurement(values, _protocol(params, name, len(places)), arrays)


@dataclass(frozen=True)
class _Plane:
    """Places around a net."""

    site: Site
    shown: Shown
    directions: Sequence[Parts]
    params: Params

    def at(self, *far: float) -> Said:
        """So far along each direction; along none that is not said."""
        self.site.move(*zip(far, self.directions, strict=False))
        if self.params.bn == "recalibrate":
            self.site.recalibrate(self.params.bn_images)
        return self.shown.said()


def _directions(terrain: Terrain, site: Site, params: Params) -> list[list[Any]]:
    keeps = terrain.specimen.masks() if params.subspace == "sparse" else {}
    weights = dict(zip(site.names, site.start, strict=True))
    return [
        directed(weights, keeps, terrain.seeds, "plane", number, norm=params.norm, poll=terrain.specimen.poll)
        for number in range(params.dimensions)
    ]


def _surface(
    terrain: Terrain, plane: _Plane, grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss and accuracy, [A] or [A, A]: kept row by row, and point by point in one dimension."""
    two = len(plane.directions) == 2
    lines = [[(a, b) for b in grid] if two else [(a,)] for a in grid]
    rows = [
        terrain.keep(f"row-{number:04d}", partial(_row, plane, line)) for number, line in enumerate(lines)
    ]
    shape = (len(grid),) * len(plane.directions)
    loss, accuracy = (np.stack([row[name] for row in rows]).reshape(shape) for name in ("loss", "accuracy"))
    return loss, accuracy


def _row(plane: _Plane, line: Sequence[tuple[float, ...]]) -> Point:
    said = [plane.at(*place) for place in line]
    return {
        "loss": np.array([one.loss for one in said]),
        "accuracy": np.array([one.accuracy for one in said]),
    }


def _along(loss: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """The loss along one direction through the net, [A]."""
    return np.moveaxis(loss, number, 0)[(slice(None), *(size // 2 for size in loss.shape[1:]))]


def _aside(
    plane: _Plane, number: int, grid: NDArray[np.float64], losses: NDArray[np.float64], own: float
) -> Point:
    """What is said of one direction, whose losses on the grid are known."""

    def loss(far: float) -> float:
        return plane.at(*(0.0,) * number, far).loss

    half = len(grid) // 2
    sides = [
        doubled(loss, grid[half:], losses[half:], 2 * own),
        -doubled(loss, grid[half::-1], losses[half::-1], 2 * own),
    ]
    near = np.array([loss(far) if far else own for far in NEAR])
    return {"half-width": np.array(sides[::-1]), "curvature": np.array(parabola(np.array(NEAR), near))}


def doubled(
    loss: Callable[[float], float], grid: NDArray[np.float64], losses: NDArray[np.float64], limit: float
) -> float:
    """Where the loss first passes `limit`, going along `grid` [n] from its first place, at which it is below.

    By halving between the last place below and the first beyond; +-inf, as the grid goes, where there is none.
    """
    beyond = np.flatnonzero(losses > limit)
    if not len(beyond):
        return float(np.copysign(np.inf, grid[-1]))
    low, high = float(grid[beyond[0] - 1]), float(grid[beyond[0]])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if loss(middle) > limit else (middle, high)
    return (low + high) / 2


def parabola(places: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """The second derivative of the parabola that fits best, by least squares, at places [n] symmetric about 0."""
    squares = places**2 - (places**2).mean()
    with np.errstate(invalid="ignore"):
        return float(2 * (squares * losses).sum() / (squares**2).sum())


def _protocol(params: Params, name: str, images: int) -> dict[str, Any]:
    return {
        "loss": "mean cross-entropy, its softmax in float64", "augment": "none", "set": name, "images": images,
        "batchnorm": params.bn, "directions": "standard normal, independent; biases and BatchNorm's weights stay",
        "pruned": "before scaling" if params.subspace == "sparse" else "moved too",
        "half-width": f"to 1/{2**HALVINGS} of a step", "curvature": f"parabola at {', '.join(map(str, NEAR))}",
    }  # fmt: skip
