"""A repository as it stands before a push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ticketctl.hub.client import Hub, RemoteFile
from ticketctl.hub.names import HubName

CARD = "README.md"
LONGEST = 4 << 20
"""Bytes of a card that are read; a longer one is somebody's."""


@dataclass(frozen=True)
class Remote:
    """The repository before the push; `commit` is None where there is none yet."""

    name: HubName
    commit: str | None
    private: bool
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    card: bytes | None = field(default=None, repr=False)
    """The card, where it was read and there is one."""


def look(hub: Hub, name: HubName) -> Remote:
    """The repository as it is now, on its branch `main`.

    Raises:
        HubError: no connection, no right.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with hub.explained(name):
        try:
            found = hub.api.model_info(name.repo, expand=["sha", "private"])
        except RepositoryNotFoundError as error:
            if isinstance(error, GatedRepoError) or error.response.status_code == 401:
                raise
            return Remote(name, None, True)
    commit = hub.commit(name)
    return Remote(name, commit, bool(found.private), hub.files(name.at(commit)))


def read(hub: Hub, name: HubName) -> Remote:
    """The repository as it is now, with its card.

    Raises:
        HubError: no connection, no right.
    """
    there = look(hub, name)
    if there.commit is None or CARD not in there.files:
        return there
    if there.files[CARD].size > LONGEST:
        return replace(there, card=b"")
    return replace(there, card=b"".join(hub.blocks(name.at(there.commit), CARD)))
