"""What a verdict says, in the words of terminals and pages. No torch."""

from __future__ import annotations

from fractions import Fraction

from ticketctl.artifacts.verdict_models import NetPart
from ticketctl.errors import listed
from ticketctl.figures.ranks import reference

RULES = {"s003": "accuracy not below", "s004": "accuracy at most one point below"}


def failing(net: NetPart) -> str:
    """Why a net does not pass, in a few words."""
    sides = {"net": "net", "dense": reference(net)}
    flags = sorted({f"{flag.kind} {sides[flag.side]}" for flag in net.flags if flag.kind != "collapsed"})
    words = {"without": "missing", "fails": "fail"}
    named = {
        word: [found.metric for found in net.metrics if found.status == status]
        for word, status in words.items()
    }
    return ", ".join([*flags, *(f"{word} {listed(names)}" for word, names in named.items() if names)])


def figure(text: str | None) -> str:
    """A number of a verdict to four digits, or a dash."""
    return "-" if text is None else f"{float(text):.4g}"


def percent(text: str | None) -> str:
    """A share of a verdict in percent to two places, or a dash."""
    return "-" if text is None else f"{100 * float(Fraction(text)):.2f}"
