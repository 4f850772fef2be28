"""Structure-aware damage: bytes, JSON values, archive members, chunks, with the checksums around them made good."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np

from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors
from ticketctl.store.zips import pack_zip, unpack_zip

ODD = [
    None, True, -1, 0, 1, 2**31, 2**53, 2**63, 10**400, 0.5, 1e308, "", "x", "..", "/", "nan", "1e999", "1/0", "\x00",
    "\x1b[2J", "\ud800", "sha256:" + "0" * 64, "tk1" + "a" * 29, "dense", "1.0", "1.9", "2.0", [], {}, [[]], [1, 2],
    ["mask.bits"], {"a": 1},
]  # fmt: skip


def bytes_of(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, cut out, doubled or moved."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        start, length = int(rng.integers(0, len(changed) + 1)), int(rng.integers(1, 17))
        kind = rng.integers(0, 4)
        if kind == 0 and start < len(changed):
            changed[start] = int(rng.integers(0, 256))
        elif kind == 1:
            del changed[start : start + length]
        elif kind == 2:
            changed[start:start] = changed[start : start + length]
        else:
            changed[start:start] = rng.bytes(length)
    return bytes(changed)


def json_of(value: Any, rng: np.random.Generator) -> Any:
    """One place of a JSON value changed, dropped, doubled or replaced by another part of it."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return ODD[int(rng.integers(len(ODD)))]
    holder, key = places[int(rng.integers(len(places)))]
    kind = rng.integers(0, 5)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, its = places[int(rng.integers(len(places)))]
        holder[key] = copy.deepcopy(other[its])
    elif kind == 2 and isinstance(holder, dict):
        holder[str(key) + "x"] = holder[key]
    elif kind == 3 and type(holder[key]) is int:
        holder[key] += int(rng.integers(-2, 3))
    else:
        holder[key] = ODD[int(rng.integers(len(ODD)))]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield value, key
        yield from _places(child)


def text_of(value: Any) -> bytes:
    """Canonical JSON where there is one, else whatever json makes of it."""
    try:
        return canonical_json(value)
    except (ValueError, TypeError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def flipped(tensor: Tensor, rng: np.random.Generator) -> Tensor:
    """One bit of a tensor flipped."""
    data = bytearray(tensor.data)
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return Tensor(tensor.dtype, tensor.shape, bytes(data))


def mask_of(data: bytes, rng: np.random.Generator) -> bytes:
    """A mask or samples file with its header, its bits or its container changed."""
    tensors, metadata = parse_tensors(data, where="")
    kind = rng.integers(0, 4)
    if kind == 0:
        return bytes_of(data, rng)
    if kind == 1:
        metadata = {
            "ticketctl": text_of(json_of(json.loads(metadata["ticketctl"]), rng)).decode("utf-8", "replace")
        }
        return pack_tensors(tensors, metadata)
    if kind == 2:
        name = sorted(tensors)[int(rng.integers(len(tensors)))]
        tensors[name] = flipped(tensors[name], rng)
        return pack_tensors(tensors, metadata)
    start = 8 + struct.unpack_from("<Q", data)[0]
    text = text_of(json_of(json.loads(data[8:start]), rng))
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[start:]


def store_of(data: bytes, rng: np.random.Generator) -> bytes:
    """An archive with a document, a chunk, its list of members or its container changed."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return bytes_of(data, rng)
    members = dict(unpack_zip(data, where=""))
    name = sorted(members)[int(rng.integers(len(members)))]
    if kind == 1:
        members.pop(name)
    elif kind == 2:
        members[sorted(members)[int(rng.integers(len(members)))]] = members[name]
    elif name.endswith("zarr.json"):
        members[name] = text_of(json_of(json.loads(members[name]), rng))
    else:
        packed = bytes_of(members[name][:-4], rng)
        members[name] = packed + struct.pack("<I", google_crc32c.value(packed))
    return pack_zip(members)
