"""The files of a data set that is a folder or a zip archive of images, under one face.

Both have `where`; `names`, sorted, with `/` between folders; and `read(name)`.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from ticketctl.data._sources import read_whole
from ticketctl.errors import UnavailableError
from ticketctl.store.documents import canonical_json

MAX_FILE = 64 << 20
"""Bytes that one image or list may have."""


class FolderMembers:
    """The files below a folder; what begins with a dot is left out, links are followed.

    Raises:
        UnavailableError: a folder in it cannot be listed, or a name is not UTF-8.
    """

    def __init__(self, root: Path) -> None:
        self.where = root
        self.names: list[str] = []
        for folder, folders, files in os.walk(root, onerror=_unlisted, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = os.path.relpath(folder, root).replace(os.sep, "/")
            prefix = "" if inside == "." else f"{inside}/"
            self.names += [prefix + name for name in files if not name.startswith(".")]
        self.names.sort()
        if strange := next((name for name in self.names if not _is_text(name)), None):
            raise UnavailableError(f"{root}: the name {strange!r} is not UTF-8")

    def read(self, name: str) -> bytes:
        """The content of `name`."""
        return read_whole(self.where / name, MAX_FILE)

    def content(self, tick: Callable[[], None]) -> str:
        """A digest of all names and of what is in the files; `tick` is called before each of them."""
        found = hashlib.sha256()
        for name in self.names:
            tick()
            found.update(canonical_json([name, hashlib.sha256(self.read(name)).hexdigest()]))
        return f"sha256:{found.hexdigest()}"


class ZipMembers:
    """The files of a zip archive below `root` inside it. Nothing is extracted, so names can do no harm.

    Raises:
        UnavailableError: not a zip archive, a name twice, or a member that is damaged or too large.
    """

    def __init__(self, path: Path, root: str = "") -> None:
        self.where = path
        self._root = root
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnavailableError(f"{path}: not a zip archive that can be read: {error}") from None
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        names = [info.filename for info in infos if info.filename.startswith(root)]
        if len(set(names)) != len(names):
            raise UnavailableError(f"{path}: a name stands in it twice")
        self.names = sorted(name[len(root) :] for name in names)

    def read(self, name: str) -> bytes:
        """The content of `name`, whose checksum in the archive is compared."""
        try:
            with self._archive.open(self._root + name) as file:
                data = file.read(MAX_FILE + 1)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error) as error:
            raise UnavailableError(f"{self.where}: {name}: cannot be unpacked: {error}") from None
        if len(data) > MAX_FILE:
            raise UnavailableError(f"{self.where}: {name}: unpacks to more than {MAX_FILE} bytes")
        return data


def _unlisted(error: OSError) -> None:
    """By default an unreadable folder would pass for an empty one."""
    raise UnavailableError(f"{error.filename}: cannot be read: {error.strerror}")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


Members = FolderMembers | ZipMembers
