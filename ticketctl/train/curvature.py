"""The largest eigenvalue of the Hessian along a training (paper 001, Figures 2, 8, A11, A13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.seeds import Seeds
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

STEPS = 20
"""Products with the Hessian for one eigenvalue."""

Product = Callable[[Tensor], Tensor]
"""v to H v, H a symmetric matrix that is never formed."""
Poll = Callable[[], None]
"""To be called at least once a second of work: it raises where somebody asked to stop."""


@dataclass(frozen=True)
class Extreme:
    """Ends of a spectrum, as far as Lanczos saw it."""

    largest: float
    smallest: float
    residual: float
    """|H v - largest v| of the Ritz vector v, of norm 1: an eigenvalue lies no further from `largest`."""
    residual_smallest: float
    """The same of `smallest`."""


@dataclass(frozen=True)
class Ritz:
    """What Lanczos saw of a spectrum: k values, ascending."""

    values: NDArray[np.float64]
    """[k], estimates of eigenvalues, best at the ends."""
    weights: NDArray[np.float64]
    """[k], the shares that their vectors have in the start vector; they add up to 1."""


def ritz(multiply: Product, start: Tensor, steps: int, *, poll: Poll = lambda: None) -> list[Ritz]:
    """Lanczos with full reorthogonalisation (Golub and Van Loan, Matrix Computations, section 10.1).

    It holds `steps` vectors, and passes through them four times for each product.

    Args:
        multiply: v to H v, of the shape of `start`: [P], or [n, P] for n matrices at once, a row for each.
        start: vectors with a part along the eigenvectors that are looked for; any length above 0.
        steps: products at most; fewer where the vectors span invariant spaces before.
        poll: called between passes.

    Returns:
        One for each row of `start`; a single one if it is [P].
    """
    return [
        Ritz(values, vectors[0] ** 2) for values, vectors in _krylov(multiply, start, steps, poll).solved()
    ]


def extremes(multiply: Product, start: Tensor, steps: int, *, poll: Poll = lambda: None) -> list[Extreme]:
    """The extreme eigenvalues of symmetric matrices, as `ritz` has them, and by two more products how true they are."""
    space = _krylov(multiply, start, steps, poll)
    solved = space.solved()
    residuals = []
    for end in (-1, 0):
        poll()
        vectors = space.mixed([vectors[:, end] for _, vectors in solved])
        values = vectors.new_tensor([float(values[end]) for values, _ in solved])[:, None]
        gaps = multiply(vectors.view(start.shape)).view(vectors.shape) - values * vectors
        residuals.append(_numbers(gaps.norm(dim=1)))
    return [
        Extreme(float(values[-1]), float(values[0]), float(upper), float(lower))
        for (values, _), upper, lower in zip(solved, *residuals, strict=True)
    ]


def leading(multiply: Product, start: Tensor, steps: int, *, poll: Poll = lambda: None) -> Tensor:
    """The Ritz vectors of the largest values that `ritz` has, of norm 1 each, of the shape of `start`."""
    space = _krylov(multiply, start, steps, poll)
    return space.mixed([vectors[:, -1] for _, vectors in space.solved()]).view(start.shape)


@dataclass(frozen=True)
class _Krylov:
    """Of n matrices H, orthonormal vectors q and what H is among them: tridiagonal."""

    basis: Tensor
    """[n, k, P]; of a matrix whose space ended before, zeros follow."""
    diagonal: NDArray[np.float64]
    """[n, k]."""
    beside: NDArray[np.float64]
    """[n, k], what stands beside the diagonal; the last is below its corner."""
    length: NDArray[np.int64]
    """[n], how many vectors are not zeros."""

    def solved(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Of each, its values [k], ascending, and their vectors in the basis [k, k], a column each."""
        return [
            _solved(self.diagonal[row, :size], self.beside[row, : size - 1])
            for row, size in enumerate(self.length)
        ]

    def mixed(self, factors: Sequence[NDArray[np.float64]]) -> Tensor:
        """[n, P] of norm 1: for each, the sum of its vectors by factors [k]."""
        wide = np.zeros(self.basis.shape[:2])
        for row, ones in enumerate(factors):
            wide[row, : len(ones)] = ones
        found: Tensor = torch.bmm(torch.from_numpy(wide).to(self.basis)[:, None], self.basis)[:, 0]
        found /= found.norm(dim=1, keepdim=True)
        return found


def _solved(
    diagonal: NDArray[np.float64], beside: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not (np.isfinite(diagonal).all() and np.isfinite(beside).all()):
        return np.full(len(diagonal), np.nan), np.full((len(diagonal),) * 2, np.nan)
    found = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return found.eigenvalues, found.eigenvectors


EPSILON = 1e-6
"""What is below it, of the largest number of the tridiagonal matrix so far, counts as zero: float32's rounding."""


def _krylov(multiply: Product, start: Tensor, steps: int, poll: Poll) -> _Krylov:
    rows = start.reshape(-1, start.shape[-1])
    basis = rows.new_empty(len(rows), min(steps, rows.shape[1]), rows.shape[1])
    diagonal, beside = [], []
    scale, length = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    live, vector = np.ones(len(rows), dtype=bool), rows / rows.norm(dim=1, keepdim=True)
    for step in range(basis.shape[1]):
        basis[:, step] = vector
        known = basis[:, : step + 1]
        vector = multiply(vector.view(start.shape)).view(rows.shape)
        vector, along = _without(vector, known, poll)
        vector, _ = _without(vector, known, poll)  # once leaves rounding errors along the older vectors
        norm = vector.norm(dim=1, keepdim=True)
        diagonal.append(_numbers(along[:, -1]))
        beside.append(_numbers(norm))
        scale, length = np.maximum(scale, np.maximum(abs(diagonal[-1]), beside[-1])), length + live
        live &= beside[-1] > EPSILON * scale
        if not live.any():
            break
        ends = torch.from_numpy(~live).to(norm.device)[:, None]
        vector = vector / norm.masked_fill(ends, torch.inf)  # a row that has ended goes on as zeros
    columns = np.stack(diagonal, axis=1), np.stack(beside, axis=1)
    return _Krylov(basis[:, : len(diagonal)], *columns, length)


def _without(vectors: Tensor, known: Tensor, poll: Poll) -> tuple[Tensor, Tensor]:
    """[n, P] without their parts along [n, k, P], and those parts [n, k]. In this form no matrix is copied."""
    poll()
    along = torch.bmm(vectors[:, None], known.mT)
    poll()
    return torch.baddbmm(vectors[:, None], along, known, alpha=-1)[:, 0], along[:, 0]


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.double().reshape(-1).cpu().numpy()


def hessian_product(
    net: nn.Module, inputs: Tensor, labels: Tensor, masks: Mapping[str, Tensor]
) -> tuple[Product, int]:
    """v to H v, H the Hessian of the mean cross-entropy over all parameters but pruned weights; and the length of v.

    Float32 and evaluation mode are the caller's affair. Rows and columns of pruned weights are zero.
    """
    parameters = dict(net.named_parameters())
    loss = nn.functional.cross_entropy(net(inputs), labels)
    kept = flat([masks.get(name, torch.ones_like(value)) for name, value in parameters.items()])
    return within(kept, product_of(loss, list(parameters.values()))), len(kept)


def product_of(loss: Tensor, at: Sequence[Tensor]) -> Product:
    """v [P] to H v [P], H the Hessian of a number by all that is in the tensors `at`, flattened one after the other.

    The graph of the gradient is built once and lives as long as the product does: each further product costs one pass
    backward through it (Pearlmutter 1994). No `.grad` is touched. What the loss does not depend on has zeros.
    """
    leaves = list(at)
    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    if not loss.requires_grad:
        return torch.zeros_like
    gradients = torch.autograd.grad(loss, leaves, create_graph=True, **options)
    bent = [place for place, gradient in enumerate(gradients) if gradient.requires_grad]

    def multiply(vector: Tensor) -> Tensor:
        if not bent:
            return torch.zeros_like(vector)
        parts = parts_of(vector, leaves)
        along = [gradients[place] for place in bent], leaves, [parts[place] for place in bent]
        return flat(torch.autograd.grad(*along, retain_graph=True, **options))

    return multiply


def within(kept: Tensor, multiply: Product) -> Product:
    """v to M H M v, M the diagonal of `kept` [P], 1 or 0."""
    return lambda vector: kept * multiply(kept * vector)


def flat(parts: Iterable[Tensor]) -> Tensor:
    """The tensors' numbers one after the other, [P]."""
    return torch.cat([part.reshape(-1) for part in parts])


def parts_of(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The reverse: [P] cut into the shapes of `like`."""
    sizes = [value.numel() for value in like]
    return [part.view(value.shape) for part, value in zip(vector.split(sizes), like, strict=True)]


def signs(words: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """1 or -1 [count] by the bits of random words, 64 to a word."""
    bits = np.unpackbits(words.view(np.uint8))[:count]
    return 2 * bits.astype(np.float32) - 1


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
                start = self._start(number, length, inputs.device)
                found.append(float(ritz(multiply, start, STEPS, poll=loop.poll)[0].values[-1]))
        finally:
            net.train(was)
        return math.fsum(found) / len(found)

    def _start(self, number: int, length: int, device: torch.device) -> Tensor:
        words = self.seeds.raw("draw", "lambda-max", number, "start", count=-(-length // 64))
        return torch.from_numpy(signs(words, length)).to(device)
