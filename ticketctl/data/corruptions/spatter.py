"""Spatter on the lens: water or mud."""

from __future__ import annotations

import numpy as np

from ticketctl.data.corruptions import edges, filters
from ticketctl.data.corruptions.constants import Level
from ticketctl.data.corruptions.numbers import Bytes, Floats, Numbers, grey_levels

_WATER = np.array([175.0, 238.0, 238.0])[:, None, None]
_MUD = np.array([63.0, 42.0, 20.0])[:, None, None]
_EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
_LOW, _HIGH = 50, 150
_DEPTH = 20


def spatter(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Smoothed noise above a threshold is the liquid: mud hides what is behind it, water shines at its edges."""
    mean, deviation, sigma, threshold, strength, mud = level
    size = images.shape[-1]
    noise = mean + deviation * numbers.normal("drops", size, size)
    liquid = _smooth(noise, sigma * scale)
    if mud:
        cover = _smooth((liquid > threshold).astype(np.float64), strength * scale)[:, None]
        cover[cover < 0.8] = 0
        return grey_levels(images * (1 - cover) + cover * _MUD)
    drops = grey_levels(255 * np.where(liquid < threshold, 0, liquid))
    return grey_levels(images + strength * shine(drops, _DEPTH * scale)[:, None] * _WATER)


def _smooth(fields: Floats, sigma: float) -> Floats:
    bell = filters.bell(sigma)
    return filters.smooth(fields, bell / bell.sum(), "edge")


def shine(drops: Bytes, depth: float) -> Floats:
    """The embossed distance from the edges of drops [n, H, W], times the drops; each image's brightest pixel is 1."""
    reach = np.minimum(edges.distances(edges.canny(drops, _LOW, _HIGH)), int(depth * edges.ONE))
    deep = np.minimum(edges.mean_of_nine(reach) // (9 * edges.ONE), 255).astype(np.uint8)
    embossed = grey_levels(filters.correlate(edges.equalised(deep), _EMBOSS, "reflect"))
    mean = (2 * edges.mean_of_nine(embossed) + 9) // 18
    found = drops * mean.astype(np.float64)
    bright: Floats = found / np.maximum(found.max(axis=(1, 2), keepdims=True), 1)
    return bright
