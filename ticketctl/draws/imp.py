"""Iterative magnitude pruning: train, drop the smallest weights, rewind, repeat.

Each round trains the masked net from the rewound weights to its end, ranks |w_T| over the weights still alive, and
keeps round(N (1-rate)^level) of them; then every weight, bias and buffer goes back to the rewind point. `rewind = "0"`
is the lottery-ticket procedure of Frankle & Carbin (2019), a later point is late rewinding (LTR; Frankle et al. 2020).
The ranking uses the weights of the last epoch. All of papers 000-004 draw this way.

`retrain = "lr-rewind"` and `"finetune"` keep the trained weights instead and set back the schedule, or nothing (Renda
et al. 2020): such tickets start from trained weights. `scope = "layer"` with `head_rate`, and `conv_rate` for nets with
convolutions, is the procedure of the original code.

Choices: one rule for counts and ties (exact, lower flat index first); all levels see the same data order.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import by_magnitude, ladder, ladder_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained."""
    return ladder(lab, target, params, by_magnitude(lab))


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included."""
    return ladder_cost(plan, params)
