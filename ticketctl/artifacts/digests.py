"""Hashes over decoded content, so that identity does not depend on how a container packs it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

from ticketctl.errors import ArtifactError

Entry = tuple[str, str | None, tuple[int, ...], bytes | memoryview | Iterator[bytes]]
"""A name, a dtype code (or None where the kind has only one), a shape, and the bytes, whole or piece by piece."""


def content_digest(kind: str, entries: Iterable[Entry], prefix: bytes = b"") -> str:
    """`sha256:` of `ticketctl.<kind>.v1`, a zero byte, `prefix`, and the entries in the order of their names.

    Each entry is hashed as u32le length and name, u8 length and dtype code (if any), u8 number of dimensions,
    u64le dimensions, and its bytes.
    """
    total = hashlib.sha256(f"ticketctl.{kind}.v1\0".encode() + prefix)
    for name, dtype, shape, data in sorted(entries, key=lambda entry: entry[0].encode()):
        text = name.encode()
        code = b"" if dtype is None else struct.pack("<B", len(dtype)) + dtype.encode()
        total.update(struct.pack("<I", len(text)) + text + code)
        total.update(struct.pack(f"<B{len(shape)}Q", len(shape), *shape))
        for piece in data if isinstance(data, Iterator) else (data,):
            total.update(piece)
    return "sha256:" + total.hexdigest()


def refuse_other(code: str, where: str, found: str, claimed: str) -> None:
    """Refuse content whose digest `found` is not the one that its manifest claims.

    Raises:
        ArtifactError: of that code.
    """
    if found != claimed:
        raise ArtifactError(code, f"{where}: its content is {found}, the manifest says {claimed}")
