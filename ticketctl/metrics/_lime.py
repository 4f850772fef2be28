"""LIME's arithmetic: segments, neighbourhoods, and the linear models that explain. Numpy alone, float64.

A neighbourhood is N binary vectors z over the n segments of an image, 1 where a segment is shown and 0 where it is
black; the first is all ones, the image itself. Equal vectors are kept once, with how often they were drawn: what a net
says to them is the same, and every sum below counts them as often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.seeds import Seeds

Floats = NDArray[np.float64]

CONSTANTS = {"scale": 10, "sigma": 0.4, "min_size": 20}
"""Of `segments`; paper 004's for 32x32."""

STILL = 1e-6
"""Responses that differ by no more are constant: float32 probabilities tell no less apart."""


def segments(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Which segment each pixel is in, 0..n-1, int64 [H, W].

    Args:
        image: uint8 [C, H, W]; a grey one, C = 1, is repeated to three channels.

    Source: Felzenszwalb and Huttenlocher 2004, with the constants of paper 004's released code.
    """
    from skimage.segmentation import felzenszwalb

    colours = np.repeat(image, 3, axis=0) if len(image) == 1 else image
    found: NDArray[np.int64] = felzenszwalb(np.moveaxis(colours, 0, -1), channel_axis=-1, **CONSTANTS)
    return found.astype(np.int64)


@dataclass(frozen=True)
class Neighbourhood:
    """The distinct vectors of a neighbourhood, and which are the anchors."""

    rows: NDArray[np.bool_]
    """[U, n], U <= N."""
    counts: NDArray[np.int64]
    """How often each was drawn, [U]; their sum is N."""
    anchors: NDArray[np.int64]
    """Places in `rows`, [1 + A]: of all ones, and of the A random anchors, of which some may be equal."""


def neighbourhood(seeds: Seeds, image: int, segments: int, samples: int, anchors: int) -> Neighbourhood:
    """All ones and `samples` - 1 vectors of fair coins; `anchors` of these, none twice.

    Args:
        seeds: their stream `explain`.
        image: its number; vectors and anchors depend on nothing else of it.
        segments: n, 1 or more.
        samples: N; the first vectors of a larger N are those of a smaller.
        anchors: A, under N.
    """
    words = -(-segments // 64)
    raw = seeds.raw("explain", "rows", image, count=samples * words).reshape(samples, words)
    raw[0] = ~np.uint64(0)
    raw[:, -1] &= ~np.uint64(0) >> np.uint64(64 * words - segments)
    distinct, index, counts = np.unique(raw, axis=0, return_inverse=True, return_counts=True)
    bits = distinct[:, :, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    rows = bits.reshape(len(distinct), -1)[:, :segments].astype(np.bool_)
    drawn = 1 + seeds.order("explain", "anchors", image, count=samples - 1)[:anchors]
    return Neighbourhood(rows, counts, index.reshape(-1)[np.r_[0, drawn]])


def hamming(rows: Floats, anchors: Floats) -> Floats:
    """The share of segments that differ, [A, U] of [U, n] and [A, n]."""
    found: Floats = (anchors @ (1 - rows).T + (1 - anchors) @ rows.T) / rows.shape[1]
    return found


def cosine(rows: Floats, anchors: Floats) -> Floats:
    """One less the cosine of the angle, [A, U] of [U, n] and [A, n]; 1 where either is all zeros."""
    lengths = np.sqrt(np.outer(anchors.sum(axis=1), rows.sum(axis=1)))  # a square of 0 or 1 is itself
    return 1 - anchors @ rows.T / np.where(lengths == 0, 1, lengths)


DISTANCES = {"hamming": hamming, "cosine": cosine}


def ridge_fits(rows: Floats, responses: Floats, weights: Floats, ridge: float) -> tuple[Floats, Floats]:
    """The c and b of least sum_u w_u (f_u - b - c.z_u)^2 + ridge |c|^2, for each of A weightings.

    Args:
        rows: z, [U, n].
        responses: f, [U].
        weights: w, [A, U], of a sum above 0 each.
        ridge: above 0; b is not penalised.

    Returns:
        c [A, n], b [A].
    """
    total = weights.sum(axis=1)
    middle, level = weights @ rows / total[:, None], weights @ responses / total
    centred = rows - middle[:, None]
    weighted = (centred * weights[:, :, None]).transpose(0, 2, 1)
    gram = weighted @ centred + ridge * np.eye(rows.shape[1])
    pull = weighted @ (responses - level[:, None])[:, :, None]
    slopes: Floats = np.linalg.solve(gram, pull)[:, :, 0]
    return slopes, level - (slopes * middle).sum(axis=1)


@dataclass(frozen=True)
class Explained:
    """What the explanations of one image are worth."""

    fidelity: float
    stability: float
    causal: float
    r2: float
    """Not a number where the responses are constant."""
    response: float
    """To the image itself, f(z_0)."""
    constant: bool
    segments: int


def explained(
    near: Neighbourhood, responses: Floats, *, distance: str, width: float, ridge: float
) -> Explained:
    """Fidelity and stability of one image (paper 004, section 4.3, with the image for x and its anchors for x').

    Args:
        near: the vectors.
        responses: f of each of them, [U]; if one is not finite, no value is a number.
        distance: a key of `DISTANCES`.
        width: of the kernel exp(-d^2 / (2 width^2)).
        ridge: see `ridge_fits`.
    """
    if not np.isfinite(responses).all():
        return Explained(np.nan, np.nan, np.nan, np.nan, np.nan, False, near.rows.shape[1])
    rows, shown = near.rows.astype(np.float64), float(responses[near.anchors[0]])
    moved = responses - shown  # the intercept takes it up, and what is constant is then exactly 0
    weights: Floats = (
        np.exp(-0.5 * (DISTANCES[distance](rows, rows[near.anchors]) / width) ** 2) * near.counts
    )
    slopes, levels = ridge_fits(rows, moved, weights, ridge)
    share = near.counts / near.counts.sum()
    errors = (slopes @ rows.T + levels[:, None] - moved) ** 2 @ share
    spread = float(share @ (moved - share @ moved) ** 2)
    constant = bool(np.ptp(moved) <= STILL)
    return Explained(
        fidelity=float(errors[0]),
        stability=float(((slopes[1:] - slopes[0]) ** 2).sum(axis=1).mean()),
        causal=float(errors.mean()),
        r2=np.nan if constant else 1 - float(errors[0]) / spread,
        response=shown,
        constant=constant,
        segments=rows.shape[1],
    )
