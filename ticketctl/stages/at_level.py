"""A ticket at one of its levels: what methods are given, and what masks are made of."""

from __future__ import annotations

from dataclasses import dataclass

from ticketctl.artifacts.masks import Keep
from ticketctl.artifacts.ticket import Ticket
from ticketctl.masks.mask import Mask


@dataclass(frozen=True)
class AtLevel:
    """A ticket at one of its levels (None: its own)."""

    ticket: Ticket
    level: int | None

    @property
    def id(self) -> str:
        """Of that level."""
        return self.ticket.ticket_id_at(self.level)

    @property
    def number(self) -> int:
        """Of that level."""
        return self.ticket.manifest.level if self.level is None else self.level

    @property
    def keep(self) -> Keep:
        """Its mask, by parameter."""
        return self.ticket.mask(self.level)

    @property
    def mask(self) -> Mask:
        """The same, as nets are held to it."""
        return Mask.from_arrays(self.keep)
