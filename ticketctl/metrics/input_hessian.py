"""Curvature of the loss over pixels: trace and largest eigenvalue of each image's input Hessian, averaged.

Of each of `images` test images that the seed draws of those shown (the first may be of one class), H is the second
derivative of its cross-entropy by its pixels in [0, 1], the normalisation inside. In evaluation mode images do not
meet, so the Hessian of the summed loss is block-diagonal: one product of it is a product for every image at once.
Traces are Hutchinson's with `probes` samples, eigenvalues Lanczos's.

Choices: paper 004's released code takes the mean loss of all N images at once. Its trace is then the mean per-image
trace, `input-hessian.trace`, but its top eigenvalue is `input-hessian.max.largest` / N and shrinks as more images are
taken; here the loss is summed, and nothing depends on N but what is averaged. A ReLU net is linear in pieces: its H has
a rank of at most classes - 1 and no negative eigenvalue. A smooth one's may have.

The error of a mean is over images. `input-hessian.residual` is the largest |H v - max v| of all images, by one more
product with the vectors v, of norm 1, that were found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.metrics._hessian import Floats, random_signs
from ticketctl.seeds import Seeds
from ticketctl.train.curvature import Product, extremes, product_of
from ticketctl.train.exam import Exam, Measurement, Value
from ticketctl.train.hessian import logits_of, room, twice_differentiable
from ticketctl.train.specimen import Specimen

FACTS = {"data": "test", "cost": "52 products with the Hessian of `images` test images, 2 gradients each"}
NEEDS = ("net", "test")
BETTER = {"input-hessian.trace": "lower", "input-hessian.max": "lower", "input-hessian.max.largest": "lower"}

GRADIENT, PROBE = 3, 5
"""Forward passes that a gradient by the pixels is worth, and a product with its derivative."""
ENDS = 2
"""Products that say how true the eigenvalues are."""
HELD = 1 << 30
"""Bytes that the vectors of Lanczos may take."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.input-hessian]`."""

    images: int = 200
    """Test images, drawn by the seed; all, if there are fewer."""
    probes: int = 30
    """Samples of each image's trace, 2 or more."""
    steps: int = 20
    """Products for each image's eigenvalues, 1 or more."""

    def __post_init__(self) -> None:
        for key, least in (("images", 1), ("probes", 2), ("steps", 1)):
            if getattr(self, key) < least:
                raise UsageError(
                    f"metrics.input-hessian.{key} = {getattr(self, key)} must be at least {least}"
                )


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about."""
    return min(params.images, sizes["test"]) * (GRADIENT + PROBE * (params.probes + params.steps + ENDS))


def measure(exam: Exam, *, params: Params) -> Measurement:
    """Rows `input-hessian.trace`, `.max` and `.min` (means), `.max.largest`, `.residual`.

    Arrays, of each image: `trace`, `trace.error` over its samples, `max`, `min`, `residual`, `residual.min`,
    float64 [N].

    Raises:
        Absent: an operation of the net has no second derivative.
    """
    net = exam.specimen.few("test", params.images, exam.seeds, "hessian")
    count = len(net.images["test"])
    with twice_differentiable():
        size = min(
            room(lambda start, stop: _loss(net, start, stop), count, net.device)[0], _fitting(net, params)
        )
        parts = [
            _part(net, exam.seeds, start, min(start + size, count), params) for start in range(0, count, size)
        ]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    values = {name: Value.mean(arrays[name]) for name in ("trace", "max", "min")}
    values["max.largest"] = Value(float(arrays["max"].max()), None, count)
    values["residual"] = Value(float(arrays["residual"].max()), None, count)
    return Measurement(
        {f"input-hessian.{name}": one for name, one in values.items()}, _protocol(count), arrays
    )


def _fitting(net: Specimen, params: Params) -> int:
    """How many images' Lanczos vectors have room."""
    each = net.images["test"].take(torch.zeros(1, dtype=torch.int64, device=net.device)).numel()
    return max(HELD // (4 * each * (params.steps + 1)), 1)


def _loss(net: Specimen, start: int, stop: int) -> tuple[Tensor, list[Tensor]]:
    """The summed cross-entropy of images start..stop-1, and their pixels; the net's weights are constants."""
    pixels = net.pixels("test", start, stop).contiguous().requires_grad_()
    weights = {name: value.detach().contiguous() for name, value in net.model.named_parameters()}
    logits = logits_of(net.model, weights, net.scaling(pixels * 255).contiguous())
    losses = nn.functional.cross_entropy(logits, net.labels("test", start, stop), reduction="sum")
    return losses, [pixels]


def _part(net: Specimen, seeds: Seeds, start: int, stop: int, params: Params) -> dict[str, Floats]:
    """Of images start..stop-1, all together."""
    loss, (pixels,) = _loss(net, start, stop)
    product, length = product_of(loss, [pixels]), pixels[0].numel()

    def multiply(vectors: Tensor) -> Tensor:
        net.poll()
        return product(vectors.reshape(-1)).view(stop - start, length)

    numbers = net.numbers("test", np.arange(start, stop)).tolist()
    samples = _samples(seeds, multiply, numbers, length, params.probes, net.device)
    first = [random_signs(seeds, "input", "start", number, count=length) for number in numbers]
    ends = extremes(multiply, torch.from_numpy(np.stack(first)).to(net.device), params.steps, poll=net.poll)
    return {
        "trace": samples.mean(axis=1),
        "trace.error": samples.std(axis=1, ddof=1) / params.probes**0.5,
        "max": np.array([one.largest for one in ends]),
        "min": np.array([one.smallest for one in ends]),
        "residual": np.array([one.residual for one in ends]),
        "residual.min": np.array([one.residual_smallest for one in ends]),
    }


def _samples(
    seeds: Seeds, multiply: Product, numbers: Sequence[int], length: int, probes: int, device: torch.device
) -> Floats:
    """v^T H v, float64 [n, probes]; an image's vectors depend on its number in the data alone."""
    found = []
    for turn in range(probes):
        drawn = [random_signs(seeds, "input", number, turn, count=length) for number in numbers]
        vectors = torch.from_numpy(np.stack(drawn)).to(device)
        found.append((vectors * multiply(vectors)).sum(dim=1, dtype=torch.float64).cpu().numpy())
    return np.stack(found, axis=1)


def _protocol(count: int) -> dict[str, Any]:
    return {
        "loss": "cross-entropy, summed over images, its softmax in float64", "pixels": "[0, 1]", "batchnorm": "stored",
        "batch": f"{count} test images, drawn by the seed", "samples": "Rademacher",
        "eigenvalues": "Lanczos of each image, full reorthogonalisation",
    }  # fmt: skip
