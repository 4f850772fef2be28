"""What happens to files and screens: contrast, elastic distortion, pixels, JPEG, saturation."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data.corruptions import filters
from ticketctl.data.corruptions.constants import Level
from ticketctl.data.corruptions.numbers import Bytes, Floats, Numbers, grey_levels

Mirror = Callable[[NDArray[np.int64], int], NDArray[np.int64]]


def contrast(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Less of each channel's distance from its mean."""
    means = images.mean(axis=(2, 3), keepdims=True)
    return grey_levels((images - means) * level[0] + means)


def saturate(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """S of HSV times a plus b; grey, which has no hue, counts as red."""
    value = images.max(axis=1, keepdims=True).astype(np.float64)
    spread = value - images.min(axis=1, keepdims=True)
    colour = np.minimum(level[0] * spread + level[1] * value, value)
    red = np.array([0.0, 1.0, 1.0])[:, None, None] * colour
    lack = np.where(spread > 0, colour * (value - images) / np.maximum(spread, 1), red)
    return grey_levels(value - lack)


def pixelate(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Made smaller and larger again by means over boxes (Pillow)."""
    size = images.shape[-1]
    small = int(size * level[0])

    def again(image: Image.Image) -> Image.Image:
        return image.resize((small, small), Image.Resampling.BOX).resize((size, size), Image.Resampling.BOX)

    return _each(images, again)


def jpeg_compression(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Through a JPEG file (Pillow's own settings: colour at half the resolution)."""

    def again(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(level[0]))
        return Image.open(file, formats=("JPEG",))

    return _each(images, again)


def _each(images: Bytes, change: Callable[[Image.Image], Image.Image]) -> Bytes:
    found = np.empty_like(images)
    for index, image in enumerate(np.ascontiguousarray(images.transpose(0, 2, 3, 1))):
        found[index] = np.asarray(change(Image.fromarray(image))).transpose(2, 0, 1)
    return found


def elastic_transform(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Three points moved at random and the plane with them, then each pixel by a smooth random field."""
    size = images.shape[-1]
    strength, sigma, shift = (size * constant for constant in level)
    found = sample(images, affine(size, shift * (2 * numbers.uniform("corners", 3, 2) - 1)), _mirrored)
    grid = np.mgrid[:size, :size]
    if strength:
        fields = 2 * numbers.uniform("field", 2, size, size) - 1
        bell = filters.bell(sigma, truncate=3)
        found = sample(
            found, grid + strength * filters.smooth(fields, bell / bell.sum(), "symmetric"), _doubled
        )
    return grey_levels(found)


def affine(size: int, moves: Floats) -> Floats:
    """Where each pixel comes from when three corners of a centred square two thirds as wide move.

    Args:
        size: pixels of a side.
        moves: [n, 3, 2] pixels, of the corners at the lower right, the upper right and the upper left.

    Returns:
        Rows and columns, float64 [n, 2, size, size].
    """
    centre, reach = size // 2, size // 3
    corners = np.array(
        [[centre + reach, centre + reach], [centre + reach, centre - reach], [centre - reach] * 2]
    )
    moved = corners + moves
    # source = middle + steps along the two moved sides, in units of the sides before they moved
    ends = np.stack([moved[:, 0] - moved[:, 1], moved[:, 1] - moved[:, 2]], axis=2)  # [n, (x, y), side]
    grid = np.mgrid[:size, :size][::-1, None].astype(np.float64)  # x, y
    x, y = grid - moved[:, 2].T[:, :, None, None]
    (xa, xb), (ya, yb) = ends.transpose(1, 2, 0)[..., None, None]
    area = xa * yb - xb * ya
    down, right = (x * yb - xb * y) / area, (xa * y - x * ya) / area
    return centre - reach + 2 * reach * np.stack([down, right], axis=1)


def sample(images: NDArray[np.generic], places: Floats, mirror: Mirror) -> Floats:
    """Linear interpolation, float64 [n, C, H, W].

    Args:
        images: [n, C, H, W].
        places: [n, 2, H, W], the row and column that each pixel is taken from.
        mirror: takes any index into the image, given its size.
    """
    count, channels, high, wide = images.shape
    flat = np.ascontiguousarray(images.transpose(0, 2, 3, 1), dtype=np.float64).reshape(-1, channels)
    first = np.floor(places)
    part = (places - first)[..., None]
    first = first.astype(np.int64)
    rows = [
        (mirror(first[:, 0] + step, high) + high * np.arange(count)[:, None, None]) * wide for step in (0, 1)
    ]
    columns = [mirror(first[:, 1] + step, wide) for step in (0, 1)]
    upper, lower = (
        flat[row + columns[0]] * (1 - part[:, 1]) + flat[row + columns[1]] * part[:, 1] for row in rows
    )
    found: Floats = upper * (1 - part[:, 0]) + lower * part[:, 0]
    return found.transpose(0, 3, 1, 2)


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The border pixel is the mirror: dcb|abcd|cba."""
    inside = np.abs(index) % (2 * size - 2)
    found: NDArray[np.int64] = np.minimum(inside, 2 * size - 2 - inside)
    return found


def _doubled(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The mirror lies beyond the border pixel: dcba|abcd|dcba."""
    inside = index % (2 * size)
    found: NDArray[np.int64] = np.minimum(inside, 2 * size - 1 - inside)
    return found
