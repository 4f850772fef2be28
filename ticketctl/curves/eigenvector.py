"""The loss along the direction in which it bends most, the top eigenvector of its Hessian.

L(theta + t v), v of norm 1 over the chosen coordinates, t from -0.5 to 0.5 at 21 points (paper 001, Figure 10: test
loss; Yao et al. 2020). H is the Hessian of the mean cross-entropy over `batch` training images that the seed draws (the
first may be of one class), unaugmented, in evaluation mode, as the metric `hessian` has it; v is its Lanczos vector,
begun anew from itself until |H v - lambda v| is below `tolerance` of lambda. Of v and -v, that one whose component of
the largest size is positive. v is as long as 1 is, whatever the weights are: a net with larger weights is moved by a
smaller share of them.

`eigenvector` is what the loss rises to the ends, the mean of both, lower is flatter. `eigenvector.curvature` is the
second difference at 0, (L(h) - 2 L(0) + L(-h)) / h^2 with h a step of the grid, of the images that are shown;
`eigenvector.curvature.batch` that of the training batch, which is about `eigenvector.lambda`: so far as it is not, the
loss is no parabola on the way. Errors are over the images.

Subspace: `sparse` looks for v among the kept coordinates, biases and BatchNorm's weights among them; `full` in all of
them, at the same point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.curvature import flat, parts_of, signs, within
from ticketctl.train.exam import Absent, Measurement, Value
from ticketctl.train.hessian import check_held, chunked, logits_of, top, twice_differentiable
from ticketctl.train.specimen import Specimen
from ticketctl.train.terrain import Point, Terrain

FACTS = {
    "nets": "1",
    "cost": "21 passes over the test images, about 41 products with a Hessian of 200 images",
}
BETTER = {"eigenvector": "lower"}

GRADIENT, PROBE = 3, 10
"""Forward passes that a gradient is worth, and a product with the Hessian."""
ROUNDS = 5
"""Of Lanczos, at most."""


@dataclass(frozen=True)
class Params:
    """Keys of `[curves.eigenvector]`."""

    points: int = 21
    """Odd: the net itself is in the middle."""
    span: float = 0.5
    """How far t goes to each side."""
    subspace: Literal["sparse", "full"] = "sparse"
    """Where the vector is looked for: among the kept coordinates, or all."""
    set: Literal["train", "val", "test"] = "test"
    """Whose images the loss is of: train, unaugmented; val, or test where none were held out; test."""
    images: int = 0
    """Of that set, drawn by the seed; 0: all."""
    batch: int = 200
    """Training images whose Hessian it is, drawn by the seed; all, if there are fewer."""
    steps: int = 40
    """Products of a round of Lanczos, of which there are 5 at most."""
    tolerance: float = 1e-3
    """Of lambda: at which residual the vector is true enough."""

    def __post_init__(self) -> None:
        check_grid("eigenvector", self.points, self.span)
        check_counts("eigenvector", images=self.images)
        for key in ("batch", "steps"):
            if getattr(self, key) < 1:
                raise UsageError(f"curves.eigenvector.{key} = {getattr(self, key)} must be at least 1")
        if not 0 < self.tolerance < 1:
            raise UsageError(f"curves.eigenvector.tolerance = {self.tolerance} must be in (0, 1)")


def price(sizes: Mapping[str, int], params: Params, ends: int) -> float:
    """Forward passes of single images, about, of one round of Lanczos."""
    del ends
    batch = min(params.batch, sizes["train"])
    lanczos = batch * (GRADIENT + PROBE * (params.steps + 1)) + 2 * params.steps**2
    return float(lanczos + 3 * batch + params.points * count_of(sizes, params.set, params.images))


def measure(terrain: Terrain, *, params: Params) -> Measurement:
    """`eigenvector`, `.lambda`, `.residual`, `.curvature`, `.curvature.batch`, `.left`, `.right` (rises), `.loss`.

    Arrays, float64 [A]: `t`, `loss`, `accuracy`.

    Raises:
        UsageError: more than one net, or Lanczos's vectors have no room.
        Absent: an operation without a second derivative; no parameter is kept; the Hessian is not finite.
    """
    net = alone(terrain, "eigenvector")
    (name, places), grid = (
        chosen(terrain, params.set, params.images),
        grid_of(params.span, params.points),
    )
    few = net.few("train", params.batch, terrain.seeds, "landscape")
    found = terrain.keep("vector", partial(_vector, few, terrain.seeds, params))
    if not np.isfinite(found["lambda"]):
        raise Absent("the Hessian of the training batch is not finite")
    with Site(net) as site:
        vector = torch.from_numpy(np.array(found["vector"])).to(net.device)
        direction, shown = parts_of(vector, site.start), Shown(net, name, places)
        points = [
            terrain.keep(f"point-{number:04d}", partial(_point, site, direction, shown, float(far)))
            for number, far in enumerate(grid)
        ]
        batch = Shown(few, "train", np.arange(len(few.images["train"])))
        near = terrain.keep("batch", partial(_near, site, direction, batch, float(grid[len(grid) // 2 + 1])))
    losses = np.stack([point["losses"] for point in points])
    arrays = {
        "t": grid, "loss": losses.mean(axis=1), "accuracy": np.stack([point["right"] for point in points]).mean(axis=1),
    }  # fmt: skip
    values = _values(losses, near["losses"], grid) | {
        f"eigenvector.{name}": Value(float(found[name]), None, len(batch)) for name in ("lambda", "residual")
    }
    protocol = _protocol(params, name, len(places), len(batch), int(found["products"]))
    return Measurement(values, protocol, arrays)


def _values(
    losses: NDArray[np.float64], near: NDArray[np.float64], grid: NDArray[np.float64]
) -> dict[str, Value]:
    """By losses of images [A, N] on the grid, and of the batch [3, B] around its middle."""
    half = len(grid) // 2
    step = float(grid[half + 1])
    left, own, right = losses[0], losses[half], losses[-1]
    with np.errstate(invalid="ignore"):
        named = {
            "eigenvector": (left + right) / 2 - own,
            "eigenvector.curvature": _bent(losses[half - 1 : half + 2], step),
            "eigenvector.curvature.batch": _bent(near, step),
            "eigenvector.left": left - own,
            "eigenvector.right": right - own,
            "eigenvector.loss": own,
        }
    return {name: mean_of(of) for name, of in named.items()}


def _bent(losses: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The second difference of [3, N], of each image."""
    found: NDArray[np.float64] = (losses[0] - 2 * losses[1] + losses[2]) / step**2
    return found


def _vector(net: Specimen, seeds: Seeds, params: Params) -> Point:
    """The eigenvector float32 [P] with its sign, lambda, its residual, and how many products it took; of all training
    images that the net is shown."""
    weights = {
        name: value.detach().contiguous().requires_grad_() for name, value in net.model.named_parameters()
    }
    keeps = net.masks() if params.subspace == "sparse" else {}
    kept = flat([keeps.get(name, torch.ones_like(weight.detach())) for name, weight in weights.items()])
    if not bool(kept.any()):
        raise Absent("no parameter of the net is kept")
    check_held({"curves.eigenvector.steps": (params.steps, params.steps)}, len(kept), net.device)
    first = signs(seeds.raw("landscape", "eigenvector", count=-(-len(kept) // 64)), len(kept))
    start = torch.from_numpy(first).to(net.device) * kept
    count = len(net.images["train"])

    def build(begin: int, end: int) -> tuple[Tensor, list[Tensor]]:
        return _loss(net, weights, begin, end, count), list(weights.values())

    with twice_differentiable():
        multiply = within(kept, chunked(build, count, net.device, net.poll))
        found = top(multiply, start, params.steps, tolerance=params.tolerance, rounds=ROUNDS, poll=net.poll)
    vector = found.vector * found.vector[found.vector.abs().argmax()].sign()
    return {
        "vector": vector.cpu().numpy(), "lambda": np.array(found.value), "residual": np.array(found.residual),
        "products": np.array(found.products),
    }  # fmt: skip


def _loss(net: Specimen, weights: Mapping[str, Tensor], begin: int, end: int, count: int) -> Tensor:
    """What training images begin..end-1 add to the mean loss over all `count`, to be differentiated twice."""
    inputs, labels = net.images["train"].batch(begin, end)
    logits = logits_of(net.model, weights, inputs.contiguous())
    return nn.functional.cross_entropy(logits, labels, reduction="sum") / count


def _said(site: Site, direction: Parts, shown: Shown, far: float) -> Said:
    site.move((far, direction))
    return shown.said()


def _point(site: Site, direction: Parts, shown: Shown, far: float) -> Point:
    said = _said(site, direction, shown, far)
    return {"losses": said.losses, "right": said.right.astype(np.uint8)}


def _near(site: Site, direction: Parts, batch: Shown, step: float) -> Point:
    """The batch's losses, float64 [3, B], a step before the net, there, and a step behind."""
    return {"losses": np.stack([_said(site, direction, batch, far).losses for far in (-step, 0.0, step)])}


def _protocol(params: Params, name: str, images: int, batch: int, products: int) -> dict[str, Any]:
    return {
        "loss": "mean cross-entropy, its softmax in float64", "augment": "none", "batchnorm": "stored",
        "set": name, "images": images, "batch": f"{batch} training images, drawn by the seed", "products": products,
        "coordinates": "kept" if params.subspace == "sparse" else "all",
        "eigenvalue": "Lanczos, full reorthogonalisation, begun anew until the residual is within the tolerance",
        "sign": "the component of the largest size is positive",
    }  # fmt: skip
