"""Errors under corruption of one net against another's, in exact numbers: a verdict hangs on them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Errors = Mapping[str, Fraction]
"""By corruption, the mean top-1 error in [0, 1] over the severities that were shown."""
Counts = NDArray[np.uint8]
"""[C, N]: at how many severities of each corruption the answer to each image is wrong."""
_BLOCK = 1 << 16


def mce(ticket: Errors, dense: Errors) -> tuple[Fraction | None, list[str]]:
    """Mean corruption error: the mean over corruptions of sum_s E_s(ticket) / sum_s E_s(dense).

    Hendrycks and Dietterich (2019), section 4, with the dense net of the same run in AlexNet's place (paper 004
    section 4.1, whose text swaps the two symbols). The dense net has 1, lower is better. Severities that were not
    shown are in neither sum; both nets must have been shown the same.

    Args:
        ticket: its errors.
        dense: those of the dense net, of the same corruptions.

    Returns:
        mCE, None if no corruption is left; and the corruptions left out, for the dense net makes no error there.
    """
    skipped = [name for name in ticket if dense[name] <= 0]
    ratios = [ticket[name] / dense[name] for name in ticket if dense[name] > 0]
    return (sum(ratios, Fraction(0)) / len(ratios) if ratios else None), skipped


def relative_mce(
    ticket: Errors, dense: Errors, clean: tuple[Fraction, Fraction]
) -> tuple[Fraction | None, list[str]]:
    """The same of how much error the corruptions add to the error on clean images.

    Args:
        ticket: as in `mce`.
        dense: as in `mce`.
        clean: top-1 errors of the ticket and of the dense net on clean images.

    Returns:
        As `mce`; left out is also where corruption adds nothing to the dense net's error.
    """
    return mce(
        {name: error - clean[0] for name, error in ticket.items()},
        {name: error - clean[1] for name, error in dense.items()},
    )


def mce_variance(ticket: Counts, dense: Counts) -> Fraction | None:
    """The squared standard error of mCE over the images, which both nets were shown in one order: the delta method.

    To first order mCE moves with image i by d_i = 1/C sum_c (a_ci - r_c b_ci) / mean_i(b_c), a and b being the counts
    and r_c = sum_i a_ci / sum_i b_ci. These sum to 0, so that the variance of their mean is sum_i d_i^2 / (N (N - 1)).
    What is hard for both nets, under every corruption, is thus taken as it is, and not as chance.

    Args:
        ticket: counts of the C corruptions that mCE is over.
        dense: those of the dense net.

    Returns:
        Exact. None if the counts do not tell: other shapes, fewer than 2 images, no error of the dense net.
    """
    kinds, images = ticket.shape
    ours, theirs = (
        [int(total) for total in counts.sum(axis=1, dtype=np.int64)] for counts in (ticket, dense)
    )
    if ticket.shape != dense.shape or images < 2 or kinds == 0 or 0 in theirs:
        return None
    # d_i = N/C sum_c (a_ci B_c - A_c b_ci) / B_c^2 with the sums A and B over the images
    weights = [Fraction(1, total) for total in theirs]
    weights += [Fraction(-mine, total**2) for mine, total in zip(ours, theirs, strict=True)]
    products = _products(ticket, dense)
    factor = Fraction(int(images), int(kinds) ** 2 * (int(images) - 1))
    return factor * _form(weights, products)


def _products(ticket: Counts, dense: Counts) -> list[list[float]]:
    """Of each two of the 2 C rows the sum over the images; whole numbers far below 2^53, exact in any order."""
    found = np.zeros((2 * len(ticket), 2 * len(ticket)))
    for start in range(0, ticket.shape[1], _BLOCK):
        part = np.concatenate([counts[:, start : start + _BLOCK] for counts in (ticket, dense)]).astype(float)
        found += part @ part.T
    rows: list[list[float]] = found.tolist()
    return rows


def _form(weights: Sequence[Fraction], products: Sequence[Sequence[float]]) -> Fraction:
    """The sum of w_i w_j p_ij."""
    rows = (
        weight * sum((other * int(one) for other, one in zip(weights, row, strict=True)), Fraction(0))
        for weight, row in zip(weights, products, strict=True)
    )
    return sum(rows, Fraction(0))
