"""The Xet transport without a network: hf_xet's own store on disk, reached by `local://FOLDER`.

That scheme is hf_xet's undocumented simulation client; tests/hub/test_fakehub_xet.py pins what is used of it. The
store knows its files by their Xet hashes alone; which sha256 belongs to which stands in its shards (*.mdb), records of
48 bytes: a header of 32 + 8 + 8 bytes, then for each file (hash 32, flags u32, number n of segments u32), n segments,
n more if the flags say "verified" and one with the file's sha256 if they say "metadata"; a hash of ones ends the list.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from tests.hub.fakehub.wire import Reply, answer

RECORD = 48
VERIFIED, METADATA = 1 << 31, 1 << 30


def spelled(raw: bytes) -> str:
    """A hash as Xet writes it: four little-endian words of 64 bits."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def files_of(shard: bytes) -> Iterator[tuple[str, str]]:
    """(sha256, Xet hash) of each file that a shard describes."""
    at = RECORD
    while (raw := shard[at : at + 32]) != b"\xff" * 32 and len(raw) == 32:
        flags, segments = struct.unpack_from("<II", shard, at + 32)
        at += RECORD * (1 + segments * (2 if flags & VERIFIED else 1))
        if flags & METADATA:
            yield spelled(shard[at : at + 32]), spelled(raw)
            at += RECORD


class XetStore:
    """A content-addressed store in a folder, into which the client itself writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"local://{self.folder}"

    def token(self) -> Reply:
        """As xet-read-token and xet-write-token answer."""
        end = int(time.time()) + 3600
        said = {"casUrl": self.url, "accessToken": "xet", "exp": end}
        return answer(said, X_Xet_Cas_Url=self.url, X_Xet_Access_Token="xet", X_Xet_Token_Expiration=str(end))

    def names(self) -> dict[str, str]:
        """sha256 -> Xet hash of each file in the store."""
        shards = sorted(self.folder.rglob("shards/*.mdb"))
        return dict(pair for shard in shards for pair in files_of(shard.read_bytes()))

    def size(self) -> int:
        """Bytes in the store: what all uploads so far sent, after deduplication and compression."""
        kept = [*self.folder.rglob("shards/*.mdb"), *self.folder.rglob("xorbs/default.*")]
        return sum(path.stat().st_size for path in kept if path.suffix != ".tagset")

    def write(self, data: bytes) -> str:
        """Store one file; gives its Xet hash."""
        import hf_xet

        with hf_xet.XetSession().new_upload_commit(endpoint=self.url, **self._login()) as commit:
            handle = commit.start_upload_bytes(data, sha256=hf_xet.COMPUTE_SHA256)
        return str(handle.result().xet_info.hash)

    def read(self, oid: str) -> bytes | None:
        """One file by its sha256."""
        import hf_xet

        name, out = self.names().get(oid), self.folder / f"read-{oid}"
        if name is None:
            return None
        with hf_xet.XetSession().new_file_download_group(endpoint=self.url, **self._login()) as group:
            group.start_download_file(hf_xet.XetFileInfo(name), str(out))
        data = out.read_bytes()
        out.unlink()
        return data

    def _login(self) -> dict[str, str | int]:
        return {"token": "xet", "token_expiry_unix_secs": int(time.time()) + 3600}
