"""What comes from the Hub: fetched out of sight, verified whole, then under its name by one rename. No torch."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ticketctl.artifacts.manifest import read_provenance
from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.hub.cache import Cached
from ticketctl.hub.client import Hub, RemoteFile
from ticketctl.hub.contents import Files, Thing, Wanted, skipped
from ticketctl.hub.fetch import Load, Source, blob_of, fetch
from ticketctl.hub.names import HubName
from ticketctl.progress import Reporter
from ticketctl.stages.origin import Local, Origin, folder_name, home_of, manifest_digest, verify
from ticketctl.store.files import link_or_copy, make_folder, read_bytes, sha256, sync_folder, write_atomic
from ticketctl.store.locks import locked

WORK = ".pulling"
"""Below the folder of a repository: what has come so far, and things that are not verified yet."""
Only = Literal["all", "ticket"]


@dataclass(frozen=True)
class Pulled:
    """What a pull brought, or would bring.

    `name` has the commit; `things` lie in the workspace (nothing is there yet after a dry run); `files` and `bytes` are
    those of all things, `fetched` the bytes that came over the network; `skipped` are paths that nobody lists.
    """

    name: HubName
    requested: str | None
    things: tuple[Local, ...]
    files: int
    bytes: int
    fetched: int
    skipped: tuple[str, ...] = ()
    left_out: int = 0
    """Files of runs and verdicts that were not asked for."""

    @property
    def folders(self) -> list[Path]:
        """What commands are given to work with: the one thing, or else the folders of the draws, runs and all."""
        if len(self.things) == 1:
            return [self.things[0].folder]
        return list(dict.fromkeys(one.draw for one in self.things))


@dataclass(frozen=True)
class Remote:
    """A commit on the Hub as a source of bytes."""

    hub: Hub
    name: HubName

    def files(self) -> Files:
        """All of them."""
        return self.hub.files(self.name)

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of one from `start` on."""
        return self.hub.blocks(self.name, path, start)


@dataclass(frozen=True)
class Order:
    """One pull: what, from where, and where to."""

    name: HubName
    requested: str | None
    workspace: Path
    only: Only
    source: Remote | Cached
    reporter: Reporter
    endpoint: str | None
    files: Files = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """Those that were read already, by their paths."""
    others: tuple[Thing, ...] = ()
    """What the repository holds besides, and nobody asked for."""

    @property
    def commit(self) -> str:
        """40 hex digits."""
        return str(self.name.revision)

    @property
    def work(self) -> Path:
        """Where things are out of sight."""
        return home_of(self.workspace, self.name) / WORK / self.commit[:12]

    def folder(self, group: str) -> Path:
        """Of a draw."""
        return home_of(self.workspace, self.name) / folder_name(self.commit, group)


def read_manifest(order: Order, remote: RemoteFile) -> bytes:
    """A manifest, whole and with the sha256 that the Hub lists, if any.

    Raises:
        ArtifactError: E_FILE_DIGEST; HubError.
    """
    data = bytearray()
    for block in order.source.blocks(remote.path):
        data += block
        if len(data) > remote.size:
            break
    if len(data) != remote.size or (remote.sha256 is not None and sha256(bytes(data)) != remote.sha256):
        raise ArtifactError("E_FILE_DIGEST", f"{order.name}/{remote.path}: not the file that the Hub lists")
    order.manifests[remote.path] = bytes(data)
    return bytes(data)


def planned(order: Order, found: Sequence[Thing]) -> Pulled:
    """What would come."""
    there = tuple(Local(one.kind, one.id, order.folder(one.group), one.place) for one in found)
    count, size = sum(len(one.files) for one in found), sum(one.size for one in found)
    unlisted, left = skipped(order.files, [*found, *order.others]), skipped(order.files, found)
    out = len(left) - len(unlisted)
    return Pulled(order.name, order.requested, there, count, size, 0, tuple(unlisted), out)


def perform(order: Order, found: Sequence[Thing]) -> Pulled:
    """Have everything in its place.

    Raises:
        HubError, ArtifactError, LockedError, ResourceError: see `stages.pull.pull`; what came is kept for the next try.
    """
    plan = planned(order, found)
    _check_ground(order, found)
    with locked(home_of(order.workspace, order.name)):
        _check_work(order)
        todo = [one for one in found if not _there(order, one)]
        wanted = [file for one in todo for file in one.files]
        load = Load(f"pulling {order.name.repo}", sum(file.size for file in wanted), order.reporter)
        _room(order, load.total)
        if todo:
            blobs = order.work / "blobs"
            source: Source = order.source
            _keep_read(order, wanted, blobs)
            fetch(source, wanted, blobs, commit=order.commit, where=str(order.name), load=load)
            for number, one in enumerate(todo):
                _take_place(order, one, _made(order, one, blobs, order.work / f"thing-{number}"))
        _note_origin(order, found)
        shutil.rmtree(order.work.parent, ignore_errors=True)
    wire = load.fetched if isinstance(order.source, Remote) else 0
    return replace(plan, fetched=wire)


def _check_ground(order: Order, found: Sequence[Thing]) -> None:
    """No link below the workspace leads what is written elsewhere; the workspace itself may be one."""
    home = home_of(order.workspace, order.name)
    places = [order.folder(one.group) / one.place / file.name for one in found for file in one.files]
    for path in {home, *(above for place in places for above in place.parents)}:
        if path.is_relative_to(home.parent) and path.is_symlink():
            raise ArtifactError("E_PATH", f"{path}: a link; pulled things are not written through links")


def _check_work(order: Order) -> None:
    """What is left of an earlier pull is folders and files, or it is not ours and goes."""
    work = order.work.parent
    if work.is_symlink():
        work.unlink()
    kinds = [
        path.lstat().st_mode
        for place, folders, names in os.walk(work)
        for path in (Path(place) / name for name in (*folders, *names))
    ]
    if not all(stat.S_ISDIR(kind) or stat.S_ISREG(kind) for kind in kinds):
        shutil.rmtree(work)


def _keep_read(order: Order, wanted: Sequence[Wanted], blobs: Path) -> None:
    """Manifests were fetched to be judged; they are not fetched again."""
    make_folder(blobs)
    for one in wanted:
        if one.path in order.manifests:
            write_atomic(blob_of(blobs, order.commit, one), order.manifests[one.path])


def _there(order: Order, thing: Thing) -> bool:
    """Whether it lies in its place already, sound."""
    folder = order.folder(thing.group) / thing.place
    if not folder.is_dir():
        return False
    try:
        same = manifest_digest(thing.kind, folder) == thing.manifest.sha256
    except ArtifactError:
        return False
    whole = all((folder / one.name).is_file() for one in thing.files)
    return same and whole and verify(thing.kind, folder) is None


def _room(order: Order, size: int) -> None:
    free = shutil.disk_usage(home_of(order.workspace, order.name)).free
    if size > free:
        raise ResourceError(f"{order.workspace}: {size} bytes are to come, {free} are free")


def _made(order: Order, thing: Thing, blobs: Path, folder: Path) -> Path:
    """The thing, put together out of sight and verified there.

    Raises:
        ArtifactError: what is wrong with it; nothing of it has been seen.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for one in thing.files:
        make_folder((folder / one.name).parent)
        link_or_copy(blob_of(blobs, order.commit, one), folder / one.name)
    where = "/".join(filter(None, (str(order.name), thing.group, thing.place)))
    failed = verify(thing.kind, folder)
    if failed is not None:
        shutil.rmtree(order.work, ignore_errors=True)  # asked for again, the same bytes would come
        raise ArtifactError(failed.code, failed.detail.replace(str(folder), where))
    read_provenance(folder)
    return folder


def _take_place(order: Order, thing: Thing, made: Path) -> None:
    """Under its name by one rename; where something of that name lies already, file by file, the manifest last."""
    folder = order.folder(thing.group) / thing.place
    make_folder(folder.parent)
    try:
        if not folder.exists():
            made.rename(folder)
            sync_folder(folder.parent)
            return
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None
    for one in thing.files:
        make_folder((folder / one.name).parent)
        if not _same(made / one.name, folder / one.name):
            link_or_copy(made / one.name, folder / one.name)


def _same(one: Path, other: Path) -> bool:
    try:
        return read_bytes(one, limit=1 << 36) == read_bytes(other, limit=1 << 36)
    except ArtifactError:
        return False


def _note_origin(order: Order, found: Sequence[Thing]) -> None:
    groups = sorted({one.group for one in found})
    for group in groups:
        mine = [one for one in found if one.group == group]
        Origin(
            folder=order.folder(group), repo=order.name.repo, requested=order.requested, resolved=order.commit,
            endpoint=order.endpoint, only=order.only, files=sum(len(one.files) for one in mine),
            bytes=sum(one.size for one in mine), things=tuple(map(_noted, mine)), draws=len(groups),
        ).write()  # fmt: skip


def _noted(thing: Thing) -> tuple[str, str, str]:
    return thing.kind, thing.place, str(thing.manifest.sha256)
