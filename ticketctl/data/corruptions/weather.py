"""Weather: snow, frost, fog, brightness."""

from __future__ import annotations

import numpy as np

from ticketctl.data.corruptions import filters
from ticketctl.data.corruptions.constants import Level
from ticketctl.data.corruptions.numbers import Bytes, Floats, Numbers, grey_levels

_LUMA = np.array([0.299, 0.587, 0.114])[:, None, None]


def snow(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Flakes that fall along a line, and the image paled towards grey; the flakes once more upside down."""
    mean, deviation, factor, threshold, radius, sigma, share = level
    size = images.shape[-1]
    axis = filters.zoom(size, max(1.0, factor * scale))
    layer = axis @ (mean + deviation * numbers.normal("flakes", size, size)) @ axis.T
    layer[layer < threshold] = 0
    angles = 90 * numbers.uniform("angle", 1)[:, 0] - 135
    flakes = filters.motion(grey_levels(255 * layer)[:, None], radius * scale, sigma * scale, angles)
    pale = 1.5 * (images * _LUMA).sum(axis=1, keepdims=True) + 127.5
    mixed = share * images + (1 - share) * np.maximum(images, pale)
    return grey_levels(mixed + flakes + flakes[..., ::-1, ::-1])


def fog(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """A plasma cloud is added, and the brightest value kept."""
    thickness, decay = 255 * level[0], level[1]
    size = images.shape[-1]
    side = 1 << (size - 1).bit_length()
    cloud = plasma(numbers.uniform("cloud", side * side - 1), decay)[:, None, :size, :size]
    brightest = images.max(axis=(1, 2, 3), keepdims=True).astype(np.float64)
    return grey_levels((images + thickness * cloud) * (brightest / (brightest + thickness)))


def brightness(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """More of the V of HSV: all channels by one factor, black to grey."""
    value = images.max(axis=1, keepdims=True).astype(np.float64)
    lighter = np.minimum(value + 255 * level[0], 255)
    return grey_levels(np.where(value > 0, images * lighter / np.maximum(value, 1), lighter))


def frost(images: Bytes, level: Level, numbers: Numbers, textures: list[Bytes]) -> Bytes:
    """The image under a random piece of a random texture.

    Args:
        images: uint8 [n, 3, H, H].
        level: the shares of both.
        numbers: of the images.
        textures: five, uint8 [3, more than H, more than H].
    """
    size = images.shape[-1]
    drawn = numbers.uniform("piece", 3)
    found = np.empty_like(images)
    for index, (which, row, column) in enumerate(drawn):
        texture = textures[int(which * len(textures))]
        top, left = (
            int(share * (side - size)) for share, side in zip((row, column), texture.shape[1:], strict=True)
        )
        piece = texture[:, top : top + size, left : left + size]
        found[index] = grey_levels(level[0] * images[index] + level[1] * piece)
    return found


def plasma(uniform: Floats, decay: float) -> Floats:
    """Clouds by diamonds and squares (Fournier, Fussell and Carpenter 1982), float64 [n, side, side] in [0, 1].

    Args:
        uniform: [n, side * side - 1] in [0, 1); the side is a power of two.
        decay: above 1: by what the roughness shrinks from one scale to the next half as large.
    """
    side = round((uniform.shape[1] + 1) ** 0.5)
    found = np.zeros((len(uniform), side, side))
    rough, used, step = 100.0, 0, side
    while step > 1:
        half, cells = step // 2, (side // step) ** 2
        draws = (2 * uniform[:, used : used + 3 * cells] - 1) * rough**2
        a, b, c = (
            part.reshape(len(uniform), side // step, side // step) for part in np.split(draws, 3, axis=1)
        )
        corners = found[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres = (pairs + np.roll(pairs, -1, axis=2)) / 4 + a
        found[:, half::step, half::step] = centres
        upright = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        found[:, ::step, half::step] = upright / 4 + b
        level = centres + np.roll(centres, 1, axis=2) + pairs
        found[:, half::step, ::step] = level / 4 + c
        rough, used, step = rough / decay, used + 3 * cells, half
    found -= found.min(axis=(1, 2), keepdims=True)
    clouds: Floats = found / found.max(axis=(1, 2), keepdims=True)
    return clouds
