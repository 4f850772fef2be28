"""Late rewinding: imp under the name that papers 002 and 003 use, with a rewind point required.

The procedure of `imp`, with the same keys: each round trains the level before to its end, ranks |w_T| over the weights
still alive, keeps round(N (1 - rate)^level) of them, and goes back to the rewind point, a later one than 0 (`1000it`,
`2ep`, `18%`). The dense training passes through that point; levels train from there to the end of the schedule. Frankle
et al. (2020), "Linear Mode Connectivity and the Lottery Ticket Hypothesis"; papers 002 to 004.

Choices: buffers are rewound with the weights, the optimizer's momentum starts at zero; `draw.schedule = "restart"` runs
the whole schedule again from the rewound weights.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import by_magnitude, ladder, ladder_cost
from ticketctl.errors import UsageError
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Frankle et al. 2020; papers 002 to 004",
    "rule": "|w| at the end of the level before",
    "scope": "global; or layer",
    "data": "all, to train the dense net and every level",
    "cost": "(n + 1)E - nk",
    "nested": "yes",
    "start": "rewind point; retrain = lr-rewind or finetune: trained weights",
    "inverted": "yes; by |w| of the trained dense net",
    "notes": "nothing",
    "limits": "needs a rewind point above 0; at most 254 rounds; otherwise as `imp`",
}


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained from the rewind point.

    Raises:
        UsageError: the rewind point is 0.
    """
    _check(lab.rewind)
    return ladder(lab, target, params, by_magnitude(lab))


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included.

    Raises:
        UsageError: the rewind point is 0, or a target that cannot be.
    """
    _check(plan.rewind)
    return ladder_cost(plan, params)


def _check(rewind: float) -> None:
    if not rewind:
        raise UsageError(
            "ltr rewinds to a later point than 0: give --rewind 2ep, 1000it or 18%, or use --method imp"
        )
