"""Files of an artifact's folder: listed when written (size, sha256), checked when read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ticketctl.artifacts.models import FileEntry
from ticketctl.errors import ArtifactError
from ticketctl.store.files import link_or_copy, make_folder, member, read_bytes, sha256, write_atomic

MAX_FILE = 1 << 36


@dataclass(frozen=True)
class Check:
    """One line of a verification. `code` is the E_ name of what failed, "" if nothing did."""

    name: str
    ok: bool
    detail: str
    code: str = ""


def run_check(name: str, check: Callable[[], str]) -> Check:
    """Perform `check`, which returns what it found good or raises ArtifactError."""
    try:
        return Check(name, True, check())
    except ArtifactError as error:
        return Check(name, False, str(error), error.code)


def put(folder: Path, name: str, content: bytes | Path, role: str) -> dict[str, object]:
    """Write a payload file (or give a finished one a second name) and return its entry for the list.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH if `content` is not a regular file.
        ResourceError: it cannot be written.
    """
    target = member(folder, name)
    make_folder(target.parent)
    if isinstance(content, Path):
        data = read_bytes(content, limit=MAX_FILE)
        link_or_copy(content, target)
    else:
        data = content
        write_atomic(target, data)
    return {"path": name, "size": len(data), "sha256": sha256(data), "role": role}


def check_listed(folder: Path, files: Iterable[FileEntry]) -> None:
    """Refuse a folder in which a listed file is missing, is no plain file, or has another size; reads none.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH or E_FILE_DIGEST.
    """
    for entry in files:
        path = member(folder, entry.path)
        try:
            status = os.lstat(path)
        except OSError:
            raise ArtifactError("E_FILE_MISSING", f"{path}: listed, but not there") from None
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError("E_PATH", f"{path}: not a regular file (links are not followed)")
        if status.st_size != entry.size:
            raise ArtifactError("E_FILE_DIGEST", f"{path}: {status.st_size} bytes, {entry.size} are listed")


def get(folder: Path, files: Iterable[FileEntry], name: str) -> bytes:
    """The content of a listed file, once its sha256 is seen to be the listed one.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH, E_FORMAT or E_FILE_DIGEST.
    """
    entry = next(entry for entry in files if entry.path == name)
    path = member(folder, name)
    data = read_bytes(path, limit=entry.size)
    if len(data) != entry.size or sha256(data) != entry.sha256:
        raise ArtifactError("E_FILE_DIGEST", f"{path}: not the file that the manifest lists (sha256 differs)")
    return data
