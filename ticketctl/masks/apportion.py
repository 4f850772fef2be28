"""Whole numbers of weights per layer that sum exactly to a total, by largest remainders within caps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction


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
