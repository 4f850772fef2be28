"""Weights shared out over layers: proportional shares within caps, and whole numbers that sum exactly to a total."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from ticketctl.errors import UsageError


def fill(shares: Mapping[str, Fraction], caps: Mapping[str, int], total: int) -> dict[str, Fraction]:
    """Quotas `min(cap, eps * share)`, with eps such that they sum to `total` exactly.

    A layer that its share would overfill is full, and the others divide the rest in proportion; so a layer that is
    full stays full for every larger total.

    Args:
        shares: not negative, in any unit; a layer without a share gets nothing.
        caps: the layers' sizes.
        total: 0 to the sum of the caps of layers that have a share.

    Raises:
        ValueError: another total.
    """
    room = sum(caps[name] for name, share in shares.items() if share)
    if not 0 <= total <= room:
        raise ValueError(f"{total:,} weights do not fit into layers of {room:,}")
    quotas = dict.fromkeys(shares, Fraction(0))
    left, open_shares = Fraction(total), sum(shares.values(), Fraction(0))
    for name in sorted((name for name in shares if shares[name]), key=lambda name: caps[name] / shares[name]):
        quotas[name] = min(Fraction(caps[name]), left * shares[name] / open_shares)
        left, open_shares = left - quotas[name], open_shares - shares[name]
    return quotas


def apportion(quotas: Mapping[str, Fraction], caps: Mapping[str, int], total: int) -> dict[str, int]:
    """Round `quotas` to integers within [0, cap] that sum to `total`.

    Every layer gets the floor of its quota, then the largest remainders get one more each (ties: the earlier
    layer); what caps turn away goes round again among the layers with room.

    Raises:
        ValueError: `total` is below 0 or above the sum of the caps.
    """
    if not 0 <= total <= sum(caps.values()):
        raise ValueError(f"{total:,} weights do not fit into layers of {sum(caps.values()):,}")
    counts = {name: min(math.floor(quota), caps[name]) for name, quota in quotas.items()}
    ranked = sorted(quotas, key=lambda name: math.floor(quotas[name]) - quotas[name])
    while (missing := total - sum(counts.values())) > 0:
        for name in [name for name in ranked if counts[name] < caps[name]][:missing]:
            counts[name] += 1
    while (surplus := sum(counts.values()) - total) > 0:
        for name in [name for name in reversed(ranked) if counts[name] > 0][:surplus]:
            counts[name] -= 1
    return counts


def at_least(counts: Mapping[str, int], sizes: Mapping[str, int], least: int) -> dict[str, int]:
    """The same total with no layer below `least`, or below its size where that is smaller.

    Layers below are lifted; the others give in proportion to what they have.

    Raises:
        UsageError: the total is too small for that, or `least` is below 0.
    """
    if least < 0:
        raise UsageError(f"draw.least {least} cannot be; it is 0 or more")
    floors, found, held = {name: min(least, sizes[name]) for name in counts}, dict(counts), set[str]()
    total = sum(counts.values())
    if total < sum(floors.values()):
        raise UsageError(
            f"draw.least {least:,} takes {sum(floors.values()):,} weights, and {total:,} are kept in all; "
            "give less, or a larger density"
        )
    while low := {name for name in found if found[name] < floors[name]}:
        held |= low
        left = total - sum(floors[name] for name in held)
        free = {name: Fraction(kept) for name, kept in found.items() if name not in held}
        rest = apportion(fill(free, sizes, left), {name: sizes[name] for name in free}, left)
        found = {name: floors[name] if name in held else rest[name] for name in found}
    return found
