"""All claims about a draw method in one class."""

from __future__ import annotations

from ticketctl.testing.levels import LevelClaims
from ticketctl.testing.manners import Manners
from ticketctl.testing.restarts import Restarts


class DrawSuite(LevelClaims, Manners, Restarts):
    """What every draw method owes. Subclass it as `Test…` in a test file, name the method, and run pytest."""
