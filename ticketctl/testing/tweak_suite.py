"""All claims about a tweak in one class."""

from __future__ import annotations

from ticketctl.testing.tweak_claims import TweakClaims
from ticketctl.testing.tweak_manners import TweakManners
from ticketctl.testing.tweak_restarts import TweakRestarts
from ticketctl.testing.tweak_words import TweakWords


class TweakSuite(TweakClaims, TweakManners, TweakWords, TweakRestarts):
    """What every tweak owes. Subclass it as `Test…` in a test file, name the tweak, and run pytest."""
