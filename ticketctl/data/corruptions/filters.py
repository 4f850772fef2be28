"""Weighted means over neighbours, by whole weights: the sums are exact, and flat areas stay as they are.

Images and fields are [..., H, W]. Borders are numpy's: `edge` is scikit-image's "nearest", `symmetric` SciPy's
"reflect", `reflect` OpenCV's BORDER_REFLECT_101.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.corruptions.numbers import Bytes, Floats

Border = Literal["edge", "symmetric", "reflect"]
UNIT = 1 << 20
"""What the weights of one axis add up to: two axes and a byte are 48 bits, and float64 holds 53."""
FINE = 1 << 40
"""The same where there is one pass alone."""


def whole(weights: Floats, unit: int) -> Floats:
    """Weights near those given, whole multiples of 1/unit times unit; the largest makes their sum exactly `unit`."""
    found: Floats = np.rint(weights / weights.sum() * unit)
    found.flat[np.argmax(found)] += unit - found.sum()
    return found


def bell(sigma: float, truncate: float = 4.0) -> Floats:
    """A Gaussian at whole distances up to truncate * sigma, float64 [2r + 1]; the sum is not 1."""
    radius = int(truncate * sigma + 0.5)
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) if radius else np.ones(1)


def smooth(fields: NDArray[Any], weights: Floats, border: Border) -> Floats:
    """Sums with symmetric `weights` [2r + 1] along both axes, float64 [..., H, W]."""
    found = fields.astype(np.float64)
    for axis in (-2, -1):
        found = _along(found, weights, axis, border)
    return found


def _along(fields: Floats, weights: Floats, axis: int, border: Border) -> Floats:
    radius, size = len(weights) // 2, fields.shape[axis]
    padded = padded_by(fields, radius if axis == -2 else 0, radius if axis == -1 else 0, border)

    def shifted(by: int) -> Floats:
        cut = slice(radius + by, radius + by + size)
        return padded[..., cut, :] if axis == -2 else padded[..., cut]

    found: Floats = shifted(0) * weights[radius]
    for step in range(1, radius + 1):
        if weights[radius + step]:
            pair = shifted(-step) + shifted(step)
            pair *= weights[radius + step]
            found += pair
    return found


def padded_by(fields: NDArray[Any], rows: int, columns: int, border: Border) -> NDArray[Any]:
    """`fields` with so many more rows and columns on each side."""
    edges = [(0, 0)] * (fields.ndim - 2) + [(rows, rows), (columns, columns)]
    return np.pad(fields, edges, mode=border)


def correlate(fields: NDArray[Any], kernel: NDArray[Any], border: Border) -> Floats:
    """Sums with `kernel` [2a + 1, 2b + 1], not mirrored, float64 [..., H, W]."""
    high, wide = fields.shape[-2:]
    padded = padded_by(fields.astype(np.float64), kernel.shape[0] // 2, kernel.shape[1] // 2, border)
    found = np.zeros(fields.shape)
    for row, column in zip(*np.nonzero(kernel), strict=True):
        found += kernel[row, column] * padded[..., row : row + high, column : column + wide]
    return found


def gaussian(images: Bytes, sigma: float) -> Bytes:
    """Blurred bytes, as scikit-image's `gaussian` (nearest, cut at 4 deviations), cut downwards."""
    weights = whole(bell(sigma), UNIT)
    if len(weights) == 1:
        return images
    return np.floor_divide(smooth(images, weights, "edge"), UNIT**2).astype(np.uint8)


def motion(images: Bytes, radius: float, sigma: float, angles: Floats) -> Bytes:
    """Blurred one-sidedly along a line, each image in its own direction: ImageMagick's MotionBlurImage.

    Half a Gaussian of 2 * ceil(radius) + 1 taps; tap i is ceil(i cos - 1/2) to the right and ceil(i sin - 1/2) down.

    Args:
        images: uint8 [n, C, H, W].
        radius: pixels.
        sigma: pixels.
        angles: [n], degrees.
    """
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = whole(np.exp(-0.5 * (steps / sigma) ** 2), FINE)
    steps, weights = steps[weights > 0], weights[weights > 0]
    reach, (high, wide) = int(steps[-1]) + 1, images.shape[-2:]
    padded = padded_by(images, reach, reach, "edge").astype(np.float64)
    found = np.empty_like(images)
    for index, angle in enumerate(np.deg2rad(angles)):
        right, down = (np.ceil(steps * side - 0.5).astype(int) for side in (np.cos(angle), np.sin(angle)))
        total = np.full(images.shape[1:], FINE / 2)
        for weight, row, column in zip(
            weights, (down + reach).tolist(), (right + reach).tolist(), strict=True
        ):
            total += weight * padded[index, :, row : row + high, column : column + wide]
        found[index] = np.floor(total / FINE)
    return found


def zoom(size: int, factor: float) -> Floats:
    """A line of `size` pixels zoomed about its centre, as a matrix: float64 [size, size], rows adding up to 1.

    The middle ceil(size / factor) pixels, spread over round(size') of them by linear interpolation from first to last
    as SciPy's `zoom` does, and the middle of those.
    """
    kept = int(np.ceil(size / factor))
    spread = round(kept * factor)
    first, trim = (size - kept) // 2, (spread - size) // 2
    places = (np.arange(size) + trim) * ((kept - 1) / max(spread - 1, 1))
    low = np.minimum(places.astype(int), kept - 1)
    found, rows = np.zeros((size, size)), np.arange(size)
    found[rows, first + low] = 1 - (places - low)
    found[rows, first + np.minimum(low + 1, kept - 1)] += places - low
    return found
