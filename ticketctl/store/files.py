"""Reading files nobody vouches for, and writing so that a kill at any instant leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import threading
from pathlib import Path

from ticketctl.errors import ArtifactError, ResourceError

TEMPORARY = ".ticketctl-tmp-"
"""Prefix of files being written; whatever carries it after a kill is rubbish."""

MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.@%-]{0,99}){0,3}")
"""Names a manifest may give to its files: plain, relative, no component that begins with a dot."""


def sha256(data: bytes | memoryview) -> str:
    """Hex digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path, *, limit: int) -> bytes:
    """The whole regular file, in memory of our own, so that nobody can change it under the checks.

    Never follows a final symbolic link, never blocks on a FIFO, never maps (no SIGBUS when the file shrinks).

    Raises:
        ArtifactError: E_FILE_MISSING if absent, E_PATH if not a regular file, E_FORMAT if larger than `limit` bytes.
        ResourceError: the file may not be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError("E_FILE_MISSING", f"{path}: no such file") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise ArtifactError("E_PATH", f"{path}: not a regular file (links are not followed)") from None
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        # before fdopen, which would raise an error of its own for a folder
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError("E_PATH", f"{path}: not a regular file")
        if status.st_size > limit:
            raise ArtifactError(
                "E_FORMAT", f"{path}: {status.st_size} bytes, more than the {limit} allowed here"
            )
        # asks for what is there, not for `limit`: Python allocates what it asks for
        with open(handle, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(data) > status.st_size:
        raise ArtifactError("E_FORMAT", f"{path}: grew past its {status.st_size} bytes while it was read")
    return data


def member(folder: Path, name: str) -> Path:
    """The path of `name` inside `folder`, for names that came from a file.

    Raises:
        ArtifactError: E_PATH for anything but a plain relative name, or when a folder on the way is a link.
    """
    if not MEMBER.fullmatch(name) or ".." in name.split("/"):
        raise ArtifactError("E_PATH", f"{folder}: the name {name!r} is not a plain path inside the folder")
    path = folder / name
    for parent in path.parents:
        if parent == folder:
            break
        if parent.is_symlink():
            raise ArtifactError("E_PATH", f"{parent}: a link; files outside the folder are not read")
    return path


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Write `data` beside `path`, sync it, and rename it into place: the old file or the new one, never half.

    Raises:
        ResourceError: no space, no permission, no such folder; `path` is untouched.
    """
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb", opener=_no_link) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ResourceError(f"{path}: cannot be written ({len(data)} bytes): {error.strerror}") from None


def temporary_beside(path: Path) -> Path:
    """Where to write what will be renamed to `path`: a place of this thread alone."""
    return path.parent / f"{TEMPORARY}{path.name}-{os.getpid()}-{threading.get_native_id()}"


def _no_link(path: str, flags: int) -> int:
    """Open a temporary file of our own: a link that somebody laid in its place is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def append(path: Path, data: bytes) -> None:
    """Add `data` to the end of a file of work in progress, which no artifact is made of: it is not synced.

    Raises:
        ResourceError: no space, no permission.
    """
    try:
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({len(data)} bytes): {error.strerror}") from None


def link_or_copy(source: Path, target: Path) -> None:
    """Give the finished file `source` a second name `target`, at no cost of space where the file system can."""
    temporary = temporary_beside(target)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        os.link(source, temporary)
        os.replace(temporary, target)
        # rename() of two names of one file does nothing and leaves the first
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        sync_folder(target.parent)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # or the copy would be written through the link, into the source itself
        write_atomic(target, source.read_bytes())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents.

    Raises:
        ResourceError: no permission, no space, or a file stands in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be made: {error.strerror}") from None


def sweep_temporaries(folder: Path, begin: str = "") -> int:
    """Remove what a killed writer left below `folder`; the caller holds its lock. Returns how many there were.

    In a folder that several kinds of writers share, each with a lock of its own, `begin` is how its files' names begin.
    """
    swept = 0
    for place, folders, files in os.walk(folder):
        # a folder with a lock of its own belongs to another writer
        folders[:] = [name for name in folders if not (Path(place) / name / ".lock").exists()]
        for name in files:
            if name.startswith(f"{TEMPORARY}{begin}"):
                (Path(place) / name).unlink(missing_ok=True)
                swept += 1
    return swept
