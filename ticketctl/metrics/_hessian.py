"""Traces and spectra of Hessians that are never formed, from products with random vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.curvature import Extreme, Product, Ritz, product_of, signs
from ticketctl.train.device import room as memory
from ticketctl.train.exam import Absent, Value

Floats = NDArray[np.float64]
Build = Callable[[int, int], tuple[Tensor, Sequence[Tensor]]]
"""Of images start..stop-1 to their part of the loss, a number, and what it is differentiated by."""

KEPT = 3 << 30
"""Bytes of graphs that are kept between products; beyond, they are built anew each time."""
CACHED = 256 << 20
"""Bytes of one graph on a CPU: beyond, nothing is gained, and nobody can interrupt."""
ABSOLUTE = 1e-6
"""A standard error below it is small enough whatever the trace is."""
SPARE = 8
"""Vectors that there are besides those that Lanczos holds."""
POINTS, WIDTH = 1001, 0.01
"""Of a density: its grid, and the width of its Gaussians in parts of the spectrum's."""


@dataclass(frozen=True)
class Rule:
    """When a mean of samples is known well enough."""

    least: int
    most: int
    tolerance: float

    def settled(self, samples: Floats) -> bool:
        """Of the samples [n] so far: `most`, or `least` with a standard error below the tolerance, or no numbers."""
        if len(samples) < self.least:
            return len(samples) > 1 and not np.isfinite(samples).all()
        error = samples.std(ddof=1) / len(samples) ** 0.5
        small = error < max(self.tolerance * abs(samples.mean()), ABSOLUTE)
        return bool(len(samples) >= self.most or small or not np.isfinite(error))


def traced(multiply: Product, probe: Callable[[int], Tensor], sizes: Sequence[int], rule: Rule) -> Floats:
    """Hutchinson's samples of a trace (1990), by blocks: float64 [n, L], a row for each probe.

    A row's sum is v^T H v, and its mean the trace; a column's mean is the trace of a diagonal block. The variance of a
    sample is 2 (|H|_F^2 - sum H_ii^2): a diagonal matrix is known after one.

    Args:
        multiply: v [P] to H v [P].
        probe: number to a vector [P] of 1 and -1; 0 where H is not looked at.
        sizes: of the L blocks that P is made of.
        rule: says when it is enough, by the sums.
    """
    rows: list[Floats] = []
    sums: list[float] = []
    while not rule.settled(np.array(sums)):
        vector = probe(len(rows))
        parts = (vector * multiply(vector)).split(list(sizes))
        row = torch.stack([part.sum(dtype=torch.float64) for part in parts]).cpu().numpy()
        rows.append(np.where(np.isfinite(row), row, np.nan))
        sums.append(float(rows[-1].sum()))
    return np.stack(rows)


def density(spectra: Sequence[Ritz]) -> tuple[Floats, Floats]:
    """Where eigenvalues lie, by stochastic Lanczos quadrature (Ghorbani et al. 2019, section 2): grid and density [G].

    The density integrates to 1: it is that of the share of eigenvalues, smoothed by Gaussians.

    Args:
        spectra: of random start vectors, one or more.
    """
    values = np.concatenate([one.values for one in spectra])
    weights = np.concatenate([one.weights for one in spectra]) / len(spectra)
    if not np.isfinite(values).all():
        return np.full(POINTS, np.nan), np.full(POINTS, np.nan)
    spread = float(values.max() - values.min()) or max(abs(float(values[0])), 1.0)
    width = WIDTH * spread
    grid = np.linspace(values.min() - 5 * width, values.max() + 5 * width, POINTS)
    bells = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return grid, bells @ weights


@dataclass(frozen=True)
class Found:
    """What one batch said of one subspace."""

    samples: Floats
    """[n, L]: of each probe and tensor."""
    ends: Extreme | None
    inner: Sequence[Ritz]
    """For the density."""


def rows(found: Sequence[Found], images: int) -> dict[str, Value]:
    """What is said of one subspace, by name, over the batches; of a single one of so many `images`."""
    sums = [one.samples.sum(axis=1) for one in found]
    named = {"trace": Value.mean(sums[0] if len(sums) == 1 else np.array([one.mean() for one in sums]))}
    spectra = [one.ends for one in found if one.ends is not None]
    if spectra:
        per = {
            "max": [one.largest for one in spectra],
            "min": [one.smallest for one in spectra],
            "power": [max(one.smallest, one.largest, key=abs) for one in spectra],
            "residual": [one.residual for one in spectra],
            "residual.min": [one.residual_smallest for one in spectra],
        }
        named |= {
            name: Value.mean(np.array(ones)) if len(ones) > 1 else Value(float(ones[0]), None, images)
            for name, ones in per.items()
        }
    return named


def arrays_of(found: Sequence[Found]) -> dict[str, NDArray[Any]]:
    """What is behind the rows."""
    every = np.concatenate([one.samples for one in found])
    means = np.stack([one.samples.mean(axis=0) for one in found])
    over = every if len(found) == 1 else means
    arrays: dict[str, NDArray[Any]] = {
        "samples": every.sum(axis=1),
        "samples.count": np.array([len(one.samples) for one in found]),
        "layers": means.mean(axis=0),
        "layers.error": over.std(axis=0, ddof=1) / len(over) ** 0.5,
    }
    inner = [spectrum for one in found for spectrum in one.inner]
    if inner:
        arrays["grid"], arrays["density"] = density(inner)
        arrays["ritz"] = np.concatenate([one.values for one in inner])
        arrays["ritz.weight"] = np.concatenate([one.weights for one in inner]) / len(inner)
    return arrays


def chunked(build: Build, count: int, device: torch.device, poll: Callable[[], None]) -> Product:
    """v to H v, H the Hessian of a loss that is a sum over images; exactly that of all of them at once.

    Images are taken in chunks whose graphs have room. Where there is room for all, graphs are kept between products.

    Args:
        build: the loss of some images, a share of the whole.
        count: how many there are, 1 or more.
        device: where that happens.
        poll: called before each chunk.
    """
    size, kept = room(build, count, device)

    def product(start: int) -> Product:
        poll()
        return product_of(*build(start, min(start + size, count)))

    starts = range(0, count, size)
    held = {start: product(start) for start in starts} if kept else {}

    def multiply(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for start in starts:
            poll()
            total += (held[start] if kept else product(start))(vector)
        return total

    return multiply


def room(build: Build, count: int, device: torch.device) -> tuple[int, bool]:
    """How many images a chunk may have, and whether the graphs of all `count` of them may be kept."""
    if count < 2:
        return 1, True
    each = max(graph_bytes(build, 2) - graph_bytes(build, 1), 1)
    most = CACHED if device.type == "cpu" else KEPT
    return max(min(most // each, count), 1), each * count <= KEPT


def check_held(asked: Mapping[str, tuple[int, int]], length: int, device: torch.device) -> None:
    """Refuse Lanczos where its vectors take more than half of the free memory.

    Args:
        asked: of each key of `metrics.hessian` its value, and how many vectors are held for it at once.
        length: of a vector.
        device: where they are.

    Raises:
        UsageError: they do.
    """
    free = memory(device)
    most = max(free // (4 * length) - SPARE, 0)
    for key, (value, vectors) in asked.items():
        if min(vectors, length) > most:
            mend = f"{most} fit" if value == vectors else "0 leaves it out"
            raise UsageError(
                f"metrics.hessian.{key} = {value} holds {vectors} vectors of {length} numbers, "
                f"{4 * vectors * length / 1e9:.1f} GB, and there is room for {free / 1e9:.1f} GB; {mend}"
            )


def graph_bytes(build: Build, count: int) -> int:
    """What the graph of the gradient of `count` images holds, about."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that its own node held would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        product_of(*build(0, count))
    return sum(seen.values())


def random_signs(seeds: Seeds, *position: Any, count: int) -> NDArray[np.float32]:
    """1 or -1 [count], of the stream `hessian` at `position`; fewer are the first of more."""
    return signs(seeds.raw("hessian", *position, count=-(-count // 64)), count)


def logits_of(model: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """What `model` says with `weights` in the place of its own, float64 [N, K], to be differentiated twice.

    In evaluation mode, batch normalisations are computed as what they are, a factor and a summand for each channel, and
    attention in the form that has second derivatives. The softmax is left to float64: where a net is sure, 1 - p is all
    there is to its curvature.
    """
    with sdpa_kernel(SDPBackend.MATH), _Plainly():
        found: Tensor = torch.func.functional_call(model, dict(weights), (inputs,))
    return found.double()


class _Plainly(TorchFunctionMode):
    """Batch normalisation by stored statistics takes a third of a product with the Hessian; this, half of that."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = kwargs or {}
        if func is nn.functional.batch_norm and not known.get("training", True) and len(args) == 3:
            return _normalised(*args, known["weight"], known["bias"], known["eps"])
        return func(*args, **known)


def _normalised(
    inputs: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1,) + (1,) * (inputs.ndim - 2)
    return torch.addcmul(shift.view(shape), inputs, scale.view(shape))


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """What is asked within it wants second derivatives.

    Raises:
        Absent: an operation of the net has none.
    """
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        if "derivative" in first and "not implemented" in first:
            raise Absent(f"the net has an operation without a second derivative: {first}") from error
        raise
