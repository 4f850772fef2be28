"""Search: tickets on the Hub by the tags of their cards. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticketctl.errors import HubError, UsageError
from ticketctl.hub.client import Found, connect
from ticketctl.hub.endpoints import offline_wanted
from ticketctl.progress import Reporter
from ticketctl.stages.shortlist import Wish

MOST = 2000
"""Repositories that are looked through at most, where a density is asked for."""
_WORDS = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_AUTHOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")


@dataclass(frozen=True)
class Hit:
    """A repository that was found, in the words of its own card, which nobody vouches for."""

    repo: str
    net: str
    data: str
    method: str
    density: float | None
    verdict: str
    downloads: int
    updated: str


def search(
    wanted: Wish,
    *,
    words: Sequence[str] = (),
    author: str | None = None,
    limit: int = 20,
    offline: bool = False,
    reporter: Reporter | None = None,
) -> list[Hit]:
    """Repositories with tickets, the newest first.

    Args:
        wanted: what the cards must say.
        words: parts of the repository's name.
        author: whose they are.
        limit: how many at most, 1 or more.
        offline: the network may not be used.
        reporter: told when a request is tried again.

    Raises:
        UsageError: a word or an author that none can have.
        HubError: no connection; offline.
    """
    said = " ".join(words)
    if said and not _WORDS.fullmatch(said):
        raise UsageError(f"{said[:40]!r}: search for words of a repository's name")
    if author is not None and not _AUTHOR.fullmatch(author):
        raise UsageError(f"--author {author[:40]!r}: give the name of a user or organisation")
    if offline or offline_wanted():
        raise HubError(
            "search asks the Hub, and the network may not be used (--offline, HF_HUB_OFFLINE); "
            "what is here: ticketctl list"
        )
    with connect(reporter=reporter) as hub:
        most = MOST if wanted.density else limit
        rows = hub.search(wanted.tags(), words=said or None, author=author, most=most)
        return _first(rows, wanted, limit)


def _first(rows: Iterator[Found], wanted: Wish, limit: int) -> list[Hit]:
    hits: list[Hit] = []
    for row in rows:
        hit = told(row)
        if wanted.has_density(hit.density):
            hits.append(hit)
        if len(hits) >= limit:
            break
    return hits


def told(row: Found) -> Hit:
    """What the tags of a card say; of tags of one kind the first counts.

    >>> told(Found("org/t", ("net:lenet", "density:0.0352"), 3, "2026-01-01")).density
    0.0352
    """
    tags: dict[str, str] = {}
    for tag in row.tags:
        key, colon, value = tag.partition(":")
        if colon:
            tags.setdefault(key, value[:80])
    density = tags.get("density", "")
    share = float(density) if re.fullmatch(r"[01](\.\d{1,9})?", density) else None
    return Hit(
        row.repo[:120], tags.get("net", ""), tags.get("data", ""), tags.get("method", ""), share,
        tags.get("verdict", ""), row.downloads, row.updated,
    )  # fmt: skip
