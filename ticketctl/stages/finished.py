"""Whether a draw is done already; answers without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.recipe import Recipe
from ticketctl.stages.intent import check_intent, read_intent

WORK = "work"
"""Checkpoints of a draw under way; swept when its ticket is there."""


def finished_draw(recipe: Recipe, seed: int, folder: Path, *, swept: bool = True) -> Ticket | None:
    """The ticket in `folder`, if this very draw made it; None if it is still to be drawn.

    With `swept`, a draw that was killed between its ticket and its sweep still has something to do.

    Raises:
        MismatchError: another draw was begun there.
    """
    found = read_intent(folder)
    if found is None or not (folder / "ticket" / "ticket.json").exists():
        return None
    if swept and (folder / WORK).exists():
        return None
    check_intent(folder, found["asked"], asked(recipe, seed))
    return open_ticket(folder / "ticket")


def asked(recipe: Recipe, seed: int) -> dict[str, Any]:
    """What a draw was asked for, as its intent keeps it."""
    return {"recipe": to_record(recipe.changed()), "seed": seed}
