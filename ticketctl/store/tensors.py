"""safetensors files, strictly: one byte string for equal content, and nothing else is accepted.

The layout is the format's own (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON
header, the raw little-endian buffer. We write what the library writes (tensors by falling alignment, then by name;
header padded with spaces to eight bytes) and at most one metadata key, because with two the library's bytes are
random. The reader rebuilds the header from what it parsed and refuses any other bytes, which closes duplicate names,
unknown fields, holes, overlaps and stray spaces in one comparison.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import ArtifactError
from ticketctl.store.documents import parse_json

MAX_HEADER = 1 << 20
MAX_TENSORS = 10_000
MAX_DIMS = 8
MAX_DIM = 1 << 31
MAX_ELEMENTS = 1 << 33
NAME = re.compile(r"[A-Za-z0-9_.]{1,200}(:bits)?")

SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
SIZES |= {"U64": 8, "I64": 8, "F64": 8}
_ALIGNED = ["U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "I8", "U8", "BOOL"]
_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_CODES = {np.dtype(form): code for code, form in _NUMPY.items() if code != "BF16"}


@dataclass(frozen=True)
class Tensor:
    """A named array as it lies in a file: dtype code, shape, and little-endian bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview

    @classmethod
    def of(cls, array: NDArray[Any]) -> Tensor:
        """The tensor with this array's content; bfloat16 has no numpy form and is built by its owner."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
        return cls(_CODES[little.dtype], tuple(array.shape), little.tobytes())

    def array(self) -> NDArray[Any]:
        """A read-only view of the data; bfloat16 comes as its raw uint16 bits."""
        return np.frombuffer(self.data, dtype=_NUMPY[self.dtype]).reshape(self.shape)


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The canonical file that holds `tensors`.

    Raises:
        ValueError: more than one metadata key, a name or number of tensors that the reader would refuse,
            or data of the wrong length.
    """
    if metadata and len(metadata) > 1:
        raise ValueError("one metadata key at most")
    for name, tensor in tensors.items():
        # a tensor named __metadata__ would make a file that nothing loads
        if not NAME.fullmatch(name) or name == "__metadata__":
            raise ValueError(f"not a tensor name: {name!r}")
        if memoryview(tensor.data).nbytes != math.prod(tensor.shape) * SIZES[tensor.dtype]:
            raise ValueError(f"{name}: the data do not fill the shape {tensor.shape}")
    order = sorted(tensors, key=lambda name: (_ALIGNED.index(tensors[name].dtype), name))
    header = _header([(name, tensors[name].dtype, tensors[name].shape) for name in order], metadata or {})
    if len(header) > MAX_HEADER or len(tensors) > MAX_TENSORS:
        raise ValueError(f"{len(tensors)} tensors, a header of {len(header)} bytes: more than a reader takes")
    return b"".join([header, *(tensors[name].data for name in order)])


def parse_tensors(data: bytes, *, where: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that nobody vouches for; the tensors are views of `data`.

    Raises:
        ArtifactError: E_FORMAT for whatever `pack_tensors` would not have written.
    """
    if len(data) < 8 or struct.unpack_from("<Q", data)[0] > min(MAX_HEADER, len(data) - 8):
        raise ArtifactError(
            "E_FORMAT", f"{where}: not a safetensors file, or cut short, or its header is over 1 MiB"
        )
    start = 8 + struct.unpack_from("<Q", data)[0]
    header = parse_json(data[8:start], where=f"{where}: header", code="E_FORMAT")
    if not isinstance(header, dict):
        raise ArtifactError("E_FORMAT", f"{where}: the header is not an object")
    metadata = _metadata(header.pop("__metadata__", {}), where)
    if len(header) > MAX_TENSORS:
        raise ArtifactError("E_FORMAT", f"{where}: more than {MAX_TENSORS} tensors")
    entries = [_entry(name, entry, where) for name, entry in header.items()]
    entries.sort(key=lambda entry: (_ALIGNED.index(entry[1]), entry[0]))
    if _header(entries, metadata) != data[:start]:
        raise ArtifactError("E_FORMAT", f"{where}: the header is not in canonical form")
    view, tensors = memoryview(data), {}
    for name, dtype, shape in entries:
        end = start + math.prod(shape) * SIZES[dtype]
        tensors[name] = Tensor(dtype, shape, view[start:end])
        start = end
    if start != len(data):
        raise ArtifactError("E_FORMAT", f"{where}: {len(data)} bytes, but its header accounts for {start}")
    return tensors, metadata


def _header(entries: list[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, dtype, shape in entries:
        end = offset + math.prod(shape) * SIZES[dtype]
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _metadata(value: Any, where: str) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or len(value) > 1
        or not all(isinstance(text, str) for text in value.values())
    ):
        raise ArtifactError("E_FORMAT", f"{where}: metadata is one key with a string, or absent")
    return value


def _entry(name: str, entry: Any, where: str) -> tuple[str, str, tuple[int, ...]]:
    if not NAME.fullmatch(name) or not isinstance(entry, dict):
        raise ArtifactError(
            "E_FORMAT", f"{where}: {name[:80]!r} is not a tensor name ([A-Za-z0-9_.], 200 at most)"
        )
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise ArtifactError(
            "E_FORMAT", f"{where}: {name}: dtype {str(dtype)[:40]!r} is not one of {', '.join(SIZES)}"
        )
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(_is_dim(size) for size in shape):
        raise ArtifactError("E_FORMAT", f"{where}: {name}: the shape is not a list of up to {MAX_DIMS} sizes")
    if math.prod(size or 1 for size in shape) > MAX_ELEMENTS:  # [0, 2^62] too: numpy cannot shape it
        raise ArtifactError("E_FORMAT", f"{where}: {name}: more than {MAX_ELEMENTS} elements")
    return name, dtype, tuple(shape)


def _is_dim(size: Any) -> bool:
    return type(size) is int and 0 <= size <= MAX_DIM
