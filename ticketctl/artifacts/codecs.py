"""Chunks of arrays, compressed and under a CRC-32C: bytes that nobody vouches for are judged before they unpack."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import ArtifactError

CHUNK_BYTES = 4 << 20
"""Arrays up to this size are one chunk; larger ones are cut along dim 0."""
MAX_CHUNK = 16 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Form:
    """How a kind of array lies on disk: zarr's name of the type, numpy's, the compressor, the fill value."""

    data_type: str
    dtype: str
    compressor: str
    fill: Any = 0
    level: int = 3
    """Of zstd; blosc is always at 3."""
    rows: int | None = None
    """Rows of dim 0 in a chunk, fewer where a chunk would be above 16 MiB; none: the rule of most kinds."""

    def chunk(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the chunks of an array of `shape`.

        As `chunk_shape`; with `rows`, so many whatever the array's length, or as many as 16 MiB hold.
        """
        item = np.dtype(self.dtype).itemsize
        if self.rows is None or not shape:
            return chunk_shape(shape, item)
        rest = tuple(max(size, 1) for size in shape[1:])
        return (max(1, min(self.rows, MAX_CHUNK // (math.prod(rest) * item))), *rest)


def chunk_shape(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    """The whole array up to 4 MiB; of larger ones, as many rows of dim 0 as 4 MiB hold, one at least."""
    whole = tuple(max(size, 1) for size in shape)
    if math.prod(whole) * item <= CHUNK_BYTES:
        return whole
    return (max(1, CHUNK_BYTES // (math.prod(whole[1:]) * item)), *whole[1:])


def padded(part: NDArray[Any], chunk: tuple[int, ...]) -> NDArray[Any]:
    """Chunks of a regular grid are all of one size: the last one ends in zeros."""
    if part.shape == chunk:
        return part
    whole = np.zeros(chunk, dtype=part.dtype)
    whole[: len(part)] = part
    return whole


def encode_chunk(part: NDArray[Any], form: Form) -> bytes:
    """A chunk as a member of the archive: compressed, and its CRC-32C behind it."""
    from numcodecs import blosc, zstd

    data = part.tobytes()
    if form.compressor == "blosc":
        packed = blosc.compress(data, b"zstd", 3, blosc.BITSHUFFLE, len(data))
    else:
        packed = zstd.compress(data, form.level, True)
    return bytes(packed) + struct.pack("<I", google_crc32c.value(bytes(packed)))


def decode_chunk(data: bytes, size: int, form: Form, where: str) -> bytes:
    """The `size` bytes of a chunk.

    Raises:
        ArtifactError: E_STORE if it is damaged, or announces or unpacks to another size.
    """
    from numcodecs import blosc, zstd

    packed = data[:-4]
    if len(data) < 4 or struct.pack("<I", google_crc32c.value(packed)) != data[-4:]:
        raise ArtifactError("E_STORE", f"{where}: its CRC-32C does not match: the chunk is damaged")
    announced = _blosc_size(packed) if form.compressor == "blosc" else _zstd_size(packed)
    if announced != size:
        raise ArtifactError(
            "E_STORE", f"{where}: its header does not announce {size} bytes of {form.compressor} data"
        )
    try:
        content = bytes((blosc if form.compressor == "blosc" else zstd).decompress(packed))
    except (RuntimeError, ValueError) as error:
        raise ArtifactError("E_STORE", f"{where}: cannot be unpacked: {error}") from None
    if len(content) != size:
        raise ArtifactError("E_STORE", f"{where}: unpacks to {len(content)} bytes where {size} belong")
    return content


def _blosc_size(packed: bytes) -> int | None:
    """The size a blosc header announces, if it is our kind: version 2, zstd, bits shuffled, no tail."""
    if len(packed) < 16:
        return None
    version, _, flags, typesize, size, block, length = struct.unpack_from("<4B3I", packed)
    sound = version == 2 and flags & 0xED == 0x84 and typesize == 1
    return size if sound and length == len(packed) and block <= max(size, 1) else None


def _zstd_size(packed: bytes) -> int | None:
    """The size a zstd frame announces, if it has a checksum and no dictionary."""
    if len(packed) < 6 or packed[:4] != _ZSTD_MAGIC or packed[4] & 0x0F != 0x04:
        return None
    single, width = packed[4] >> 5 & 1, (packed[4] >> 5 & 1, 2, 4, 8)[packed[4] >> 6]
    start = 5 if single else 6
    if width == 0 or len(packed) < start + width:
        return None
    return int.from_bytes(packed[start : start + width], "little") + (256 if width == 2 else 0)
