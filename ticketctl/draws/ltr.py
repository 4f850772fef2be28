"""Late rewinding: imp under the name that papers 002 and 003 use, with a rewind point required.

The same procedure as `imp` with `rewind` set to a later point than 0 (`1000it`, `2ep`, `18%`).
Frankle et al. (2020).
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import ladder_trainings, magnitude_ladder
from ticketctl.errors import UsageError
from ticketctl.train.lab import Lab, Level, Target


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained from the rewind point.

    Raises:
        UsageError: the rewind point is 0.
    """
    if not lab.rewind:
        raise UsageError(
            "ltr rewinds to a later point than 0: give --rewind 2ep, 1000it or 18%, or use --method imp"
        )
    return magnitude_ladder(lab, target, params)


def trainings(target: Target, params: Params) -> int:
    """How many trainings this takes."""
    return ladder_trainings(target, params)
