"""Bring the files of a commit into a folder of blobs, each known by its sha256; what broke off is gone on with."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ticketctl.errors import ArtifactError, HubError, ResourceError
from ticketctl.hub.contents import Wanted
from ticketctl.progress import Reporter
from ticketctl.store.files import make_folder, sync_folder

ATTEMPTS = 3
"""How often a file is asked for in a row without as much more of it as follows."""
ENOUGH = 1 << 20
"""Bytes for which it is worth to ask again."""
_BLOCK = 1 << 20


class Source(Protocol):
    """Where the bytes come from."""

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` on; an empty first block says that they begin at 0 instead."""


@dataclass
class Load:
    """One pull's bytes: how many there are, how many came over the wire, and who is told."""

    title: str
    total: int
    reporter: Reporter
    done: int = 0
    fetched: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, count: int, *, wire: bool) -> None:
        """`count` bytes more are here."""
        self.done += count
        self.fetched += count if wire else 0
        self.tell()

    def tell(self) -> None:
        """Say how far it is, and how long it will take at the speed so far."""
        spent = time.monotonic() - self.began
        known = self.fetched > 0 and spent > 1 and self.done < self.total
        left = spent * (self.total - self.done) / self.fetched if known else 0.0
        more = f" ({100 * self.done // self.total} %, {left:.0f} s left)" if known else ""
        self.reporter.download(f"{self.title}{more}", min(self.done, self.total), self.total)


def blob_of(folder: Path, commit: str, wanted: Wanted) -> Path:
    """Where a file's bytes are kept meanwhile: those of equal sha256 once."""
    name = wanted.sha256 or hashlib.sha256(f"{commit}/{wanted.path}".encode()).hexdigest()
    return folder / name


def fetch(
    source: Source, wanted: Sequence[Wanted], folder: Path, *, commit: str, where: str, load: Load
) -> None:
    """Have every file of `wanted` in `folder`, whole and with the sha256 that is stated for it.

    Raises:
        HubError: the connection broke for good; what came is kept, and the next call goes on with it.
        ArtifactError: E_FILE_DIGEST: other bytes than were listed, or more or fewer.
        ResourceError: no space, no right to write.
    """
    make_folder(folder)
    for one in wanted:
        target = blob_of(folder, commit, one)
        try:
            if target.is_file() and target.stat().st_size == one.size:
                load.add(one.size, wire=False)
            else:
                _whole(source, one, target, where, load)
        except OSError as error:
            raise ResourceError(f"{target}: cannot be written: {error.strerror}") from None


def _whole(source: Source, wanted: Wanted, target: Path, where: str, load: Load) -> None:
    part = target.with_name(f"{target.name}.part")
    old = _size(part)
    if old > wanted.size:
        part.unlink()
        old = 0
    load.add(old, wire=False)
    fails, most = 0, old
    while _size(part) < wanted.size or not part.exists():
        before = _size(part)
        try:
            _append(source, wanted, part, where, load)
        except HubError:
            # measured against the most that ever came: a server could begin anew for ever
            fails = 1 if _size(part) - most >= ENOUGH else fails + 1
            most = max(most, _size(part))
            if fails >= ATTEMPTS or _size(part) == before == 0:
                raise
    _check(wanted, part, where, resumed=old > 0)
    os.replace(part, target)
    sync_folder(target.parent)


def _append(source: Source, wanted: Wanted, part: Path, where: str, load: Load) -> None:
    """What is lacking of a file, written as it comes and synced at the end."""
    start = _size(part)
    with open(part, "ab") as file:
        try:
            for block in source.blocks(wanted.path, start):
                if not block and start:
                    file.truncate(0)
                    load.add(-start, wire=False)
                    start = 0
                if file.tell() + len(block) > wanted.size:
                    file.truncate(0)
                    raise ArtifactError("E_FILE_DIGEST", f"{where}/{wanted.path}: more bytes than are listed")
                file.write(block)
                load.add(len(block), wire=True)
        finally:
            file.flush()
            os.fsync(file.fileno())
        if file.tell() < wanted.size:
            raise HubError(
                f"{where}/{wanted.path}: {file.tell()} of {wanted.size} bytes came; try again later"
            )


def _check(wanted: Wanted, part: Path, where: str, *, resumed: bool) -> None:
    if wanted.sha256 is None:
        return
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        part.unlink()
        more = "; what was kept of it is dropped: pull again" if resumed else ""
        raise ArtifactError("E_FILE_DIGEST", f"{where}/{wanted.path}: other bytes came than are listed{more}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
