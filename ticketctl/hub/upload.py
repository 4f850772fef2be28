"""Files go into a repository in one commit on top of the newest, or not at all.

Large files travel first, into a storage where nobody sees them until the commit names them. A repository that was made
for a commit which then failed is removed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from warnings import catch_warnings

from ticketctl.artifacts.set import MANIFEST as SET
from ticketctl.errors import ArtifactError, HubError, StoppedError, TicketctlError, UsageError, listed
from ticketctl.hub.card_there import COUNTED, FIGURE, is_ours
from ticketctl.hub.client import Hub, RemoteFile
from ticketctl.hub.contents import things
from ticketctl.hub.errors import StaleError, quoted
from ticketctl.hub.making import clear, make
from ticketctl.hub.names import HubName
from ticketctl.hub.standing import CARD, LONGEST, Remote, look, read

MINE = (CARD, FIGURE, COUNTED, SET)
"""Files beside the artifacts that a push makes, and a later push may remove."""
GUARDED = (CARD, COUNTED, FIGURE)
"""Those of them that people write too."""
HARMLESS = {".gitattributes", CARD, "LICENSE", "LICENSE.md", "LICENSE.txt"}
"""What a repository may hold that was made by hand for a first push."""
BATCH, TOGETHER = 64 << 20, 50
"""Bytes and files that are sent together, between which is told how far it is."""


UNDER_WAY = (
    "stopped: {} shows nothing of it, but the commit was under way and may appear; push again to be sure"
)
SMALL = 1 << 20
"""Bytes of a file that are kept from when they are looked through until they travel; the Hub checks larger ones."""


@dataclass(frozen=True)
class Item:
    """A file that is to lie at `path` in the repository: its bytes, or the file that has them."""

    path: str
    content: bytes | Path
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, data: bytes) -> Item:
        """Of bytes that are at hand."""
        return cls(path, data, len(data), hashlib.sha256(data).hexdigest())

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            ArtifactError: E_FILE_DIGEST, the file has changed meanwhile.
        """
        data = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ArtifactError("E_FILE_DIGEST", f"{self.content!s:.200}: changed while it was read")
        return data

    def is_at(self, there: RemoteFile | None) -> bool:
        """Whether the repository has it already."""
        if there is None or there.size != self.size:
            return False
        if there.sha256 is not None:
            return there.sha256 == self.sha256
        return (
            there.blob
            == hashlib.sha1(b"blob %d\0" % self.size + self.read(), usedforsecurity=False).hexdigest()
        )


@dataclass(frozen=True)
class Change:
    """What one commit does."""

    changed: tuple[Item, ...]
    same: int
    """Files that are there already."""
    stale: tuple[str, ...]
    """Files of an earlier push that are no more."""
    kept: tuple[str, ...] = ()
    """Card, figure, config.json that differ from this push's and stay, for somebody wrote them by hand."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changed or self.stale)

    @property
    def size(self) -> int:
        """Bytes of all that is new."""
        return sum(item.size for item in self.changed)


def change(hub: Hub, remote: Remote, items: Sequence[Item], *, card: bool = False) -> Change:
    """What is to be done so that the repository holds these files, and none of an earlier push besides.

    A card, figure or config.json there that is not to the byte what a push wrote is somebody's, and stays.

    Args:
        hub: the connection.
        remote: the repository, with its card.
        items: all that is to lie there.
        card: replace somebody's too.

    Raises:
        UsageError: the repository holds something else than tickets and runs.
    """
    new = {item.path for item in items}
    stale = {path for path in _ours(hub, remote) if path not in new}
    changed = [item for item in items if not item.is_at(remote.files.get(item.path))]
    asked = [] if card else [one for one in GUARDED if one in {*stale, *(item.path for item in changed)}]
    kept = tuple(path for path in asked if _by_hand(hub, remote, path))
    todo = tuple(item for item in changed if item.path not in kept)
    return Change(todo, len(items) - len(changed), tuple(sorted(stale.difference(kept))), kept)


def _by_hand(hub: Hub, remote: Remote, path: str) -> bool:
    """Whether the repository has a file of this name that no push wrote."""
    if path not in remote.files:
        return False
    if path == CARD and remote.card is not None:
        return not is_ours(path, remote.card)
    if remote.files[path].size > LONGEST:
        return True
    return not is_ours(path, b"".join(hub.blocks(remote.name.at(str(remote.commit)), path)))


def _ours(hub: Hub, remote: Remote) -> set[str]:
    """The files there that a push brought."""
    if remote.commit is None or {*remote.files} <= HARMLESS:
        return set()
    at = remote.name.at(remote.commit)
    try:
        found = things(str(at), remote.files, lambda one: b"".join(hub.blocks(at, one.path)))
    except ArtifactError as error:
        raise UsageError(
            f"{remote.name} holds something else, which is left alone; push elsewhere ({error.said})"
        ) from None
    beside = {"chain.json", "model.sig", "provenance.json"}
    places = {one.manifest.path.rpartition("/")[0] for one in found}
    extras = {f"{place}/{name}".lstrip("/") for place in places for name in beside}
    listed = {file.path for thing in found for file in thing.files}
    return {*listed, *((extras | {*MINE}) & {*remote.files})}


def commit(
    hub: Hub,
    remote: Remote,
    todo: Change,
    items: Sequence[Item],
    *,
    public: bool,
    message: str,
    card: bool = False,
) -> str:
    """Make the commit, and the repository where there is none yet; the 40 hex digits. `card`: see `change`.

    Raises:
        HubError: it cannot be made; then nothing of it is to be seen, and no repository that was not there before,
            or the line says what is.
        StoppedError: somebody asked to stop; likewise.
    """
    made = remote.commit is None
    if made:
        make(hub, remote.name, public=public)
    try:
        base = read(hub, remote.name) if made else remote
        _refuse_unseen(remote, base, todo)
        try:
            return _committed(hub, base, todo, message, made)
        except StaleError:
            hub.reporter.note(f"{remote.name} was changed meanwhile; reading it anew")
            before, base = base, read(hub, remote.name)
            again = change(hub, base, items, card=card)
            _refuse_unseen(before, base, again)
            if more := [path for path in again.kept if path not in todo.kept]:
                hub.reporter.remark(f"{remote.name}: {listed(more)} written by hand meanwhile, and kept")
            return _committed(hub, base, again, message, made)
    except BaseException as problem:  # raised again: Ctrl-C, too, leaves nothing half-made behind
        if made:
            mine = {item.path: item for item in items}
            clear(hub, remote.name, lambda one: one.path in mine and mine[one.path].is_at(one), problem)
        raise


def _refuse_unseen(before: Remote, now: Remote, todo: Change) -> None:
    """What somebody put there meanwhile is not replaced and not removed: nobody here agreed to that.

    Raises:
        HubError: it would be.
    """
    paths = (*(item.path for item in todo.changed), *todo.stale)
    theirs = [path for path in paths if path in now.files and now.files[path] != before.files.get(path)]
    if theirs:
        raise HubError(
            f"{now.name}: somebody put {listed(theirs)} there meanwhile; push again to see what it does"
        )


def _committed(hub: Hub, base: Remote, todo: Change, message: str, made: bool) -> str:
    """`made`: the repository was made for this commit, and goes again where somebody asked to stop."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    if not todo:
        return str(base.commit)
    name = base.name
    adds = [_operation(CommitOperationAdd, item) for item in todo.changed]
    _send(hub, name, adds, todo)
    deletes = [CommitOperationDelete(path) for path in todo.stale]
    said = {"commit_message": message, "parent_commit": base.commit}
    with hub.explained(name, "write"):
        try:
            with catch_warnings(action="ignore"):  # the Hub's words about the card
                return str(hub.api.create_commit(name.repo, [*adds, *deletes], **said).oid)
        except Exception as problem:  # whatever it was, the commit may have landed: that is looked at first
            if isinstance(problem, ValueError) and str(problem).startswith("Invalid metadata"):
                why = quoted(str(problem).partition("\n")[2].removeprefix("- "))
                raise UsageError(f"the Hub refuses the card ({why}); --licence is one of its ids") from None
            stopped = made and isinstance(problem, StoppedError)
            landed = None if stopped else _landed(hub, base, todo)
            if landed is not None:
                return landed
            if isinstance(problem, StoppedError) and not made:
                raise StoppedError(UNDER_WAY.format(name), problem.exit_code) from None
            raise


def _landed(hub: Hub, base: Remote, todo: Change) -> str | None:
    """The commit, where it was made and only the answer got lost."""
    with suppress(TicketctlError):
        now = look(hub, base.name)
        gone = not any(path in now.files for path in todo.stale)
        if (
            now.commit != base.commit
            and gone
            and all(one.is_at(now.files.get(one.path)) for one in todo.changed)
        ):
            return now.commit
    return None


def _operation(kind: Any, item: Item) -> Any:
    """The addition of a file, with the bytes that were looked through.

    Raises:
        ArtifactError: E_FILE_DIGEST, other ones are there now.
    """
    made = kind(item.path, item.read() if item.size <= SMALL else item.content)
    if made.upload_info.sha256.hex() != item.sha256:
        raise ArtifactError("E_FILE_DIGEST", f"{item.content!s:.200}: changed while it was read")
    return made


def _send(hub: Hub, name: HubName, adds: Sequence[Any], todo: Change) -> None:
    """The large files, some at a time."""
    title, done, began = f"pushing {name.repo}", 0, monotonic()
    for few in _batches(adds):
        hub.reporter.alive()
        spent = monotonic() - began
        left = f" ({spent * (todo.size - done) / done:.0f} s left)" if done and spent > 1 else ""
        hub.reporter.download(f"{title}{left}", done, todo.size)
        with hub.explained(name, "write"):
            hub.api.preupload_lfs_files(name.repo, few, free_memory=False)
        done += sum(one.upload_info.size for one in few)
    if todo.size:
        hub.reporter.download(title, todo.size, todo.size)


def _batches(adds: Sequence[Any]) -> Iterator[list[Any]]:
    few: list[Any] = []
    for one in adds:
        if few and (len(few) >= TOGETHER or sum(own.upload_info.size for own in few) >= BATCH):
            yield few
            few = []
        few.append(one)
    if few:
        yield few
