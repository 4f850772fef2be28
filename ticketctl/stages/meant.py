"""Which ticket a spend means, and what was chosen where its name left a choice. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.workspace import copies, resolve
from ticketctl.errors import ArtifactError, listed
from ticketctl.stages.unfinished import remembered


def meant(name: str | None, workspace: Path, argv: Sequence[str]) -> tuple[Ticket, int | None, list[str]]:
    """The ticket, the level that its name says, and what was chosen: unfinished work wins over the newest.

    Args:
        name: as `resolve` takes it.
        workspace: where names are looked for.
        argv: the command's arguments, by which its unfinished work is known.

    Raises:
        UsageError: no such ticket or level.
        ArtifactError: the ticket is damaged.
    """
    if name:
        ticket, level = resolve(name, workspace)
        return ticket, level, _copies(name, workspace)
    begun = remembered(workspace, argv) if argv else None
    if begun is not None:
        with suppress(ArtifactError):
            ticket = open_ticket(begun)
            return ticket, None, [f"ticket {ticket.folder}: this command's own, which it has not finished"]
    ticket, level = resolve(None, workspace)
    return ticket, level, [f"ticket {ticket.folder}: the newest", *_siblings(ticket)]


def _copies(name: str, workspace: Path) -> list[str]:
    """That several folders hold the ticket of this id, where they do."""
    taken, *others = copies(name, workspace) or [workspace]
    if not others:
        return []
    rest = listed([str(folder) for folder in others])
    drawn = {open_ticket(folder).manifest.draw.recipe_digest for folder in (taken, *others)}
    which = "copies" if len(drawn) == 1 else "with this mask and these weights, drawn under other recipes"
    return [f"ticket {taken}: the newest of {len(others) + 1} {which} (also {rest})"]


def _siblings(ticket: Ticket) -> list[str]:
    """That the same draw has tickets of other seeds, where it has, and how they are spent."""
    own = ticket.folder.parent
    others = [path.parent.parent for path in own.parent.glob("seed-*/ticket/ticket.json")]
    others = sorted((seed for seed in others if seed != own), key=_number)
    if not others:
        return []
    names = listed([seed.name for seed in others])
    return [
        f"{own.name} is one of {len(others) + 1} seeds of this draw; the others ({names}) are spent by name: "
        f"ticketctl spend {others[0]}"
    ]


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.removeprefix("seed-")
    return (int(digits) if digits.isdecimal() else 0, folder.name)
