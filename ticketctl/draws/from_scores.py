"""The layer densities of another ticket, and positions at random.

What a SNIP, GraSP, SynFlow or magnitude ticket says about layers, without what it says about weights. Each layer keeps
as many weights as in `ticket`; where another density is asked for, the counts are scaled in proportion, no layer above
its size. Liu et al. (2022), who spread random masks by "SNIP ratio" and "GraSP ratio"; the same question as in Su et
al. (2020) and Frankle et al. (2021).

Choices: largest remainders round the scaled counts, so that round(N d) weights are kept. At the ticket's own density
this is its layer-wise shuffle (by another permutation than `shuffle`'s). Each layer has one random ranking per seed, so
masks are nested wherever their counts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._start import at_start_cost, count_of, given_ticket, scattered
from ticketctl.masks.apportion import at_least
from ticketctl.masks.profiles import like, sizes_of
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    "paper": "Liu et al. 2022",
    "rule": "layer counts of another ticket; random positions",
    "scope": "layer",
    "data": "none; another ticket's mask",
    "cost": "E; the other ticket's draw beside it",
    "nested": "by counts",
    "start": "initialisation or rewind point",
    "inverted": "no",
    "notes": "`ticket_kept` (weights that the other ticket keeps)",
    "limits": (
        "takes a density, not rounds; needs a ticket of the same net, data and `draw.prunable`; a layer "
        "that the ticket leaves empty stays empty"
    ),
}

NEEDS = ("ticket",)
"""The stage reads the mask of the ticket that `draw.ticket` names."""


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    ticket: str = ""
    """The ticket whose layer densities are taken: a path, an id, or a name in the workspace."""
    least: int = 0
    """Weights that every layer keeps at the least; 0: a layer that the ticket leaves empty stays empty."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1.

    Raises:
        UsageError: no ticket was given; the layers it uses are too small for the density; or it is too small for
            `least`.
        ArtifactError: the ticket is of another net (E_ARCH_MISMATCH).
    """
    count, ticket = count_of(lab, target, "from-scores"), given_ticket(lab, "from-scores")
    kept = {name: kept for name, (kept, _) in ticket.layers().items()}
    if ticket.kept != count:
        lab.note(f"the ticket keeps {ticket.kept:,} weights: its layers are scaled to {count:,}")
    counts = at_least(like(kept, lab.shapes, count), sizes_of(lab.shapes), params.least)
    return scattered(lab, target, "from-scores", counts, {"ticket_kept": ticket.kept})


def cost(plan: Plan, params: Params) -> Cost:
    """One training.

    Raises:
        UsageError: no density was given.
    """
    return at_start_cost(plan, "from-scores")
