"""Ladders: how many weights stay at each level, and many nested masks in one array.

Level 0 is dense; a level is reached after a round that removes `rate` of the survivors. Counts follow the
closed form `round_half_up(size * (1 - rate) ** level)`, so they depend on the level alone and not on how a
run was resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, round_half_up

MAX_ROUNDS = 254
"""A round of death is one byte, and the ladder format keeps 255 free (`formats/ladder`)."""


def ladder_counts(
    size: int, *, rate: Fraction, rounds: int | None = None, density: Fraction | None = None
) -> tuple[int, ...]:
    """Kept weights at levels 0..n, one ranking over all layers.

    Args:
        size: number of prunable weights.
        rate: share of the survivors that a round removes, in (0, 1).
        rounds: n, 0 to 254; or
        density: the density of the last level, in (0, 1]. If it is not on the ladder the last round is a part
            of one and the last entry is `kept_count(size, density)`.

    Raises:
        UsageError: not exactly one of `rounds` and `density`; a value out of range; a level that keeps
            nothing.
    """
    last = _rounds(rate, rounds, density)
    counts = [round_half_up(size * (1 - rate) ** level) for level in range(last + 1)]
    if density is not None:
        counts[-1] = kept_count(size, density)
    _refuse_empty(counts)
    return tuple(counts)


def layer_ladder_counts(
    sizes: Mapping[str, int],
    *,
    rate: Fraction,
    rounds: int | None = None,
    density: Fraction | None = None,
    rates: Mapping[str, Fraction] | None = None,
) -> tuple[dict[str, int], ...]:
    """Kept weights of every layer at levels 0..n, each layer ranked alone.

    `rates` names layers with a rate of their own, in [0, 1): the original LTH code prunes the output layer at half the
    rate (google-research/lottery-ticket-hypothesis, mnist_fc/constants.py), and convolutions more slowly. With
    `density`, n is the first level whose total is at or below `kept_count(N, density)`, and the last round is cut short
    so that the total is exact.

    Raises:
        UsageError: as `ladder_counts`; a rate outside [0, 1), or of a layer that is not there.
    """
    each = _rates(sizes, rate, rates or {})
    if density is None:
        levels = [_level(sizes, each, level) for level in range(_rounds(rate, rounds, density) + 1)]
    else:
        _rounds(rate, rounds, density)
        levels = _down_to(sizes, each, kept_count(sum(sizes.values()), density))
    _refuse_empty([sum(level.values()) for level in levels])
    return tuple(levels)


def rounds_of_death(masks: Sequence[Mask]) -> dict[str, NDArray[np.uint8]]:
    """The nested ladder `masks` (levels 0..R, level 0 dense) as one array per layer, of the weight's shape.

    Value r: removed by round r, counted from 0; R: never removed. So the mask of level k is `value >= k`.

    Raises:
        UsageError: more than 254 rounds.
        ValueError: level 0 is not dense, or a level keeps a weight that the level before it had lost.
    """
    last = len(masks) - 1
    if last > MAX_ROUNDS:
        raise UsageError(f"a ladder of {last} rounds; at most {MAX_ROUNDS} fit")
    if not masks or masks[0].kept != masks[0].size:
        raise ValueError("a ladder starts with the dense mask as level 0")
    for level, (above, below) in enumerate(pairwise(masks), start=1):
        if not below <= above:
            raise ValueError(
                f"level {level} keeps weights that level {level - 1} had lost; masks must be nested"
            )
    return {name: _survived(masks, name) for name in masks[0].keep}


def level_mask(death: Mapping[str, NDArray[np.uint8]], level: int) -> Mask:
    """The mask of `level` (0 is dense, at most R) of a ladder kept as rounds of death."""
    return Mask.from_arrays({name: np.asarray(rounds >= level) for name, rounds in death.items()})


def _survived(masks: Sequence[Mask], name: str) -> NDArray[np.uint8]:
    rounds = torch.zeros(masks[0].keep[name].shape, dtype=torch.uint8)
    for mask in masks[1:]:
        rounds += mask.keep[name]
    death: NDArray[np.uint8] = rounds.numpy()
    return death


def _rounds(rate: Fraction, rounds: int | None, density: Fraction | None) -> int:
    if not 0 < rate < 1:
        raise UsageError(
            f"rate {float(rate):g} cannot be: a round removes more than nothing and less than all"
        )
    if (rounds is None) == (density is None):
        raise UsageError("a ladder needs its rounds or its last density, not both and not neither")
    if density is not None:
        if not 0 < density <= 1:
            raise UsageError(f"density {float(density):g} cannot be; it lies above 0 and at most at 1")
        rounds = next((n for n in range(MAX_ROUNDS + 1) if (1 - rate) ** n <= density), MAX_ROUNDS + 1)
    assert rounds is not None
    if not 0 <= rounds <= MAX_ROUNDS:
        raise UsageError(f"a ladder has 0 to {MAX_ROUNDS} rounds; this one would need {_many(rounds)}")
    return rounds


def _many(rounds: int) -> str:
    return f"more than {MAX_ROUNDS}" if rounds > MAX_ROUNDS else str(rounds)


def _rates(sizes: Mapping[str, int], rate: Fraction, own: Mapping[str, Fraction]) -> dict[str, Fraction]:
    for name, other in own.items():
        if name not in sizes:
            raise UsageError(f"{name!r} is not among the prunable layers")
        if not 0 <= other < 1:
            raise UsageError(f"a rate of {float(other):g} for {name!r} cannot be; it lies from 0 to below 1")
    return {name: own.get(name, rate) for name in sizes}


def _level(sizes: Mapping[str, int], rates: Mapping[str, Fraction], level: int) -> dict[str, int]:
    return {name: round_half_up(size * (1 - rates[name]) ** level) for name, size in sizes.items()}


def _down_to(sizes: Mapping[str, int], rates: Mapping[str, Fraction], total: int) -> list[dict[str, int]]:
    """Levels until the total is reached; the last is part of a round, the same part in every layer."""
    levels = [dict(sizes)]
    while sum(levels[-1].values()) > total and len(levels) <= MAX_ROUNDS:
        levels.append(_level(sizes, rates, len(levels)))
    reached = sum(levels[-1].values())
    if reached > total:
        raise UsageError(
            f"{MAX_ROUNDS} rounds still keep {reached:,} weights, more than the {total:,} asked for"
        )
    if len(levels) > 1:
        above, below = levels[-2], levels[-1]
        part = Fraction(sum(above.values()) - total, sum(above.values()) - reached)
        quotas = {name: above[name] - part * (above[name] - below[name]) for name in sizes}
        levels[-1] = apportion(quotas, above, total)
    return levels


def _refuse_empty(totals: Sequence[int]) -> None:
    if 0 in totals:
        raise UsageError(f"level {totals.index(0)} would keep no weight of {totals[0]:,}; take fewer rounds")
