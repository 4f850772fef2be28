"""Push: tickets, runs and verdicts of the workspace become one commit of a repository on the Hub, or nothing. No torch.

All that is named is verified; every byte that is to travel is looked through for what is private; what will be there
is shown and agreed to; then one commit is made on top of the newest, and tagged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.manifest import PROVENANCE, TicketManifest, read_provenance
from ticketctl.artifacts.set import MANIFEST as SET
from ticketctl.artifacts.set import parse_set
from ticketctl.artifacts.verdict import Verdict
from ticketctl.artifacts.workspace import SHORT
from ticketctl.errors import HubError, TicketctlError, UsageError, listed
from ticketctl.hub.card import Card, claims, render
from ticketctl.hub.card_there import COUNTED, FIGURE, counted_for, licence_of
from ticketctl.hub.client import Hub, connect
from ticketctl.hub.endpoints import endpoint, offline_wanted
from ticketctl.hub.names import HubName, parse
from ticketctl.hub.private import Known, known_here, refuse_private
from ticketctl.hub.standing import CARD, Remote, read
from ticketctl.hub.upload import Change, Item, change, commit
from ticketctl.progress import Reporter, Silent
from ticketctl.stages.push_asked import Asked as Asked
from ticketctl.stages.push_asked import checked, own_name, target
from ticketctl.stages.push_bases import bases
from ticketctl.stages.push_card import card_of, with_figure
from ticketctl.stages.push_public import public_provenance
from ticketctl.stages.push_things import Thing, set_of, things_of
from ticketctl.stages.push_things import counted as number_of
from ticketctl.store.files import member, read_bytes, sha256

NAMED = 3
"""Artifacts whose ids the message of a commit has."""
MAX_FILE = 1 << 36


@dataclass(frozen=True)
class Parcel:
    """All that is to lie in the repository."""

    name: HubName
    things: tuple[Thing, ...]
    items: tuple[Item, ...]
    card: Card
    tag: str
    message: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(item.size for item in self.items)

    @property
    def counted(self) -> str:
        """What it holds, in words."""
        return number_of(self.things)


@dataclass(frozen=True)
class Preview:
    """What a push would do; `remote` and `change` are None where the Hub was not asked."""

    parcel: Parcel
    public: bool
    remote: Remote | None = None
    change: Change | None = None

    @property
    def card_stays(self) -> bool:
        """Whether the card there is somebody's, and no new one is put there."""
        return self.change is not None and CARD in self.change.kept

    @property
    def licence(self) -> str | None:
        """What the card says that will be there."""
        there = self.remote.card if self.remote and self.card_stays else None
        return self.parcel.card.licence if there is None else licence_of(there)

    def claims(self) -> list[str]:
        """What a new card tells everybody; nothing where the one there stays."""
        return [] if self.card_stays else claims(self.parcel.card)


@dataclass(frozen=True)
class Pushed:
    """What a push did; `commit` is None after a dry run."""

    preview: Preview
    commit: str | None
    changed: bool
    """Whether a commit was made: not where everything was there."""
    agreed: bool = True

    @property
    def name(self) -> HubName:
        """With the commit, so that it means the same for ever."""
        name = self.preview.parcel.name
        return name if self.commit is None else name.at(self.commit)


def push(
    asked: Asked,
    workspace: Path,
    *,
    agree: Callable[[Preview], bool] = lambda preview: True,
    reporter: Reporter | None = None,
) -> Pushed:
    """Bring what was named into a repository on the Hub.

    Args:
        asked: what was typed.
        workspace: where names are looked for.
        agree: shown what would happen; False: nothing does.
        reporter: told how far it is.

    Raises:
        UsageError: no such thing, name or licence, something private in a file, a repository of something else.
        ArtifactError: something that was named is damaged.
        HubError: the Hub, the network or a right; then nothing of the push is to be seen, or the line says what is.
        StoppedError: somebody asked to stop; likewise.
    """
    told = reporter or Silent()
    name, asked = target(asked.to), checked(asked)
    found = things_of(asked.names, workspace, runs=asked.runs, reporter=told)
    if asked.dry_run and name is not None:
        parcel = packed(found, name, asked, workspace, known_here())
        return Pushed(Preview(parcel, asked.public), None, changed=False)
    if offline_wanted():
        raise HubError("a push needs the network, and HF_HUB_OFFLINE forbids it")
    own = own_name(found) if name is None else ""
    with connect(reporter=told) as hub:
        name = name or parse(f"{hub.whoami()}/{own}")
        if not asked.dry_run and hub.token is None:
            hub.whoami()  # says that there is no token
        remote = read(hub, name)
        licence = asked.licence or (licence_of(remote.card) if remote.card else None)
        known = [repo for repo in bases(found, workspace, name.repo) if hub.is_public(repo)]
        parcel = packed(found, name, replace(asked, licence=licence), workspace, known_here(hub.token), known)
        return _performed(hub, remote, parcel, asked, agree)


def _performed(
    hub: Hub, remote: Remote, parcel: Parcel, asked: Asked, agree: Callable[[Preview], bool]
) -> Pushed:
    if remote.commit is not None and not remote.private and not asked.public:
        raise UsageError(f"{parcel.name} is public; say --public, or push to another")
    public = asked.public if remote.commit is None else not remote.private
    if asked.public and not public:
        hub.reporter.remark(
            f"{parcel.name} is there and private, and stays so; its page on the Hub makes it public"
        )
    preview = Preview(parcel, public, remote, change(hub, remote, parcel.items, card=asked.card))
    if said := _of_card(preview, asked):
        hub.reporter.remark(said)
    if asked.dry_run:
        return Pushed(preview, None, changed=False)
    todo = preview.change
    assert todo is not None
    if todo and not agree(preview):
        return Pushed(preview, None, changed=False, agreed=False)
    done = str(remote.commit)
    if todo:
        done = commit(hub, remote, todo, parcel.items, public=public, message=parcel.message, card=asked.card)
    _tag(hub, parcel, done)
    return Pushed(preview, done, changed=done != remote.commit)


def _of_card(preview: Preview, asked: Asked) -> str:
    """What is taken from the card there, or nothing."""
    todo, remote, name = preview.change, preview.remote, preview.parcel.name
    assert todo is not None
    if todo.kept:
        put = asked.licence and preview.card_stays
        more = f", and --licence {asked.licence} is not put there" if put else ""
        return f"{name}: {listed(todo.kept)}: written or changed by hand, and kept{more}; --card replaces such files"
    kept = licence_of(remote.card) if remote and remote.card and not asked.licence else None
    return f"{name}: licence {kept}, as on its card; --licence changes it" if kept and todo else ""


def _tag(hub: Hub, parcel: Parcel, commit: str) -> None:
    """Name the commit after what it holds; a tag that is there stays."""
    try:
        with hub.explained(parcel.name, "write"):
            hub.api.create_tag(parcel.name.repo, tag=parcel.tag, revision=commit, exist_ok=True)
    except TicketctlError as error:
        where = parcel.name.at(commit)
        raise HubError(
            f"{where} is whole, but its tag {parcel.tag} is not set; the same command sets it ({error})"
        ) from None


# ------------------------------------------------------------------------------------------------------- contents


def packed(
    found: Sequence[Thing],
    name: HubName,
    asked: Asked,
    workspace: Path,
    known: Known,
    above: Sequence[str] = (),
) -> Parcel:
    """Everything that is to travel, looked through.

    Args:
        found: what was named, verified and placed.
        name: of the repository.
        asked: what was typed.
        workspace: where runs are looked for.
        known: what is private here.
        above: repositories that it follows from, known to everybody.

    Raises:
        UsageError: something private; names the file and the kind.
        ArtifactError: a file has changed since it was verified.
    """
    address = f"{endpoint()}/{name.repo}"
    card, figure = with_figure(card_of(found, name.repo, address, asked.licence, workspace, above))
    items = [item for one in found for item in _items(one, known)]
    document = set_of(found)
    items += [Item.of(SET, document)] if document is not None else []
    items += [Item.of(FIGURE, figure)] if figure is not None else []
    items += [Item.of(COUNTED, counted_for(card.nets)), Item.of(CARD, render(card).encode())]
    message = _message(found, asked.message)
    _refuse_private(items, message, known, (name.repo, *above))
    return Parcel(name, tuple(found), tuple(items), card, _tag_of(found, document), message)


def _refuse_private(items: Sequence[Item], message: str, known: Known, repos: Sequence[str]) -> None:
    def read() -> Iterator[tuple[str, bytes]]:
        yield "--message", message.encode()
        for item in items:
            yield item.path, item.read()

    refuse_private(read(), known, public=(endpoint(), *repos))


def _items(one: Thing, known: Known) -> Iterator[Item]:
    """Every file of an artifact, and its provenance in the public form."""
    for name, known_digest in one.files():
        path = member(one.folder, name)
        data = read_bytes(path, limit=MAX_FILE)
        yield Item(one.below(name), path, len(data), known_digest or sha256(data))
    said = public_provenance(read_provenance(one.folder), known)
    steps = _steps(one.manifest)
    if said:
        said |= {} if steps is None else {"steps": steps}
        text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
        yield Item.of(one.below(PROVENANCE), text.encode() + b"\n")


def _steps(one: Any) -> int | None:
    if isinstance(one, Verdict):
        return None
    return int(one.draw.cost.steps if isinstance(one, TicketManifest) else one.cost.steps)


def _tag_of(found: Sequence[Thing], document: bytes | None) -> str:
    if document is None:
        return f"v-{found[0].id[:SHORT]}"
    digest = parse_set(document, where=SET).manifest_digest
    return f"s-{digest.removeprefix('sha256:')[:12]}"


def _message(found: Sequence[Thing], typed: str | None) -> str:
    tickets = [one.id for one in found if one.kind == "ticket"] or [one.id for one in found]
    more = f" and {len(tickets) - NAMED} more" if len(tickets) > NAMED else ""
    ids = ", ".join(tickets[:NAMED]) + more
    said = " ".join((typed or "").split())
    return f"{said} ({ids})" if said else f"Push {ids}"
