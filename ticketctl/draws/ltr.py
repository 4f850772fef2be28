"""Late rewinding: imp under the name that papers 002 and 003 use, with a rewind point required.

The same procedure as `imp` with `rewind` set to a later point than 0 (`1000it`, `2ep`, `18%`).
Frankle et al. (2020).
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import by_magnitude, ladder, ladder_cost
from ticketctl.errors import UsageError
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained from the rewind point.

    Raises:
        UsageError: the rewind point is 0.
    """
    if not lab.rewind:
        raise UsageError(
            "ltr rewinds to a later point than 0: give --rewind 2ep, 1000it or 18%, or use --method imp"
        )
    return ladder(lab, target, params, by_magnitude(lab))


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included."""
    return ladder_cost(plan, params)
