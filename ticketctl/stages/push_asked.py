"""What is asked of a push: its options, and the name that a repository gets where none is given. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ticketctl.artifacts.manifest import RunManifest, TicketManifest
from ticketctl.artifacts.verdict import Verdict
from ticketctl.errors import UsageError
from ticketctl.hub.licences import licence_id
from ticketctl.hub.names import HubName, parse
from ticketctl.stages.push_things import Thing

MESSAGE = 200
"""Signs of a message at most."""


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    names: Sequence[str] = ()
    to: str | None = None
    runs: bool = False
    """With the trained levels, spends and controls of each ticket."""
    public: bool = False
    licence: str | None = None
    """An id of the Hub. None: that of the card there, or else that of the artifacts."""
    message: str | None = None
    dry_run: bool = False
    card: bool = False
    """Replace a card, figure or config.json there that somebody wrote by hand."""


def checked(asked: Asked) -> Asked:
    """As it was typed, with the licence by its id.

    Raises:
        UsageError: a message that is too long, a licence that the Hub does not know.
    """
    if asked.message is not None and len(asked.message) > MESSAGE:
        raise UsageError(f"--message: {len(asked.message)} signs; at most {MESSAGE}, the ids are added")
    return asked if asked.licence is None else replace(asked, licence=licence_id(asked.licence))


def target(text: str | None) -> HubName | None:
    """The repository of `--to`, or None.

    Raises:
        UsageError: no name of a repository, or one with a revision.
    """
    if text is None:
        return None
    name = parse(text)
    if name.revision is not None:
        raise UsageError(f"--to {text}: a push goes to the branch main; leave out @{name.revision}")
    return name


def own_name(found: Sequence[Thing]) -> str:
    """`<model>-<data>-<method>-<8 signs of the id>`, of what is one ticket with its runs, or one run.

    Raises:
        UsageError: it is more than that, or a verdict.
    """
    tickets = [one for one in found if isinstance(one.manifest, TicketManifest) and one.place == ""]
    one = tickets[0] if len(tickets) == 1 else found[0] if len(found) == 1 else None
    if one is None or isinstance(one.manifest, Verdict):
        raise UsageError("say where to: --to org/name; a name is made up for one ticket or one run alone")
    part = one.manifest
    data = part.data.name if isinstance(part, RunManifest) else part.draw.data.name
    method = "run" if isinstance(part, RunManifest) else part.draw.method
    text = f"{part.arch.name}-{data}-{method}-{one.id[:8]}"
    text = re.sub(r"-{2,}", "-", re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9_.-]+", "-", text)))
    return text.strip("-.")[-60:].strip("-.")
