"""Nets are timed for moments, not seconds, before they are trained or asked: most tests only pass by a price."""

from __future__ import annotations

from ticketctl.stages import due, estimate


def glance() -> None:
    """For the rest of this process. Two laps, or three, are made all the same."""
    due.LAP = 0.01
    estimate.ENOUGH = 0.05
    estimate.speed_of.__defaults__ = (estimate.ENOUGH,)
