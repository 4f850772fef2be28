"""Iterative magnitude pruning: train, drop the smallest weights, rewind, repeat.

Level 0 is the dense net. Each round trains the level before to its end, ranks |w_T| over the weights still alive, and
keeps round(N (1 - rate)^level) of them; then every weight, bias and buffer goes back to the rewind point. `rewind =
"0"` is the lottery-ticket procedure of Frankle & Carbin (2019), a later point is late rewinding (LTR; Frankle et al.
2020). All of papers 000 to 004 draw this way.

`retrain = "lr-rewind"` and `"finetune"` keep the trained weights and set back the schedule alone, or nothing (Renda et
al. 2020): such tickets start from trained weights. `scope = "layer"` with `head_rate`, and `conv_rate` for nets with
convolutions, is the procedure of the original code.

Choices: the weights ranked are those of the last epoch, not of the best one; the optimizer starts afresh at every
level, and all levels see the same data order; counts are exact, ties go to the lower flat index.
"""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.draws._ladder import MagnitudeParams as Params
from ticketctl.draws._ladder import by_magnitude, ladder, ladder_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Frankle & Carbin 2019; papers 000 to 004",
    "rule": "|w| at the end of the level before",
    "scope": "global; or layer",
    "data": "all, to train the dense net and every level",
    "cost": "(n + 1)E - nk",
    "nested": "yes",
    "start": "initialisation or rewind point; retrain = lr-rewind or finetune: trained weights",
    "inverted": "yes; by |w| of the trained dense net",
    "notes": "nothing",
    "limits": (
        'at most 254 rounds; `head_rate` and `conv_rate` go with `scope = "layer"`, `finetune_lr` with '
        '`retrain = "finetune"`'
    ),
}


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained."""
    return ladder(lab, target, params, by_magnitude(lab))


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included."""
    return ladder_cost(plan, params)
