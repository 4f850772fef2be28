"""Density profiles: how many weights each layer keeps, from the layers' shapes and the total alone.

Every rule returns whole numbers that sum to `total` exactly, none above its layer's size: the rule's real-valued
quotas are rounded by largest remainders (`ticketctl.masks.apportion`), in exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import torch

from ticketctl.errors import UsageError, near_miss
from ticketctl.masks.apportion import apportion, fill
from ticketctl.masks.select import round_half_up

Shapes = Mapping[str, torch.Size]
Counts = dict[str, int]
Rule = Callable[[Shapes, int], Counts]
"""Shapes and total to counts."""

_BITS = 96
"""Binary digits of the pyramid's ratio."""


def sizes_of(shapes: Shapes) -> Counts:
    """Weights of each layer."""
    return {name: shape.numel() for name, shape in shapes.items()}


def uniform(shapes: Shapes, total: int) -> Counts:
    """The same density in every layer."""
    return _proportional({name: Fraction(size) for name, size in sizes_of(shapes).items()}, shapes, total)


def uniform_plus(
    shapes: Shapes, total: int, *, first: str | None, head: str | None, share: Fraction = Fraction(1, 5)
) -> Counts:
    """Uniform with the layer `first` dense and at least `share` of the layer `head` (Gale et al. 2019, "uniform+").

    Layers not in `shapes` are not prunable and ask for nothing. The head joins the others where they keep `share` or
    more.

    Raises:
        UsageError: nothing is left for the other layers.
    """
    sizes = sizes_of(shapes)
    fixed = {first: sizes[first]} if first is not None and first in sizes else {}
    if head is not None and head in sizes and head not in fixed:
        left, room = total - sum(fixed.values()), sum(sizes.values()) - sum(fixed.values())
        if left < share * room:
            fixed[head] = math.ceil(share * sizes[head])
    _refuse_spent(fixed, shapes, total, 'use form = "plain"')
    return fixed_first(fixed, uniform, shapes, total)


def er(shapes: Shapes, total: int) -> Counts:
    """Erdős–Rényi: densities in proportion to (n_in + n_out) / (n_in n_out), capped at 1 (Mocanu et al. 2018)."""
    shares = {name: Fraction(sum(s[:2]) * s.numel(), math.prod(s[:2])) for name, s in shapes.items()}
    return _proportional(shares, shapes, total)


def erk_quotas(shapes: Shapes, total: int, power: Fraction = Fraction(1)) -> dict[str, Fraction]:
    """Weights of each layer by Erdős–Rényi-Kernel, before rounding (Evci et al. 2020).

    Densities are in proportion to (sum(shape) / prod(shape)) ** power, all dimensions of the shape counted; layers
    that would exceed 1 are dense. A depthwise convolution has the shape (C, 1, k, k).

    Raises:
        UsageError: the power lies outside 0 to 8.
    """
    if not 0 <= power <= 8:
        raise UsageError(
            f"power {float(power):g} cannot be; 1 is the published rule, 0 is uniform, 8 the most"
        )
    shares = {name: _power(Fraction(sum(s), s.numel()), power) * s.numel() for name, s in shapes.items()}
    return fill(shares, sizes_of(shapes), total)


def erk(
    shapes: Shapes,
    total: int,
    *,
    power: Fraction = Fraction(1),
    custom: Mapping[str, Fraction] | None = None,
) -> Counts:
    """`erk_quotas`, rounded. `custom` sets the densities of single layers, in [0, 1]; ERK spends what is left.

    Raises:
        UsageError: an unknown layer, or a density outside [0, 1]; the custom layers take more than the total, or leave
            more than the others hold.
    """
    sizes = sizes_of(shapes)
    for name, density in (custom or {}).items():
        if name not in sizes:
            raise UsageError(f"draw.custom: no prunable layer named {name!r}; {near_miss(name, sizes)}")
        if not 0 <= density <= 1:
            raise UsageError(
                f"draw.custom: density {float(density):g} of {name!r} cannot be; it lies in 0 to 1"
            )
    fixed = {name: round_half_up(sizes[name] * density) for name, density in (custom or {}).items()}
    others = sum(size for name, size in sizes.items() if name not in fixed)
    if not 0 <= total - sum(fixed.values()) <= others:
        raise UsageError(
            f"draw.custom keeps {sum(fixed.values()):,} weights and the other layers have {others:,}: "
            f"{total:,} cannot be kept"
        )

    def rest(open_shapes: Shapes, left: int) -> Counts:
        return apportion(erk_quotas(open_shapes, left, power), sizes_of(open_shapes), left)

    return fixed_first(fixed, rest, shapes, total)


def erk_plus(shapes: Shapes, total: int, *, head: str | None) -> Counts:
    """The head dense and ERK over the others (Liu et al. 2022); a head that is not prunable is dense already.

    Raises:
        UsageError: the head alone takes the total or more.
    """
    sizes = sizes_of(shapes)
    fixed = {head: sizes[head]} if head is not None and head in sizes else {}
    _refuse_spent(fixed, shapes, total, "use --method erk")
    return fixed_first(fixed, erk, shapes, total)


def balanced(shapes: Shapes, total: int) -> Counts:
    """The same number of weights in every layer; a layer too small for it is dense and the others take the rest."""
    return _proportional(dict.fromkeys(shapes, Fraction(1)), shapes, total)


def balanced_raw(shapes: Shapes, total: int) -> Counts:
    """total / L weights in every layer, or all it has: what small layers cannot hold is lost, so fewer are kept."""
    quotas = {name: min(Fraction(total, len(shapes)), Fraction(n)) for name, n in sizes_of(shapes).items()}
    return apportion(quotas, sizes_of(shapes), math.floor(sum(quotas.values())))


def pyramidal(shapes: Shapes, total: int) -> tuple[Counts, Fraction]:
    """Density r ** l in the l-th layer from the input, l = 1..L; also returns r, in (0, 1] (Gadhikar et al. 2023).

    r is the real root of sum(n_l r^l) = total, by bisection in exact arithmetic.
    """
    sizes = sizes_of(shapes)
    ratio = _root(list(sizes.values()), total)
    quotas = {name: sizes[name] * ratio**place for place, name in enumerate(sizes, 1)}
    return apportion(quotas, sizes, total), ratio


def like(kept: Mapping[str, int], shapes: Shapes, total: int) -> Counts:
    """The layer counts `kept` of another mask, scaled in proportion to `total` where they sum to another; capped.

    Raises:
        UsageError: the layers that keep anything are too small for the total.
    """
    sizes = sizes_of(shapes)
    room = sum(sizes[name] for name in sizes if kept[name])
    if total > room:
        raise UsageError(
            f"the layers that the ticket does not leave empty have {room:,} weights; {total:,} cannot be kept"
        )
    return _proportional({name: Fraction(kept[name]) for name in shapes}, shapes, total)


def fixed_first(fixed: Mapping[str, int], rule: Rule, shapes: Shapes, total: int) -> Counts:
    """Give the layers of `fixed` their counts and let `rule` spend what is left on the others."""
    others = {name: shape for name, shape in shapes.items() if name not in fixed}
    found = {**fixed, **rule(others, total - sum(fixed.values()))}
    return {name: found[name] for name in shapes}


def _refuse_spent(fixed: Mapping[str, int], shapes: Shapes, total: int, advice: str) -> None:
    spent = sum(fixed.values())
    if total < spent or (total == spent and len(fixed) < len(shapes)):
        raise UsageError(
            f"{' and '.join(fixed)} alone take {spent:,} weights of the {total:,} to keep, which leaves the other "
            f"layers none; {advice}, or a larger density"
        )


def _proportional(shares: Mapping[str, Fraction], shapes: Shapes, total: int) -> Counts:
    sizes = sizes_of(shapes)
    return apportion(fill(shares, sizes, total), sizes, total)


def _power(value: Fraction, power: Fraction) -> Fraction:
    """Exact for whole powers."""
    return value**power.numerator if power.denominator == 1 else Fraction(float(value) ** float(power))


def _root(sizes: list[int], total: int) -> Fraction:
    """The least r on a grid of 2 ** -96 at which sum(n_l r^l) is `total` or more."""
    low, high = 0, 1 << _BITS
    while high - low > 1:
        middle = (low + high) // 2
        value = 0
        for size in reversed(sizes):  # Horner, in units of 2 ** -96
            value = ((value + (size << _BITS)) * middle) >> _BITS
        low, high = (low, middle) if value >= total << _BITS else (middle, high)
    return Fraction(high, 1 << _BITS)
