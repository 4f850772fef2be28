"""Blurs: defocus, glass, motion, zoom, Gaussian."""

from __future__ import annotations

import numpy as np

from ticketctl.data.corruptions import filters
from ticketctl.data.corruptions.constants import Level
from ticketctl.data.corruptions.numbers import Bytes, Floats, Numbers

_STEP = 0.01
_UNIT = 1 << 18
"""Of the zooms' weights: two axes, a byte and the sum over up to 32 zooms are 49 bits."""


def gaussian_blur(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """A Gaussian."""
    return filters.gaussian(images, level[0] * scale)


def defocus_blur(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """A disk with smoothed edges."""
    kernel = filters.whole(disk(level[0] * scale, level[1] * scale, max(1, round(scale))), filters.FINE)
    return np.floor(filters.correlate(images, kernel, "reflect") / filters.FINE).astype(np.uint8)


def disk(radius: float, sigma: float, reach: int) -> Floats:
    """An even disk of `radius` pixels under a Gaussian of 2 * reach + 1 by 2 * reach + 1 taps; the sum is 1."""
    line = np.arange(-int(radius) - reach, int(radius) + reach + 1)
    full = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    spread = filters.correlate(np.pad(full, reach), np.outer(weights, weights), "edge")[
        reach:-reach, reach:-reach
    ]
    found: Floats = spread / spread.sum()
    return found


def motion_blur(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Along a line up to 45 degrees off the horizontal."""
    angles = 90 * numbers.uniform("angle", 1)[:, 0] - 45
    return filters.motion(images, level[0] * scale, level[1] * scale, angles)


def zoom_blur(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """The mean of the image and its zooms 1.00, 1.01, ... (numpy's `arange`, which rounds 1.06 and 1.11 in)."""
    size, factors = images.shape[-1], np.arange(1, level[0], _STEP)
    axes = np.stack([_whole(filters.zoom(size, factor)) for factor in factors])
    across = np.matmul(images[:, :, None].astype(np.float64), axes.transpose(0, 2, 1))
    both = axes.transpose(1, 0, 2).reshape(size, -1) @ across.reshape(*images.shape[:2], -1, size)
    unit = float(_UNIT**2)
    found: Bytes = np.floor_divide(both + unit * images, unit * (len(factors) + 1)).astype(np.uint8)
    return found


def _whole(rows: Floats) -> Floats:
    return np.stack([filters.whole(row, _UNIT) for row in rows])


def glass_blur(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Blurred, then pixels overwritten by near ones, then blurred again.

    The released code means to swap neighbours and copies one over the other, from the lower right to the upper left;
    so does this.
    """
    reach = max(1, round(level[1] * scale))
    found = filters.gaussian(images, level[0] * scale)
    for turn in range(int(level[2])):
        words = numbers.words(f"turn {turn}", 2 * images.shape[-1] ** 2) % np.uint64(2 * reach)
        shifts = words.astype(np.int64).reshape(len(images), 2, *images.shape[-2:]) - reach
        found = shuffled(found, shifts, reach)
    return filters.gaussian(found, level[0] * scale)


def shuffled(images: Bytes, shifts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], reach: int) -> Bytes:
    """Each pixel in turn becomes the one that is `shifts` away, all images at once.

    Args:
        images: uint8 [n, C, H, W].
        shifts: int64 [n, 2, H, W] from -reach to reach - 1: rows, columns.
        reach: the border that is left alone.
    """
    count, channels, high, wide = images.shape
    flat = np.ascontiguousarray(images.transpose(2, 3, 0, 1)).reshape(-1, channels)  # [H W n, C]
    near = (shifts[:, 0] * wide + shifts[:, 1]).transpose(1, 2, 0) * count
    for row in range(high - reach, reach, -1):
        for column in range(wide - reach, reach, -1):
            start = (row * wide + column) * count
            source = near[row, column] + np.arange(start, start + count)
            flat[start : start + count] = flat.take(source, axis=0)
    return np.ascontiguousarray(flat.reshape(high, wide, count, channels).transpose(2, 3, 0, 1))
