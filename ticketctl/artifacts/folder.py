"""Files of an artifact's folder: listed when written (size, sha256), checked when read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketctl.artifacts.models import FileEntry
from ticketctl.artifacts.weights import METADATA
from ticketctl.errors import ArtifactError
from ticketctl.store.files import link_or_copy, make_folder, member, read_bytes, sha256, write_atomic
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

MAX_FILE = 1 << 36
RECORD = "record.safetensors"


@dataclass(frozen=True)
class Check:
    """One line of a verification. `code` is the E_ name of what failed, "" if nothing did.

    `skipped`: it could not be checked, for what it takes is not here; nothing is known to be wrong.
    """

    name: str
    ok: bool
    detail: str
    code: str = ""
    skipped: bool = False


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


def has(files: Sequence[FileEntry], role: str) -> bool:
    """Whether a file of that role is listed."""
    return any(entry.role == role for entry in files)


def put_record(folder: Path, record: Mapping[str, Tensor] | None, files: list[dict[str, object]]) -> bool:
    """Write what methods, tweaks and data wrote down, if anything, and list it; whether there was anything."""
    if record:
        files.append(put(folder, RECORD, pack_tensors(record, METADATA), "record"))
    return bool(record)


def get_record(folder: Path, files: Sequence[FileEntry]) -> dict[str, Tensor] | None:
    """What was written down, by name; what each tensor means is its writer's affair. None if nothing was.

    Raises:
        ArtifactError: E_FILE_DIGEST, E_FORMAT, or what is wrong with the file.
    """
    if not has(files, "record"):
        return None
    where = str(folder / RECORD)
    tensors, metadata = parse_tensors(get(folder, files, RECORD), where=where)
    if metadata != METADATA:
        raise ArtifactError("E_FORMAT", f'{where}: its metadata are {{"format":"pt"}} and nothing else')
    return tensors
