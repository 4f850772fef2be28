"""A zarr v3 group in one canonical zip archive: every document exact, every chunk present and checked.

zarr itself is not needed (its import costs half a second): the documents are written by hand, the chunks go
through numcodecs. `tests/artifacts/test_arrays.py` has zarr open the files and agree.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.tensors import MAX_DIM, MAX_DIMS
from ticketctl.store.zips import pack_zip, unpack_zip

DOCUMENT = "zarr.json"
CHUNK_BYTES = 4 << 20
"""Arrays up to this size are one chunk; larger ones are cut along dim 0."""
MAX_CHUNK = 16 << 20
_GROUP = {"node_type": "group", "zarr_format": 3}
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Form:
    """How a kind of array lies on disk: zarr's name of the type, numpy's, the compressor, the fill value."""

    data_type: str
    dtype: str
    compressor: str
    fill: Any = 0


@dataclass(frozen=True)
class Group:
    """An archive whose zip and root document are sound; its arrays are judged when they are read."""

    where: str
    attributes: dict[str, Any]
    members: Mapping[str, bytes]
    read: set[str] = field(default_factory=set)

    def array_paths(self, folder: str = "") -> list[str]:
        """Paths of the arrays below `folder`, sorted."""
        ends = [name for name in self.members if name.startswith(folder) and name.endswith("/" + DOCUMENT)]
        paths = [name.removesuffix("/" + DOCUMENT) for name in ends]
        return sorted(path for path in paths if path != folder.rstrip("/"))


def pack_group(
    attributes: Mapping[str, Any],
    arrays: Mapping[str, tuple[NDArray[Any], Form]],
    folders: Iterable[str] = (),
) -> bytes:
    """The archive of a group: its attributes, its arrays by path, and the groups on the way to them.

    Raises:
        ValueError: a row (all but dim 0) of more than 16 MiB, which no chunk could hold.
    """
    members = {DOCUMENT: canonical_json({**_GROUP, "attributes": dict(attributes)})}
    for folder in folders:
        members[f"{folder}/{DOCUMENT}"] = canonical_json({**_GROUP, "attributes": {}})
    for path, (array, form) in arrays.items():
        chunk = chunk_shape(array.shape, np.dtype(form.dtype).itemsize)
        if math.prod(chunk) * np.dtype(form.dtype).itemsize > MAX_CHUNK:
            raise ValueError(f"{path}: a row of {chunk} is more than a chunk holds ({MAX_CHUNK} bytes)")
        members[f"{path}/{DOCUMENT}"] = _document(array.shape, chunk, form)
        little = np.ascontiguousarray(array, dtype=form.dtype).reshape(array.shape)
        for key, start in _chunk_keys(array.shape, chunk):
            members[f"{path}/{key}"] = _encode(_padded(little, start, chunk), form)
    return pack_zip(members)


def unpack_group(data: bytes, *, where: str, folders: Iterable[str] = ()) -> Group:
    """The group in an archive that nobody vouches for.

    Raises:
        ArtifactError: E_STORE if the archive, its root or a group document is not what `pack_group` writes.
    """
    members = unpack_zip(data, where=where)
    root = parse_json(
        members.get(DOCUMENT, b""), where=f"{where}: {DOCUMENT}", code="E_STORE", canonical=True
    )
    attributes = root.pop("attributes", None) if isinstance(root, dict) else None
    if root != _GROUP or not isinstance(attributes, dict):
        raise ArtifactError("E_STORE", f"{where}: its root is not a plain zarr v3 group")
    group = Group(where, attributes, members, {DOCUMENT})
    for folder in folders:
        name = f"{folder}/{DOCUMENT}"
        if members.get(name) != canonical_json({**_GROUP, "attributes": {}}):
            raise ArtifactError("E_STORE", f"{where}: {name} is not the document of a plain group")
        group.read.add(name)
    return group


def read_array(group: Group, path: str, form: Form, *, limit: int) -> NDArray[Any]:
    """The array at `path`, decoded; nothing is allocated before its shape and sizes are judged.

    Args:
        group: where it is.
        path: its path in the group.
        form: the only form accepted.
        limit: the largest decoded size in bytes.

    Raises:
        ArtifactError: E_STORE if absent, of another form, over the limit, or with a chunk missing or damaged.
    """
    where = f"{group.where}: {path}"
    shape, item = _shape(group, path), np.dtype(form.dtype).itemsize
    chunk = chunk_shape(shape, item)
    if group.members[f"{path}/{DOCUMENT}"] != _document(shape, chunk, form):
        raise ArtifactError(
            "E_STORE", f"{where}: not stored in the one form of its kind (type, chunks, codecs)"
        )
    size = math.prod(chunk) * item
    if size > MAX_CHUNK or math.prod(size or 1 for size in shape) * item > limit:
        raise ArtifactError("E_STORE", f"{where}: {list(shape)} is larger than allowed here ({limit} bytes)")
    if _chunk_count(shape, chunk) > len(group.members):
        raise ArtifactError(
            "E_STORE", f"{where}: not all of its {_chunk_count(shape, chunk)} chunks are there"
        )
    group.read.add(f"{path}/{DOCUMENT}")
    result = np.zeros(shape, dtype=form.dtype)
    for key, start in _chunk_keys(shape, chunk):
        name = f"{path}/{key}"
        if name not in group.members:
            raise ArtifactError("E_STORE", f"{group.where}: chunk {name} is missing")
        part = np.frombuffer(_decode(group.members[name], size, form, f"{group.where}: {name}"), form.dtype)
        _place(result, part.reshape(chunk), start, f"{group.where}: {name}")
        group.read.add(name)
    return result


def refuse_unread(group: Group) -> None:
    """Refuse members that nobody asked for.

    Raises:
        ArtifactError: E_STORE naming the first.
    """
    strangers = sorted(group.members.keys() - group.read)
    if strangers:
        raise ArtifactError("E_STORE", f"{group.where}: {strangers[0][:200]!r} has no place in it")


def chunk_shape(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    """The whole array up to 4 MiB; of larger ones, as many rows of dim 0 as 4 MiB hold, one at least."""
    whole = tuple(max(size, 1) for size in shape)
    if math.prod(whole) * item <= CHUNK_BYTES:
        return whole
    return (max(1, CHUNK_BYTES // (math.prod(whole[1:]) * item)), *whole[1:])


def _shape(group: Group, path: str) -> tuple[int, ...]:
    where = f"{group.where}: {path}/{DOCUMENT}"
    if f"{path}/{DOCUMENT}" not in group.members:
        raise ArtifactError("E_STORE", f"{where}: missing")
    document = parse_json(group.members[f"{path}/{DOCUMENT}"], where=where, code="E_STORE", canonical=True)
    shape = document.get("shape") if isinstance(document, dict) else None
    if not isinstance(shape, list) or len(shape) > MAX_DIMS:
        raise ArtifactError(
            "E_STORE", f"{where}: not the document of an array of up to {MAX_DIMS} dimensions"
        )
    if not all(type(size) is int and 0 <= size <= MAX_DIM for size in shape):
        raise ArtifactError("E_STORE", f"{where}: its shape is not a list of sizes up to 2^31")
    return tuple(shape)


def _document(shape: tuple[int, ...], chunk: tuple[int, ...], form: Form) -> bytes:
    item = np.dtype(form.dtype).itemsize
    endian = {"configuration": {"endian": "little"}} if item > 1 else {}
    blosc = {
        "blocksize": math.prod(chunk) * item,
        "clevel": 3,
        "cname": "zstd",
        "shuffle": "bitshuffle",
        "typesize": item,
    }
    settings = {"blosc": blosc, "zstd": {"checksum": True, "level": 3}}[form.compressor]
    return canonical_json(
        {
            "attributes": {},
            "chunk_grid": {"configuration": {"chunk_shape": list(chunk)}, "name": "regular"},
            "chunk_key_encoding": {"configuration": {"separator": "/"}, "name": "default"},
            "codecs": [
                {"name": "bytes", **endian},
                {"configuration": settings, "name": form.compressor},
                {"name": "crc32c"},
            ],
            "data_type": form.data_type,
            "fill_value": form.fill,
            "node_type": "array",
            "shape": list(shape),
            "storage_transformers": [],
            "zarr_format": 3,
        }
    )


def _chunk_count(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    if 0 in shape:
        return 0
    return -(-shape[0] // chunk[0]) if shape else 1


def _chunk_keys(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterable[tuple[str, int]]:
    """Name and first row of every chunk."""
    for index in range(_chunk_count(shape, chunk)):
        yield (
            "/".join(["c", *(["0"] * len(shape))]) if index == 0 else f"c/{index}" + "/0" * (len(shape) - 1),
            (index * chunk[0] if shape else 0),
        )


def _padded(array: NDArray[Any], start: int, chunk: tuple[int, ...]) -> NDArray[Any]:
    """Chunks of a regular grid are all of one size: the last one ends in zeros."""
    if not array.shape or array.shape == chunk:
        return array
    part = np.zeros(chunk, dtype=array.dtype)
    rows = array[start : start + chunk[0]]
    part[: len(rows)] = rows
    return part


def _place(result: NDArray[Any], part: NDArray[Any], start: int, where: str) -> None:
    if not result.shape:
        result[...] = part
        return
    rows = min(len(part), len(result) - start)
    result[start : start + rows] = part[:rows]
    if part[rows:].any():
        raise ArtifactError("E_STORE", f"{where}: its padding beyond the last row is not zero")


def _encode(part: NDArray[Any], form: Form) -> bytes:
    from numcodecs import blosc, zstd

    data = part.tobytes()
    if form.compressor == "blosc":
        packed = blosc.compress(data, b"zstd", 3, blosc.BITSHUFFLE, len(data))
    else:
        packed = zstd.compress(data, 3, True)
    return bytes(packed) + struct.pack("<I", google_crc32c.value(bytes(packed)))


def _decode(data: bytes, size: int, form: Form, where: str) -> bytes:
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
