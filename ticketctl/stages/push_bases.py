"""The repositories on the Hub that pushed things follow from, as far as what was pulled into the workspace tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ticketctl.artifacts.chain import read_chain
from ticketctl.artifacts.manifest import RunManifest, TicketManifest
from ticketctl.errors import ArtifactError
from ticketctl.hub.endpoints import other_host
from ticketctl.hub.names import is_repo
from ticketctl.stages.origin import Origin, origins
from ticketctl.stages.push_things import Thing

MOST = 20
"""Repositories that a card names."""


def bases(found: Sequence[Thing], workspace: Path, repo: str) -> list[str]:
    """Those that something of it, or what it was made of, was pulled from; by name, without `repo` itself.

    Args:
        found: what is pushed.
        workspace: into which things were pulled.
        repo: where it goes.
    """
    ids = {name for one in found for name in _history(one)}
    draws = {one.draw.resolve() for one in found if one.draw is not None}
    host = other_host()
    pulled = [
        one for one in origins(workspace) if one.endpoint == host and one.repo != repo and is_repo(one.repo)
    ]
    return sorted({one.repo for one in pulled if one.folder.resolve() in draws or ids & _held(one)})[:MOST]


def _history(one: Thing) -> Iterator[str]:
    """Ids of a thing, of what its manifest says it came from, and of all earlier steps."""
    yield one.id
    if isinstance(one.manifest, TicketManifest):
        yield from one.manifest.draw.parents
    elif isinstance(one.manifest, RunManifest):
        yield one.manifest.ticket
    chain = read_chain(one.folder)
    yield from (link.made.id for link in (chain.links if chain else ()))


def _held(origin: Origin) -> set[str]:
    """Ids of what came; of what was changed since nothing is said."""
    with suppress(ArtifactError):
        return {one.id for one in origin.locals()}
    return set()
