"""The levels of a draw under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ticketctl.masks.mask import Mask
from ticketctl.train.lab import Fit, Level


@dataclass
class Ladders:
    """The levels of a draw so far."""

    masks: list[Mask] = field(default_factory=list)
    levels: list[dict[str, Any]] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """How levels were chosen, by number."""
    last: Level | None = None
    fits: list[Fit] = field(default_factory=list)
    """Every training that it took."""
