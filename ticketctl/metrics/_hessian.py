"""Traces and spectra of Hessians that are never formed, from products with random vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.seeds import Seeds
from ticketctl.train.curvature import Extreme, Product, Ritz, signs
from ticketctl.train.exam import Value

Floats = NDArray[np.float64]

ABSOLUTE = 1e-6
"""A standard error below it is small enough whatever the trace is."""
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


def random_signs(seeds: Seeds, *position: Any, count: int) -> NDArray[np.float32]:
    """1 or -1 [count], of the stream `hessian` at `position`; fewer are the first of more."""
    return signs(seeds.raw("hessian", *position, count=-(-count // 64)), count)
