"""Another ticket's mask, shuffled inside each layer or over all layers.

`scope = "layer"` permutes the mask inside each layer: as many weights in each, other positions. `scope = "global"`
permutes it over all layers together, which leaves nothing but the density. If the shuffled mask trains as well, the
ticket was no more than its layer densities, or its density. Frankle et al. (2021), "Pruning Neural Networks at
Initialization", section 5; Su et al. (2020).

Choices: the density is the ticket's, since a shuffle adds and drops no weight. The permutation is a function of the
seed and the layers' names and sizes, and another than that of the control `shuffled`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ticketctl.draws._start import Chosen, at_start, at_start_cost, count_of, given_ticket
from ticketctl.errors import UsageError
from ticketctl.masks.shuffle import shuffled
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Frankle et al. 2021; Su et al. 2020",
    "rule": "the entries of another ticket's mask, permuted",
    "scope": "layer; or global",
    "data": "none; another ticket's mask",
    "cost": "E; the other ticket's draw beside it",
    "nested": "by ticket; shuffles of nested tickets are nested",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "nothing",
    "limits": (
        "needs a ticket of the same net, data and `draw.prunable`, and has its density; takes no rounds"
    ),
}

NEEDS = ("ticket",)
"""The stage reads the mask of the ticket that `draw.ticket` names."""
SETS_DENSITY = True
"""It is the ticket's; a recipe need not give one."""


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    ticket: str = ""
    """The ticket to shuffle: a path, an id, or a name in the workspace."""
    scope: Literal["layer", "global"] = "layer"
    """Permute the mask inside each layer, or over all layers together."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: no ticket was given, or it keeps another number of weights.
        ArtifactError: the ticket is of another net (E_ARCH_MISMATCH).
    """
    ticket = given_ticket(lab, "shuffle")
    own = target if target != Target() else Target(ticket.density)
    count = count_of(lab, own, "shuffle")
    if ticket.kept != count:
        raise UsageError(
            f"shuffle keeps as many weights as its ticket, {ticket.kept:,}, not {count:,}: "
            f"leave --density out, or give {ticket.kept}/{ticket.size}"
        )
    return at_start(
        lab, own, "shuffle", lambda _start, _count: Chosen(shuffled(ticket, params.scope, lab.seeds))
    )


def cost(plan: Plan, params: Params) -> Cost:
    """One training, and before it one of the dense net to the rewind point, if there is one.

    Raises:
        UsageError: rounds were given.
    """
    if plan.target == Target():  # the ticket's own density
        return plan.from_start
    return at_start_cost(plan, "shuffle")
