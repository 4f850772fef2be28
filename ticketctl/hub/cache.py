"""The cache of the Hub's own client, as `hf download` fills it: a second place to read from, never written by us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.hub.client import RemoteFile
from ticketctl.hub.names import HubName, is_commit
from ticketctl.store.expand import expanded
from ticketctl.store.files import read_bytes

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Cached:
    """A commit of a repository in the cache; files that are not there are as good as not listed."""

    home: Path
    name: HubName

    @property
    def root(self) -> Path:
        """The folder with the files' names."""
        return self.home / "snapshots" / str(self.name.revision)

    def files(self) -> dict[str, RemoteFile]:
        """The files that lie there."""
        found = {}
        for place, _, names in os.walk(self.root):
            for path in (Path(place) / name for name in names):
                if path.is_file():
                    below = path.relative_to(self.root).as_posix()
                    found[below] = RemoteFile(below, path.stat().st_size, None)
        return found

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` on.

        Raises:
            ArtifactError: E_PATH, a link that leads out of the cache; E_FILE_MISSING.
        """
        real = (self.root / path).resolve()
        if not real.is_relative_to(self.home.resolve().parent):
            raise ArtifactError("E_PATH", f"{self.root / path}: leads out of the Hub's cache")
        data = memoryview(read_bytes(real, limit=1 << 36))
        for begin in range(start, len(data), _BLOCK):
            yield bytes(data[begin : begin + _BLOCK])


def cached(name: HubName) -> Cached | None:
    """The commit that the cache has for a name, or None."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = expanded(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    folder = (expanded(cache) if cache else home / "hub") / f"models--{name.folder}"
    commit = name.revision
    if not is_commit(commit):
        try:
            commit = read_bytes(folder / "refs" / (commit or "main"), limit=1000).decode("ascii").strip()
        except (ArtifactError, ResourceError, ValueError):
            return None
    if not is_commit(commit) or not (folder / "snapshots" / str(commit)).is_dir():
        return None
    return Cached(folder, name.at(str(commit)))
