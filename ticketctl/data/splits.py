"""Validation images held out of the training split, so that no choice is ever made on the test split."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds

_FORM = re.compile(r"(first|last|random):(?:(\d{1,18})|(\d{1,3}(?:\.\d{1,9})?)%)", re.ASCII)


def hold_out(labels_count: int, rule: str, seeds: Seeds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the training images 0 … `labels_count` - 1 into those to train on and those to choose by.

    Args:
        labels_count: how many training images there are.
        rule: `none`, or `first:N`, `last:N`, `random:N`: which are held out. N is a count, or a percentage
            such as `10%`, rounded down.
        seeds: `random` takes the first N of the stream `split`'s order.

    Returns:
        Training and validation indices, int64, ascending, disjoint, together all; `none` holds out no image.

    Raises:
        UsageError: another rule, or one that leaves a side empty.
    """
    everything = np.arange(labels_count, dtype=np.int64)
    if rule == "none":
        return everything, everything[:0]
    kind, count = _parsed(rule, labels_count)
    if kind == "random":
        chosen = seeds.order("split", count=labels_count)[:count]
    else:
        chosen = everything[:count] if kind == "first" else everything[labels_count - count :]
    held = np.zeros(labels_count, dtype=bool)
    held[chosen] = True
    return everything[~held], everything[held]


def _parsed(rule: str, labels_count: int) -> tuple[str, int]:
    found = _FORM.fullmatch(rule)
    if not found:
        raise UsageError(f"validation {rule!r}: write none, first:5000, last:5000, random:5000 or random:10%")
    count = int(found[2]) if found[2] else math.floor(Fraction(found[3]) * labels_count / 100)
    if not 0 < count < labels_count:
        raise UsageError(
            f"validation {rule!r} holds out {count} of {labels_count} training images: "
            f"between 1 and {labels_count - 1} are possible, or write none"
        )
    return found[1], count
