"""The order of tweaks and of rows, the same in every table."""

from __future__ import annotations

from collections.abc import Iterable

from ticketctl.plugins import plugins


def in_order(tweaks: Iterable[str]) -> tuple[str, ...]:
    """Names of tweaks in the order in which a training asks them: by their rank, then by name."""
    return tuple(name for _, name in _ranked(tweaks))


def place_of(tweaks: Iterable[str]) -> tuple[int, list[tuple[int, str]]]:
    """Where a set of tweaks stands among others: none first, then single ones, all together last."""
    ranked = _ranked(tweaks)
    return len(ranked), ranked


def _ranked(tweaks: Iterable[str]) -> list[tuple[int, str]]:
    """A tweak that is not installed here has the usual rank."""
    known = plugins("tweaks")
    return sorted((known[name].literals.get("RANK", 0) if name in known else 0, name) for name in tweaks)
