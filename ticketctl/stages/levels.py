"""Levels as they are typed. Nothing here imports torch."""

from __future__ import annotations

import re
from pathlib import Path

from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.workspace import levels_told, resolve
from ticketctl.errors import UsageError


def levels_in(text: str | None, ticket: Ticket, workspace: Path) -> list[int]:
    """The levels that `--level` names; None: the ticket's own.

    Raises:
        UsageError: not written as levels are, or beyond the ladder.
    """
    manifest = ticket.manifest
    if text is None:
        return [manifest.level]
    last = manifest.ladder.rounds if manifest.ladder else manifest.level
    if text == "all":
        return list(range(last + 1))
    found: list[int] = []
    for part in text.split(","):
        if re.fullmatch(r"\s*[01]?\.[0-9]+\s*", part):
            level = resolve(f"{ticket.folder}@{part.strip()}", workspace)[1]
            found += [] if level is None else [level]
            continue
        span = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if not span:
            raise UsageError(f"--level {text!r}: write 12, 3,8-10, 0.9648 (a sparsity) or all")
        first, end = int(span[1]), int(span[2] or span[1])
        if end < first:
            raise UsageError(f"--level {text!r}: {part.strip()} runs backwards; write {end}-{first}")
        found += range(first, min(end, last + 1) + 1) or [first]
    if any(level > last for level in found):
        told = levels_told(ticket.kept_by_level(), ticket.manifest.mask.prunable)
        raise UsageError(f"--level {text!r}: there is {told}")
    return list(dict.fromkeys(found))
