"""Sharpness-aware minimisation: each step uses the gradient at the worst point nearby, a second pass further on.

e = rho * g / ||g|| with the masked gradient g and its norm over all parameters together; the optimizer then steps
from theta with the gradient at theta + e on the same batch. Foret et al. 2021, equations 2 and 3, for p = 2; rho =
0.05 is their default and that of davda54/sam (3c3afdb).

Choices: pruned weights have no part in g, in its norm and in e, so both passes are the ticket's own (masking the
weights after the step alone would let them into the norm). The weights come back as a copy and not by subtracting e,
so that they are the same bits. BatchNorm's running statistics are those of the first pass, as in the reference's
example. The loss recorded is that of the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._sharpness import Sharpness, check

FACTS = {"changes": "gradient", "cost": "a step 2 times"}
EXCLUDES = {"asam": "each perturbs the weights, in another metric"}
ZERO = {"rho": 0.0}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.sam]`."""

    rho: float = 0.05
    """Length of the perturbation, from 0."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: rho is out of its range.
    """
    check(params.rho, "tweaks.sam.rho", "the paper has 0.05")
    return Sharpness("sam", params.rho)
