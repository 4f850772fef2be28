"""Curvature of the training loss: trace, extreme eigenvalues and density of its Hessian.

L is the mean cross-entropy over `images` training images that the seed draws of those shown (the first may be of one
class), unaugmented, in evaluation mode and float32 (the softmax in float64: nets that are sure of everything have
curvatures near 1e-7); H is its second derivative by all parameters: biases, BatchNorm's and the classifier's too. The
trace is Hutchinson's estimate, the mean of v^T H v over random v of 1 and -1 (Hutchinson 1990; Yao et al. 2020); the
eigenvalues are Lanczos's with full reorthogonalisation. Paper 004 takes 200 images; paper 001 the mean of the largest
eigenvalue over 10 random batches (Figures 2, A13: `batches = 10`).

Subspace: values are of the kept coordinates, M H M with M the mask, at which the ticket lives. Names that end in
`.full` are of all coordinates at the same point, pruned weights at 0: how the loss bends where pruned weights would
come back. They answer different questions.

Stop rule: PyHessian, and so paper 004's released code, ends when the running mean moves by less than 0.1 %, which it
does by luck after as few as 3 samples. Here at least `least` are taken, until the standard error is below `tolerance`
times the mean, or `most`.

`hessian.residual` is |H v - max v| by one more product with the vector v, of norm 1, that was found: an eigenvalue lies
no further from `hessian.max`, but for the rounding of that product. `hessian.power` is the eigenvalue largest in size,
the max or the min, which power iteration finds; where it is negative, the papers' codes take it for the top. The array
`layers` has the traces of the diagonal blocks, by tensor, in the order of the protocol's `layers`. A ReLU net has no
second derivative at its kinks: it is 0 there, and the Hessian is that of the smooth pieces around.

With `density` above 0 there is also the spectral density by stochastic Lanczos quadrature, of the kept coordinates. It
is dear: 80 products for each vector. Of a ResNet-18 for CIFAR (11.2 million parameters) and 200 images, `density = 10`
is the work of 2 million forward passes, three to five hours on two CPU cores. Lanczos holds its vectors: 1.8 GB there
for `steps = 40`, and 3.6 GB for a density, whatever its number. More than half of the free memory is refused before the
first product.

The error of the trace is that of its samples, n their number. With several batches, errors are over the batches, n
their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.metrics._hessian import (
    ABSOLUTE,
    WIDTH,
    Found,
    Rule,
    arrays_of,
    random_signs,
    rows,
    traced,
)
from ticketctl.train.curvature import Product, extremes, flat, ritz, within
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.hessian import check_held, chunked, logits_of, twice_differentiable
from ticketctl.train.specimen import Specimen

FACTS = {
    "data": "train",
    "cost": "72 to 542 products with the Hessian of `images` images, 2.7 gradients each; twice that if pruned",
}
NEEDS = ("net", "train")
BETTER = {
    "hessian.trace": "lower",
    "hessian.max": "lower",
    "hessian.trace.full": "lower",
    "hessian.max.full": "lower",
}
VERDICT = ("hessian.trace",)

DEPTH = 80
"""Products for each probe of a density."""
ENDS = 2
"""Products that say how true the extreme eigenvalues are."""
GRADIENT, PROBE = 3, 10
"""Forward passes that a gradient is worth, and a product with the Hessian."""
USUAL = 250
"""Samples that a trace takes at a tolerance of 2 %, about."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.hessian]`."""

    images: int = 200
    """Training images of a batch; all, if there are fewer."""
    batches: int = 1
    """1: images drawn by the seed; more: random batches, no image twice."""
    least: int = 30
    """Samples of a trace at least, 2 or more."""
    most: int = 500
    """Samples of a trace at most."""
    tolerance: float = 0.02
    """Of the trace: at which standard error over mean it is known."""
    steps: int = 40
    """Products for the extreme eigenvalues; 0: none."""
    density: int = 0
    """Random vectors, of 80 products each, for the spectral density; 0: none."""
    full: bool = True
    """In all coordinates as well, if the net is pruned."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Batch:
    """Images and what is asked of them."""

    number: int
    index: Tensor
    """int64 [B]."""
    specimen: Specimen
    weights: Mapping[str, Tensor] = field(repr=False)
    """Leaves in the place of the net's own."""


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about; a net is taken to be pruned.

    Lanczos's own work, 2 k^2 P multiplications for k products, is at most that of 2 k^2 passes, as one takes P or more.
    """
    usual = USUAL * (0.02 / params.tolerance) ** 2 if params.tolerance else params.most
    samples, spaces = min(max(usual, params.least), params.most), 1 + params.full
    ends = params.steps + ENDS if params.steps else 0
    products = spaces * (samples + ends) + params.density * DEPTH
    vectors = 2 * (spaces * params.steps**2 + params.density * DEPTH**2)
    return params.batches * (min(params.images, sizes["train"]) * (GRADIENT + PROBE * products) + vectors)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """Rows `hessian.trace`, `.max`, `.min`, `.power`, `.residual` (of max), `.residual.min`; and `….full`.

    Arrays: `samples` of the traces [n], `samples.count` [b] how many are of each batch, `layers` and `layers.error`
    [L]; `grid` and `density` [G], `ritz` and `ritz.weight` behind them.

    Raises:
        UsageError: more batches than there are images for, or Lanczos's vectors have no room.
        Absent: an operation without a second derivative; no parameter is kept.
    """
    net = exam.specimen
    batches = _batches(exam, params)
    check_held(
        {
            "metrics.hessian.steps": (params.steps, params.steps),
            "metrics.hessian.density": (params.density, DEPTH if params.density else 0),
        },
        sum(value.numel() for value in batches[0].weights.values()),
        net.device,
    )
    masks = net.masks()
    spaces = {"": masks, ".full": {}} if masks and params.full else {"": masks}
    with twice_differentiable():
        asked = [_asked(exam, batch, spaces, params) for batch in batches]
    found = {tail: [one[tail] for one in asked] for tail in spaces}
    size, values = len(batches[0].index), dict[str, Value]()
    arrays: dict[str, NDArray[Any]] = {}
    for tail, ones in found.items():
        values |= {f"hessian.{name}{tail}": value for name, value in rows(ones, size).items()}
        arrays |= {f"{name}{tail}": array for name, array in arrays_of(ones).items()}
    _remark(net, found[""])
    return Measurement(values, _protocol(params, size, list(batches[0].weights)), arrays)


def _check(params: Params) -> None:
    floors = {"images": 1, "batches": 1, "least": 2, "most": params.least, "steps": 0, "density": 0}
    for key, least in floors.items():
        if getattr(params, key) < least:
            also = " (metrics.hessian.least)" if key == "most" else ""
            raise UsageError(f"metrics.hessian.{key} = {getattr(params, key)} must be at least {least}{also}")
    if not 0 <= params.tolerance < 1:
        raise UsageError(f"metrics.hessian.tolerance = {params.tolerance} must be in [0, 1); 0.02 is 2 %")


def _batches(exam: Exam, params: Params) -> list[Batch]:
    net, count = exam.specimen, len(exam.specimen.images["train"])
    if params.batches > 1 and params.batches * params.images > count:
        raise UsageError(
            f"metrics.hessian.batches = {params.batches} of {params.images} images are more than the {count} "
            f"training images; {params.batches} may have at most {count // params.batches} each"
        )
    size = min(params.images, count)
    if params.batches == 1:
        order = exam.specimen.drawn("train", size, exam.seeds, "hessian")
    else:
        order = exam.seeds.order("hessian", "batches", count=count)
    weights = {
        name: value.detach().contiguous().requires_grad_() for name, value in net.model.named_parameters()
    }
    chosen = [order[number * size : (number + 1) * size] for number in range(params.batches)]
    return [
        Batch(number, torch.from_numpy(index.astype(np.int64)).to(net.device), net, weights)
        for number, index in enumerate(chosen)
    ]


def _product(batch: Batch) -> Product:
    """With the Hessian of the batch, in all coordinates.

    Images and weights lie channels first: second derivatives of normalisations are slow the other way.
    """
    net, images = batch.specimen, batch.specimen.images["train"]

    def build(start: int, stop: int) -> tuple[Tensor, list[Tensor]]:
        index = batch.index[start:stop]
        inputs = net.scaling(images.take(index)).contiguous()
        logits = logits_of(net.model, batch.weights, inputs)
        losses = nn.functional.cross_entropy(logits, images.labels[index], reduction="sum")
        return losses / len(batch.index), list(batch.weights.values())

    return chunked(build, len(batch.index), net.device, net.poll)


def _kept(batch: Batch, keeps: Mapping[str, Tensor]) -> Tensor:
    """1 or 0 [P]."""
    kept = flat([keeps.get(name, torch.ones_like(weight.detach())) for name, weight in batch.weights.items()])
    if not bool(kept.any()):
        raise Absent("no parameter of the net is kept")
    return kept


def _asked(
    exam: Exam, batch: Batch, spaces: Mapping[str, Mapping[str, Tensor]], params: Params
) -> dict[str, Found]:
    """Of one batch, in each subspace. Its graphs are the memory that this takes, and go before the next one's come."""
    multiply = _product(batch)
    return {
        tail: _of(exam, batch, _kept(batch, keeps), multiply, params, not tail)
        for tail, keeps in spaces.items()
    }


def _of(exam: Exam, batch: Batch, kept: Tensor, multiply: Product, params: Params, dense: bool) -> Found:
    inside = within(kept, multiply)

    def probe(*position: Any) -> Tensor:
        drawn = random_signs(exam.seeds, *position, batch.number, count=len(kept))
        return torch.from_numpy(drawn).to(kept.device) * kept

    sizes = [weight.numel() for weight in batch.weights.values()]
    rule = Rule(params.least, params.most, params.tolerance)
    samples = traced(inside, lambda number: probe("probe", number), sizes, rule)
    poll = batch.specimen.poll
    ends = extremes(inside, probe("start"), params.steps, poll=poll)[0] if params.steps else None
    inner = [
        ritz(inside, probe("density", number), DEPTH, poll=poll)[0]
        for number in range(params.density * dense)
    ]
    return Found(samples, ends, inner)


def _remark(net: Specimen, found: Sequence[Found]) -> None:
    lowest = min((one.ends.smallest + one.ends.largest for one in found if one.ends is not None), default=0.0)
    if lowest < 0:
        net.reporter.remark(
            "hessian: the eigenvalue largest in size is negative; power iteration would report it"
        )


def _protocol(params: Params, images: int, names: list[str]) -> dict[str, Any]:
    drawn = f"{images} training images, drawn by the seed"
    return {
        "loss": "mean cross-entropy, its softmax in float64", "augment": "none", "batchnorm": "stored",
        "batch": drawn if params.batches == 1 else f"{images} random training images shown, no image twice",
        "coordinates": "kept; .full: all, at the same point", "samples": "Rademacher", "absolute": ABSOLUTE,
        "eigenvalues": "Lanczos, full reorthogonalisation", "layers": names,
        "density": {"products": DEPTH, "width": WIDTH},
    }  # fmt: skip
