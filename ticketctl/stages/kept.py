"""Weights that a run kept along its training (`keep.epochs`): of which epochs, and which of them is meant. No torch."""

from __future__ import annotations

import re
from fractions import Fraction

from ticketctl.artifacts.models import RunManifest, StatePart
from ticketctl.errors import UsageError, listed
from ticketctl.recipe_base import stretched
from ticketctl.stages.report_wants import table

_STATE = re.compile(r"epoch-(\d+)")


def kept_states(run: RunManifest) -> dict[int, StatePart]:
    """By epoch, ascending."""
    found = {int(name[1]): one for one in run.states if (name := _STATE.fullmatch(one.name))}
    return dict(sorted(found.items()))


def state_after(run: RunManifest, epoch: int, where: str) -> StatePart:
    """What was kept after an epoch of the run at `where`.

    Raises:
        UsageError: nothing was; says the epochs of which there is something.
    """
    kept = kept_states(run)
    if epoch not in kept:
        told = listed([str(one) for one in kept]) or "none"
        raise UsageError(
            f"{where}: its weights after epoch {epoch} were not kept; epochs that were (keep.epochs): {told}"
        )
    return kept[epoch]


def epoch_near(run: RunManifest, share: Fraction) -> int | None:
    """The kept epoch that stands for a share of the training, above 0 and below 1; None: there is none.

    `--scale` rounds the length and the kept epochs apart: an epoch beside the share's is still meant.

    >>> stretched(18, Fraction(5, 180))
    1
    """
    epochs = table(run.recipe.get("train")).get("epochs")
    if not isinstance(epochs, int):
        return None
    wanted = stretched(epochs, share)
    near = [epoch for epoch in kept_states(run) if epoch and abs(epoch - wanted) <= 1]
    return min(near, key=lambda epoch: abs(epoch - wanted), default=None)
