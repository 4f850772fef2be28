"""Compression Positions from counts: ranks, and their means over classes and hardness. No net is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranked(counts: Ints) -> Floats:
    """Rank / N in falling order of the counts, equal ones sharing their average rank (paper 000, equation 11).

    Args:
        counts: int64 [N], epochs in which an image was classified correctly.

    Returns:
        [N] in (0, 1]; small where the count is large. The mean is (N + 1) / 2N.
    """
    _, inverse, sizes = np.unique(-counts, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    found: Floats = ranks[inverse] / len(counts)
    return found


def table(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    """The mean of the values of each cell, float64 of `shape`; NaN where a cell is empty.

    Args:
        values: [N].
        rows: int64 [N], as classes.
        columns: int64 [N], as hardness.
        shape: how many of each.
    """
    cells = rows * shape[1] + columns
    count = np.bincount(cells, minlength=shape[0] * shape[1])
    total = np.bincount(cells, weights=values, minlength=shape[0] * shape[1])
    found: Floats = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return found.reshape(shape)


def centred(values: Floats, groups: Ints, count: int) -> Floats:
    """[N] values less the mean of their group, plus the mean of all: what is left once groups are made equal."""
    means = table(values, groups, np.zeros_like(groups), (count, 1))[:, 0]
    found: Floats = values - means[groups] + values.mean()
    return found
