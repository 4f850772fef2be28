"""Files of a data set: found in the user's folder, else fetched; read whole, within a limit, and checked."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ticketctl.data.fetch import fetch
from ticketctl.data.sets import Source
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.store.documents import canonical_json


@dataclass(frozen=True)
class Remote:
    """A published file; `checksum` is `sha256:…` or `md5:…`."""

    url: str
    checksum: str
    size: int | None = None

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


def no_target(name: str, source: Source) -> None:
    """Refuse `name:something` for sets that take no target.

    Raises:
        UsageError: there is a target.
    """
    if source.target is not None:
        raise UsageError(
            f"{name} takes no target: write --data {name}, and --data-dir for a folder of your own"
        )


def obtain(remote: Remote, set_name: str, source: Source) -> Path:
    """The file `remote` from the cache's folder `downloads/SET`, fetched into it if it is not there.

    Raises:
        UnavailableError: it cannot be had.
    """
    target = source.cache / "downloads" / set_name / remote.name
    return fetch(
        remote.url,
        target,
        size=remote.size,
        checksum=remote.checksum,
        offline=source.offline,
        reporter=source.reporter,
    )


def say_where(name: str, source: Source, found: object) -> None:
    """Tell a user who named a folder that it has nothing of the set, which is then taken from the cache or fetched."""
    if source.folder is not None and not found:
        source.reporter.note(
            f"{source.folder} has no files of {name}: those fetched before, or fetched now, are read"
        )


def first_file(places: Iterable[Path], name: str) -> Path | None:
    """The first of `places` that has a regular file (or a link to one) called `name`."""
    return next((place / name for place in places if (place / name).is_file()), None)


def read_whole(path: Path, limit: int) -> bytes:
    """The file's bytes. Links are followed: it is the user's own folder.

    Raises:
        UnavailableError: not a regular file, not readable, or larger than `limit`.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnavailableError(f"{path}: not a regular file")
            # asks for what is there, not for `limit`: Python allocates what it asks for
            data = file.read(min(status.st_size, limit) + 1)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise UnavailableError(f"{path}: more than the {limit} bytes that it should have at most")
    return data


def matches(data: bytes, checksum: str) -> bool:
    """Whether `data` has this `sha256:…` or `md5:…`."""
    kind, _, wanted = checksum.partition(":")
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest() == wanted


def stat_identity(root: Path, names: Iterable[str]) -> str:
    """A digest of the names, sizes and times of change of files below `root`.

    Raises:
        UnavailableError: a file cannot be looked at.
    """
    rows = []
    for name in sorted(names):
        try:
            status = os.stat(os.path.join(root, name))
        except OSError as error:
            raise UnavailableError(f"{root / name}: cannot be read: {error.strerror}") from None
        # names may be any bytes
        rows.append([os.fsencode(name).decode("latin-1"), status.st_size, status.st_mtime_ns])
    return f"files:{hashlib.sha256(canonical_json(rows)).hexdigest()}"


def place(name: str, source: Source) -> Path:
    """What `name:PATH` or `--data-dir` points at.

    Raises:
        UsageError: neither was given.
        UnavailableError: nothing is there.
    """
    path = Path(os.path.expanduser(source.target)) if source.target is not None else source.folder
    if path is None:
        raise UsageError(f"{name} needs a place: write --data {name}:PATH, or give --data-dir")
    if not path.exists():
        raise UnavailableError(f"{name}: there is no {path}")
    return path
