"""Noise on each value: Gaussian, shot, impulse, speckle."""

from __future__ import annotations

import numpy as np

from ticketctl.data.corruptions.constants import Level
from ticketctl.data.corruptions.numbers import Bytes, Floats, Numbers, grey_levels


def gaussian_noise(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """x + N(0, s)."""
    return grey_levels(images + 255 * level[0] * numbers.normal("noise", *images.shape[1:]))


def speckle_noise(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """x + x N(0, s)."""
    return grey_levels(images + images * (level[0] * numbers.normal("noise", *images.shape[1:])))


def impulse_noise(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """A share of the values becomes black or white, evenly."""
    uniform = numbers.uniform("noise", *images.shape[1:])
    found = np.where(uniform < level[0], np.uint8(255), images)
    return np.where(uniform < level[0] / 2, np.uint8(0), found)


def shot_noise(images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    """Poisson(c x) / c: what its distribution function gives for 32 random bits.

    All functions, one for each grey level, stand one above the other in one sorted table of whole numbers.
    """
    most, size = int(level[0]), int(np.prod(images.shape[1:]))
    words = numbers.words("noise", -(-size // 2)).astype("<u8").view("<u4")[:, :size].astype(np.int64)
    grey = images.reshape(len(images), -1).astype(np.int64)
    table = np.ceil(poisson(np.arange(256) / 255 * most, most) * 2.0**32).astype(np.int64)
    table += np.arange(256)[:, None] << 32
    seen = np.searchsorted(table.ravel(), (grey << 32) + words, side="right") - most * grey
    found: Bytes = (255 * np.arange(most + 1) // most).astype(np.uint8)[seen].reshape(images.shape)
    return found


def poisson(means: Floats, most: int) -> Floats:
    """P(k or fewer) of Poisson's distribution for k = 0 to most - 1: float64 [len(means), most]."""
    counts = np.arange(most)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most)))])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(counts == 0, 0.0, counts * np.log(means)[:, None])  # 0 log 0 = 0
    found: Floats = np.minimum(np.cumsum(np.exp(logs - means[:, None] - factorials), axis=1), 1)
    return found
