"""Edges and the distance from them in uint8 [n, H, W], by the rules of OpenCV's functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.corruptions.filters import correlate, padded_by
from ticketctl.data.corruptions.numbers import Bytes

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

ONE = 1 << 16
"""A pixel, in the fixed point of distances."""
_SIDE, _CORNER, _KNIGHT = ONE, round(1.4 * ONE), round(2.1969 * ONE)
_FAR = 1 << 40
_TANGENT = round((2**0.5 - 1) * (1 << 15))
_SOBEL = np.outer([1, 2, 1], [-1, 0, 1])


def canny(images: Bytes, low: int, high: int) -> Flags:
    """Canny's edges (1986), bool [n, H, W]: Sobel's gradients, |dx| + |dy|, thinned across the edge, and followed.

    Args:
        images: uint8 [n, H, W].
        low: an edge is followed where its gradient is above it,
        high: and begins where it is above that.
    """
    right, down = (correlate(images, kernel, "edge").astype(np.int64) for kernel in (_SOBEL, _SOBEL.T))
    size = np.abs(right) + np.abs(down)
    weak = (size > low) & _ridge(size, right, down)
    found = weak & (size > high)
    while True:
        near = padded_by(found, 1, 1, "edge")
        near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
        grown = weak & (near[..., :-2] | near[..., 1:-1] | near[..., 2:])
        if (grown == found).all():
            return found
        found = grown


def _ridge(size: Ints, right: Ints, down: Ints) -> Flags:
    """Where the gradient is largest among the two neighbours across the edge, in the nearest of four directions."""
    high, wide = size.shape[1:]
    outside = np.pad(size, ((0, 0), (1, 1), (1, 1)))

    def at(row: int, column: int) -> Ints:
        found: Ints = outside[:, 1 + row : 1 + row + high, 1 + column : 1 + column + wide]
        return found

    steep, flat = np.abs(down) << 15, np.abs(right) * _TANGENT
    upward = (right ^ down) < 0
    before, after = np.where(upward, at(-1, 1), at(-1, -1)), np.where(upward, at(1, -1), at(1, 1))
    across = (size > at(0, -1)) & (size >= at(0, 1))
    upright = (size > at(-1, 0)) & (size >= at(1, 0))
    slanted = (size > before) & (size > after)
    steepest = steep > flat + (np.abs(right) << 16)
    return np.where(steep < flat, across, np.where(steepest, upright, slanted))


def distances(edges: Flags) -> Ints:
    """From each pixel to the nearest edge, in steps to sides, corners and knight's moves (Borgefors 1986).

    Returns:
        int64 [n, H, W], a pixel being `ONE`; beyond any image where there is no edge.
    """
    found = np.where(edges, 0, _FAR)
    for turned in (found, found[:, ::-1, ::-1]):  # views: the second pass goes on with the first
        _sweep(turned)
    return found


def _sweep(found: Ints) -> None:
    """Distances by way of what is above or to the left, in place."""
    along = _SIDE * np.arange(found.shape[2])
    steps = ((1, 0, _SIDE), (1, -1, _CORNER), (1, 1, _CORNER), (1, -2, _KNIGHT), (1, 2, _KNIGHT), (2, -1, _KNIGHT),
             (2, 1, _KNIGHT))  # fmt: skip
    padded = np.pad(found, ((0, 0), (2, 0), (2, 2)), constant_values=_FAR)
    wide = found.shape[2]
    for row in range(found.shape[1]):
        best = found[:, row]
        for up, side, cost in steps:
            best = np.minimum(best, padded[:, row + 2 - up, 2 + side : 2 + side + wide] + cost)
        best = np.minimum.accumulate(best - along, axis=1) + along
        found[:, row] = padded[:, row + 2, 2:-2] = best


def mean_of_nine(values: NDArray[np.generic]) -> Ints:
    """Sums over the 3 by 3 pixels about each, int64 [n, H, W], nine times their mean; mirrored at the border pixels."""
    return correlate(values, np.ones((3, 3)), "reflect").astype(np.int64)


def equalised(images: Bytes) -> Bytes:
    """Each image's histogram evened out; an image of one level stays as it is."""
    count = len(images)
    flat = images.reshape(count, -1)
    offset = 256 * np.arange(count)[:, None]
    histogram = np.bincount((flat + offset).ravel(), minlength=256 * count).reshape(count, 256)
    below = np.cumsum(histogram, axis=1)
    lowest = np.take_along_axis(histogram, flat.min(axis=1, keepdims=True).astype(np.int64), axis=1)
    rest = flat.shape[1] - lowest
    above = np.maximum(below - lowest, 0).astype(np.float32)
    table = np.rint(above * (np.float32(255) / np.maximum(rest, 1).astype(np.float32))).astype(np.uint8)
    even = np.take_along_axis(table, flat.astype(np.int64), axis=1)
    return np.where(rest == 0, flat, even).reshape(images.shape)
