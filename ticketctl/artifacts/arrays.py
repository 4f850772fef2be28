"""A zarr v3 group in one canonical zip archive: every document exact, every chunk present and checked.

zarr itself is not needed (its import costs half a second): the documents are written by hand, the chunks go
through numcodecs. `tests/artifacts/test_arrays.py` has zarr open the files and agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.codecs import MAX_CHUNK, Form, chunk_shape, decode_chunk, encode_chunk, padded
from ticketctl.artifacts.records import PARAMETER
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.tensors import MAX_DIM, MAX_DIMS
from ticketctl.store.zips import pack_zip, unpack_zip

__all__ = [
    "MAX_CHUNK", "Form", "Group", "Stored", "array_members", "chunk_member", "chunk_shape", "is_parameter",
    "pack_group", "read_array", "read_folders", "refuse_unread", "stored_array", "unpack_group",
]  # fmt: skip

DOCUMENT = "zarr.json"
_GROUP = {"node_type": "group", "zarr_format": 3}


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


@dataclass(frozen=True)
class Stored:
    """An array whose document is judged; its chunks are decoded one by one, when they are asked for."""

    group: Group
    path: str
    form: Form
    shape: tuple[int, ...]
    chunk: tuple[int, ...]

    def __len__(self) -> int:
        """Number of chunks."""
        return _chunk_count(self.shape, self.chunk)

    def part(self, index: int) -> NDArray[Any]:
        """The rows of dim 0 in chunk `index` (all of an array without dimensions).

        Raises:
            ArtifactError: E_STORE if the chunk is missing, damaged, or padded with more than zeros.
        """
        key, start = _chunk_key(index, self.shape, self.chunk)
        name = f"{self.path}/{key}"
        where = f"{self.group.where}: {name}"
        if name not in self.group.members:
            raise ArtifactError("E_STORE", f"{self.group.where}: chunk {name} is missing")
        size = math.prod(self.chunk) * np.dtype(self.form.dtype).itemsize
        content = decode_chunk(self.group.members[name], size, self.form, where)
        self.group.read.add(name)
        part = np.frombuffer(content, self.form.dtype).reshape(self.chunk)
        if not self.shape:
            return part
        rows = self.shape[0] - start
        if part[rows:].view("u1").any():
            raise ArtifactError("E_STORE", f"{where}: its padding beyond the last row is not zero")
        return part[:rows]


def pack_group(
    attributes: Mapping[str, Any],
    arrays: Mapping[str, tuple[NDArray[Any], Form]],
    folders: Iterable[str] = (),
    members: Mapping[str, bytes] | None = None,
) -> bytes:
    """The archive of a group: its attributes, its arrays by path, and the groups on the way to them.

    `members` are those of further arrays, as `array_members` made them.

    Raises:
        ValueError: a row (all but dim 0) of more than 16 MiB, which no chunk could hold.
    """
    found = {DOCUMENT: canonical_json({**_GROUP, "attributes": dict(attributes)}), **(members or {})}
    for folder in folders:
        found[f"{folder}/{DOCUMENT}"] = canonical_json({**_GROUP, "attributes": {}})
    for path, (array, form) in arrays.items():
        little = np.ascontiguousarray(array, dtype=form.dtype).reshape(array.shape)
        chunk = _checked_chunk(array.shape, form, path)
        starts = (
            _chunk_key(index, array.shape, chunk)[1] for index in range(_chunk_count(array.shape, chunk))
        )
        parts = (little[start : start + chunk[0]] if chunk else little for start in starts)
        found |= array_members(path, array.shape, form, parts)
    return pack_zip(found)


def array_members(
    path: str, shape: tuple[int, ...], form: Form, parts: Iterable[NDArray[Any]]
) -> dict[str, bytes]:
    """The members of one array, made from its chunks in order (as many rows as `form.chunk(shape)` has, or the rest).

    Raises:
        ValueError: as `pack_group`.
    """
    members = {f"{path}/{DOCUMENT}": _document(shape, _checked_chunk(shape, form, path), form)}
    for index, part in enumerate(parts):
        members |= chunk_member(path, shape, form, index, part)
    return members


def chunk_member(
    path: str, shape: tuple[int, ...], form: Form, index: int, part: NDArray[Any]
) -> dict[str, bytes]:
    """The member that holds chunk `index` of an array, for whoever cannot make its chunks in one go."""
    chunk = form.chunk(shape)
    key, _ = _chunk_key(index, shape, chunk)
    return {f"{path}/{key}": encode_chunk(padded(part, chunk), form)}


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
    read_folders(group, folders)
    return group


def read_folders(group: Group, folders: Iterable[str]) -> None:
    """Judge the documents of the groups on the way to arrays.

    Raises:
        ArtifactError: E_STORE if one is missing, or says more than a plain group does.
    """
    for folder in folders:
        name = f"{folder}/{DOCUMENT}"
        if group.members.get(name) != canonical_json({**_GROUP, "attributes": {}}):
            raise ArtifactError("E_STORE", f"{group.where}: {name} is not the document of a plain group")
        group.read.add(name)


def read_array(group: Group, path: str, form: Form, *, limit: int) -> NDArray[Any]:
    """The array at `path`, decoded; see `stored_array`.

    Raises:
        ArtifactError: E_STORE if absent, of another form, over the limit, or with a chunk missing or damaged.
    """
    stored = stored_array(group, path, form, limit=limit)
    result = np.zeros(stored.shape, dtype=form.dtype)
    for index in range(len(stored)):
        rows = slice(index * stored.chunk[0], (index + 1) * stored.chunk[0]) if stored.shape else ...
        result[rows] = stored.part(index)
    return result


def stored_array(group: Group, path: str, form: Form, *, limit: int) -> Stored:
    """The array at `path`, nothing of it decoded or allocated: its shape and sizes are judged.

    Args:
        group: where it is.
        path: its path in the group.
        form: the only form accepted.
        limit: the largest decoded size in bytes.

    Raises:
        ArtifactError: E_STORE if absent, of another form, over the limit, or too few chunks are there.
    """
    where = f"{group.where}: {path}"
    shape, item = _shape(group, path), np.dtype(form.dtype).itemsize
    chunk = form.chunk(shape)
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
    return Stored(group, path, form, shape, chunk)


def refuse_unread(group: Group) -> None:
    """Refuse members that nobody asked for.

    Raises:
        ArtifactError: E_STORE naming the first.
    """
    strangers = sorted(group.members.keys() - group.read)
    if strangers:
        raise ArtifactError("E_STORE", f"{group.where}: {strangers[0][:200]!r} has no place in it")


def is_parameter(name: str) -> bool:
    """Whether an array may be named after this parameter: zarr keeps names that begin with two underscores."""
    return (
        bool(re.fullmatch(PARAMETER, name))
        and len(name) <= 200
        and not name.startswith("__")
        and name != DOCUMENT
    )


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
    settings = {"blosc": blosc, "zstd": {"checksum": True, "level": form.level}}[form.compressor]
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


def _chunk_key(index: int, shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[str, int]:
    """Name and first row of a chunk."""
    if not shape:
        return "c", 0
    return f"c/{index}" + "/0" * (len(shape) - 1), index * chunk[0]


def _checked_chunk(shape: tuple[int, ...], form: Form, path: str) -> tuple[int, ...]:
    chunk = form.chunk(shape)
    if math.prod(chunk) * np.dtype(form.dtype).itemsize > MAX_CHUNK:
        raise ValueError(f"{path}: a row of {chunk} is more than a chunk holds ({MAX_CHUNK} bytes)")
    return chunk
