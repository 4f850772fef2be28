"""The largest eigenvalue of the Hessian along a training (paper 001, Figures 2, 8, A11, A13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ticketctl.seeds import Seeds
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

STEPS = 20
"""Products with the Hessian for one eigenvalue."""


@dataclass(frozen=True)
class Extreme:
    """Ends of a spectrum, as far as Lanczos saw it."""

    largest: float
    smallest: float
    residual: float
    """|H v - largest v| of the Ritz vector v, which has norm 1: an eigenvalue lies no further from `largest`."""


def lanczos(multiply: Callable[[Tensor], Tensor], start: Tensor, steps: int = STEPS) -> Extreme:
    """The extreme eigenvalues of a symmetric matrix, by Lanczos with full reorthogonalisation.

    Args:
        multiply: v [P] to H v [P].
        start: a vector [P] with a part along the eigenvectors that are looked for; any length above 0.
        steps: products at most; fewer where the vectors span an invariant space before.
    """
    basis, diagonal, beside = [start / start.norm()], [], []
    for _ in range(min(steps, len(start))):
        following = multiply(basis[-1])
        diagonal.append(float(basis[-1] @ following))
        for _ in range(2):  # once leaves rounding errors along the older vectors
            for vector in basis:
                following = following - (vector @ following) * vector
        beside.append(float(following.norm()))
        if beside[-1] <= 1e-6 * max(1.0, *map(abs, diagonal)):
            break
        basis.append(following / beside[-1])
    small = (
        np.diag(diagonal) + np.diag(beside[: len(diagonal) - 1], 1) + np.diag(beside[: len(diagonal) - 1], -1)
    )
    values, vectors = np.linalg.eigh(small)
    return Extreme(float(values[-1]), float(values[0]), abs(beside[-1] * float(vectors[-1, -1])))


def hessian_product(
    net: nn.Module, inputs: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Callable[[Tensor], Tensor], int]:
    """v to H v, H the Hessian of the mean cross-entropy over all parameters but pruned weights; and the length of v.

    Float32 and evaluation mode are the caller's affair. Rows and columns of pruned weights are zero.
    """
    parameters = dict(net.named_parameters())
    loss = nn.functional.cross_entropy(net(inputs), labels)
    gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    keeps = [masks.get(name) for name in parameters]

    def multiply(vector: Tensor) -> Tensor:
        parts = _masked(_parts(vector, parameters.values()), keeps)
        slope = sum((gradient * part).sum() for gradient, part in zip(gradients, parts, strict=True))
        assert isinstance(slope, Tensor)
        products = torch.autograd.grad(slope, list(parameters.values()), retain_graph=True)
        return torch.cat([product.reshape(-1) for product in _masked(products, keeps)])

    return multiply, sum(value.numel() for value in parameters.values())


def _parts(vector: Tensor, like: Any) -> list[Tensor]:
    sizes = [value.numel() for value in like]
    return [part.view(value.shape) for part, value in zip(vector.split(sizes), like, strict=True)]


def _masked(parts: Sequence[Tensor], keeps: Sequence[Tensor | None]) -> list[Tensor]:
    return [part if keep is None else part * keep for part, keep in zip(parts, keeps, strict=True)]


class Curvature(Hooks):
    """Writes down lambda_max after every epoch: its mean over some fixed batches of training images, as they are."""

    def __init__(self, batches: int, seeds: Seeds) -> None:
        self.batches, self.seeds = batches, seeds
        self.values: list[float] = []

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"keep": "lambda_max", "batches": self.batches, "draw": self.seeds.of("draw")}

    def start(self, loop: Course) -> None:
        """What is measured first is the net before training."""
        if not loop.begun and not self.values:
            self.values.append(self._measured(loop))

    def epoch(self, loop: Course) -> bool:
        """One value more."""
        self.values.append(self._measured(loop))
        return False

    def state(self) -> dict[str, Tensor]:
        """`lambda_max`, float64 [E + 1]: before training, and after every epoch."""
        return {"lambda_max": torch.tensor(self.values, dtype=torch.float64)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.values = tensors["lambda_max"].tolist()

    def _measured(self, loop: Course) -> float:
        net, images = loop.model, loop.feed.images
        was, size = net.training, min(loop.feed.batch_size, len(images))
        net.eval()
        try:
            found = []
            for number in range(self.batches):
                loop.poll()
                index = self.seeds.order("draw", "lambda-max", number, count=len(images))[:size]
                chosen = torch.from_numpy(index).to(images.labels.device)
                inputs, labels = images.scaling(images.take(chosen)), images.labels[chosen]
                multiply, length = hessian_product(net, inputs, labels, loop.masks)
                found.append(lanczos(multiply, self._start(number, length, inputs.device)).largest)
        finally:
            net.train(was)
        return math.fsum(found) / len(found)

    def _start(self, number: int, length: int, device: torch.device) -> Tensor:
        words = self.seeds.raw("draw", "lambda-max", number, "start", count=-(-length // 64))
        signs = np.unpackbits(words.view(np.uint8))[:length].astype(np.float32)
        return torch.from_numpy(2 * signs - 1).to(device)
