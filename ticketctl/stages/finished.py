"""Whether a draw is done already; answers without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.recipe import Recipe
from ticketctl.stages.identity import check_asked, check_data
from ticketctl.stages.intent import read_intent

CONTROLS = "controls"
WORK = "work"
"""Checkpoints of a draw under way; swept when its ticket is there."""


def finished_draw(recipe: Recipe, seed: int, folder: Path, data_dir: Path | None = None) -> Ticket | None:
    """The ticket in `folder`, if nothing is left to do for this draw: neither its controls nor a sweep.

    Raises:
        MismatchError: as `drawn`.
    """
    if (folder / WORK).exists() or missing_controls(recipe, folder):
        return None
    return drawn(recipe, seed, folder, data_dir)


def drawn(recipe: Recipe, seed: int, folder: Path, data_dir: Path | None = None) -> Ticket | None:
    """The ticket in `folder`, if this very draw made it; None if it is still to be drawn.

    Its data need not be here. If they are, they are those that it was begun on.

    Raises:
        MismatchError: another draw was begun there, or its data were changed since.
        UnavailableError: what lies in their place cannot be read.
    """
    found = read_intent(folder)
    if found is None:
        return None
    there, wish = (folder / "ticket" / "ticket.json").exists(), asked(recipe, seed)
    if there:
        check_asked(folder, found["asked"], wish)
    if there or found["asked"] == wish:
        check_data(folder, found.get("data"), recipe.data, data_dir)
    return open_ticket(folder / "ticket") if there else None


def missing_controls(recipe: Recipe, folder: Path) -> list[str]:
    """The kinds of controls that the recipe wants and that are not there; `inverted` needs a score to invert, and
    those that move the mask need weights where they move it.
    """
    if not recipe.draw or not recipe.draw.controls:
        return []
    kinds = CONTROL_KINDS if can_move(folder) else ("reinit",)
    wanted = [kind for kind in kinds if kind != "inverted" or has_scores(folder)]
    return [kind for kind in wanted if not (folder / CONTROLS / kind / "ticket" / "ticket.json").exists()]


def can_move(folder: Path) -> bool:
    """Whether another mask may be laid over the ticket's start: not over trained weights that are zero elsewhere.

    A mask moved there would begin with dead weights, and the ticket beat it by construction.
    """
    if not (folder / "ticket" / "ticket.json").exists():
        return True
    ticket = open_ticket(folder / "ticket")
    if ticket.manifest.init.role != "trained":
        return True
    start = ticket.init()
    pruned = [start[name].array()[~keep] for name, keep in ticket.mask().items()]
    zeros = sum(int((values == 0).sum()) for values in pruned)
    return 2 * zeros < sum(values.size for values in pruned)


def has_scores(folder: Path) -> bool:
    """Whether the draw in `folder` kept what it ranked: the scores themselves, or the dense net that it trained."""
    if dense_run(folder) is not None:
        return True
    return (folder / "ticket" / "ticket.json").exists() and open_ticket(folder / "ticket").has("scores")


def dense_run(folder: Path) -> Path | None:
    """The dense net that a draw in `folder` trained and kept, in full or in the short form of its search."""
    places = (folder / place / "0" for place in ("levels", "search"))
    return next((place for place in places if (place / "run.json").exists()), None)


def asked(recipe: Recipe, seed: int) -> dict[str, Any]:
    """What a draw was asked for, as its intent keeps it."""
    return {"recipe": to_record(recipe.changed()), "seed": seed}
