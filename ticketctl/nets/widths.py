"""Nets of other widths: `model.width`, `model.widths`, and the small dense net that is as large as a ticket.

The small dense baseline has the depth of the ticket's net and as many prunable weights as the ticket keeps: all widths
are scaled by one factor, then the last stage is adjusted, which alone can meet the count closely (the baseline of Paper
004, Fig. 11, whose widths were chosen by hand).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.masks.prunable import policy, prunable
from ticketctl.nets.build import layout, scaled, widths_of

Widths = tuple[int, ...]


@dataclass(frozen=True)
class Sibling:
    """A small dense net."""

    width: Fraction
    """The factor on all widths whose net is nearest to the count: `model.width`."""
    widths: Widths
    """The widths under that factor, the last one adjusted: `model.widths`, which are the net meant here."""
    weights: int
    """Its prunable weights."""


def small_dense(
    name: str,
    kept: int,
    *,
    shape: tuple[int, int, int],
    classes: int,
    preset: str = "default",
    options: Mapping[str, Any] | None = None,
) -> Sibling:
    """The dense net of the family `name` whose prunable weights are nearest to `kept`; of equals the smaller one.

    Args:
        name: a net that has widths.
        kept: weights that the ticket keeps, at least 1, at most those of the net itself.
        shape: channels, height and width of an image.
        classes: number of logits.
        preset: which weights are prunable, as in `draw.prunable`; both nets are counted by it.
        options: `stem` and `conv_bias`, where they are not the defaults.

    Raises:
        UsageError: no such net, a net without widths, or a count that cannot be.
    """
    full = widths_of(name)

    def count(widths: Widths) -> int:
        net = layout(name, shape=shape, classes=classes, widths=widths, **(options or {}))
        return sum(net.get_parameter(weight).numel() for weight in prunable(net, policy(preset)))

    whole = count(full)
    if not 1 <= kept <= whole:
        raise UsageError(
            f"a small dense {name} for {kept} kept weights: it has {whole} itself, give 1 to that"
        )
    width, widths = nearest_width(full, kept, count)
    widths = nearest_last(widths, kept, count, full[-1])
    return Sibling(width, widths, count(widths))


def nearest_width(full: Widths, kept: int, count: Callable[[Widths], int]) -> tuple[Fraction, Widths]:
    """The factor up to 1 under which `count` comes nearest to `kept`, and the widths it makes.

    Only the factors where some width is rounded otherwise matter; among these the search halves, `count` being taken
    to grow with them. The factor is the one with the fewest decimals that makes these widths.
    """
    # below (2k + 1) / 2n the width n is rounded to k, from there on to k + 1
    steps = sorted({Fraction(2 * k + 1, 2 * n) for n in full for k in range(1, n)})
    starts = [Fraction(0), *(step for step in steps if step <= 1)]

    def at(place: int) -> Widths:
        return scaled(full, starts[place])

    above = bisect_right(range(len(starts)), kept, key=lambda place: count(at(place)))
    place = min(
        range(max(0, above - 1), min(above, len(starts) - 1) + 1), key=lambda p: abs(count(at(p)) - kept)
    )
    end = starts[place + 1] if place + 1 < len(starts) else Fraction(2)  # 1 is the last
    return _plain(starts[place], end), at(place)


def nearest_last(widths: Widths, kept: int, count: Callable[[Widths], int], most: int) -> Widths:
    """`widths` with the last one, 1 to `most`, such that `count` comes nearest to `kept`; of equals the smaller."""

    def at(last: int) -> Widths:
        return (*widths[:-1], last)

    above = 1 + bisect_right(range(1, most + 1), kept, key=lambda last: count(at(last)))
    near = range(max(1, above - 1), min(above, most) + 1)
    return at(min(near, key=lambda last: abs(count(at(last)) - kept)))


def _plain(start: Fraction, end: Fraction) -> Fraction:
    """The number in [start, end) with the fewest decimals, above 0."""
    for decimals in range(1, 40):
        scale = 10**decimals
        found = Fraction(max(1, ceil(start * scale)), scale)
        if found < end or found == start:
            return found
    return start
