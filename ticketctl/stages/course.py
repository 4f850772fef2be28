"""What a ticket says of the draw that found its mask: how long it took, and how the mask came to be. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ticketctl.artifacts.ticket import MANIFEST, open_ticket

LEVELS = "ticketctl.levels"
"""Where a ticket keeps what its draw noted of each level."""


def course_of(ticket: Path, level: int, name: str) -> float | None:
    """A value of Table 1 of paper 000, where the draw noted it: epochs count from 1, and the mask's is the chosen one.

    Args:
        ticket: its folder.
        level: of the ladder.
        name: `epochs` to the mask, those of pre-training counted; `overlap_at_60` or `overlap_before_last`, the share
            of the kept weights that were among the largest when pre-training ended, or an epoch before the mask's.

    Returns:
        None where the draw noted no such thing.

    Raises:
        ArtifactError: the ticket is damaged.
    """
    if not (ticket / MANIFEST).is_file():
        return None
    noted = open_ticket(ticket).manifest.ext.get(LEVELS)
    notes = noted.get(str(level)) if isinstance(noted, Mapping) else None
    if not isinstance(notes, Mapping):
        return None
    chosen = _whole(notes.get("chosen_epoch"))
    if name == "epochs":
        return None if chosen is None else float(chosen)
    at = {"overlap_at_60": _whole(notes.get("pretrain_epochs")), "overlap_before_last": chosen and chosen - 1}
    return _entry(notes.get("overlap"), at.get(name))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _entry(values: Any, epoch: int | None) -> float | None:
    """Of an epoch, counted from 1."""
    if epoch is None or not isinstance(values, (list, tuple)) or not 1 <= epoch <= len(values):
        return None
    try:
        found = float(values[epoch - 1])
    except (TypeError, ValueError, OverflowError):  # `ext` holds whatever somebody wrote there
        return None
    return found if math.isfinite(found) else None
