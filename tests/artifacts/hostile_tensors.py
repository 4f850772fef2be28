"""Hostile mask and weights files, each with the E_ code that refuses it and a sentence on what is wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.artifacts import samples
from ticketctl.artifacts.masks import KEY, encode_mask
from ticketctl.artifacts.weights import METADATA, encode_weights
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

Case = tuple[str, bytes, str, str]
"""Name, content, code, why."""


def raw(header: str | bytes, data: bytes = b"") -> bytes:
    """A safetensors container with any header."""
    text = header.encode() if isinstance(header, str) else header
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sound_mask() -> bytes:
    return encode_mask(samples.ladder().mask(2))


def mask_with(change: Callable[[dict[str, Any], dict[str, Tensor]], None]) -> bytes:
    """The sound mask with its header and tensors changed, packed canonically again."""
    tensors, metadata = parse_tensors(sound_mask(), where="")
    header = json.loads(metadata[KEY])
    change(header, tensors)
    return pack_tensors(tensors, {KEY: canonical_json(header).decode()})


def header_with(**fields: Any) -> bytes:
    return mask_with(lambda header, tensors: header.update(fields))


def entry_with(**fields: Any) -> bytes:
    return mask_with(lambda header, tensors: header["tensors"]["fc1.weight"].update(fields))


def tensors_with(**changed: Tensor | None) -> bytes:
    """Tensors of fc1 and others replaced, added or (None) dropped; `_` in a name stands for a dot."""

    def change(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for name, tensor in changed.items():
            key = name.replace("_", ".") + ":bits"
            tensors.pop(key, None)
            if tensor is not None:
                tensors[key] = tensor

    return mask_with(change)


def u8(*shape: int, fill: int = 0) -> Tensor:
    return Tensor.of(np.full(shape, fill, dtype="u1"))


def padding() -> bytes:
    def change(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        rows = tensors["fc1.weight:bits"].array().copy()
        rows[0, -1] |= 0x80  # 12 columns leave four bits of padding
        tensors["fc1.weight:bits"] = Tensor.of(rows)

    return mask_with(change)


def another_bit() -> bytes:
    """Two bits exchanged: the count stays, the digest does not."""

    def change(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        rows = tensors["fc1.weight:bits"].array().copy()
        bits = np.unpackbits(rows, axis=1, count=12, bitorder="little")
        first, second = np.argwhere(bits == 0)[0], np.argwhere(bits == 1)[0]
        bits[tuple(first)], bits[tuple(second)] = 1, 0
        tensors["fc1.weight:bits"] = Tensor.of(np.packbits(bits, axis=1, bitorder="little"))

    return mask_with(change)


def container_cases(sound: bytes) -> Iterator[Case]:
    """What no safetensors container may be, shown on a sound file."""
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    one, nested = compact(tensor), b"[" * 5000 + b"]" * 5000
    yield "empty", b"", "E_FORMAT", "no bytes at all"
    yield "cut-in-length", sound[:7], "E_FORMAT", "seven bytes, the header length has eight"
    yield (
        "length-past-end",
        struct.pack("<Q", 10_000) + b"{}",
        "E_FORMAT",
        "the header is longer than the file",
    )
    yield "length-2-63", struct.pack("<Q", 1 << 63) + sound[8:], "E_FORMAT", "a header of 2^63 bytes"
    yield "cut-short", sound[:-1], "E_FORMAT", "the last byte is missing"
    yield "tail", sound + b"\0", "E_FORMAT", "a byte behind the data"
    yield "not-json", raw("tensor = 1"), "E_FORMAT", "the header is not JSON"
    yield "not-utf8", raw(b'{"\xff\xfe":1}'), "E_FORMAT", "the header is not UTF-8"
    yield "array", raw("[]"), "E_FORMAT", "the header is an array"
    yield "deep", raw(nested), "E_FORMAT", "a header nested 5000 deep"
    yield "twice", raw(f'{{"a:bits":{one},"a:bits":{one}}}', b"\0"), "E_FORMAT", "one tensor listed twice"
    for name, text, why in (
        ("extra-field", compact({"a": {**tensor, "more": 1}}), "an unknown field in a tensor's entry"),
        (
            "hole",
            compact({"a": {**tensor, "data_offsets": [1, 2]}}),
            "a byte before the data that nothing owns",
        ),
        ("negative", compact({"a": {**tensor, "shape": [-1]}}), "a negative size"),
        ("bool-size", compact({"a": {**tensor, "shape": [True]}}), "true as a size"),
        ("huge", compact({"a": {**tensor, "shape": [2**31, 2**31]}}), "2^62 elements in a byte"),
        (
            "empty-huge",
            compact({"a": {**tensor, "shape": [0, 2**31, 2**31]}}),
            "a shape that numpy cannot hold",
        ),
        ("nine-dims", compact({"a": {**tensor, "shape": [1] * 9}}), "nine dimensions"),
        ("dtype", compact({"a": {**tensor, "dtype": "U1"}}), "a dtype that safetensors has not"),
        ("traversal", compact({"../../x": tensor}), "a path as the name of a tensor"),
        ("escape", compact({"a\x1b[2J": tensor}), "a terminal escape in a name"),
        ("spaces", compact({"a": tensor}).replace(":", ": "), "spaces in the header"),
        ("null-metadata", compact({"__metadata__": None, "a": tensor}), "metadata null"),
        ("two-keys", compact({"__metadata__": {"a": "1", "b": "2"}, "a": tensor}), "two metadata keys"),
    ):
        yield name, raw(text, b"\0"), "E_FORMAT", why


def mask_cases() -> Iterator[Case]:
    yield from container_cases(sound_mask())
    yield "no-metadata", pack_tensors({"a:bits": u8(1, 1)}), "E_FORMAT", "no word on what it is"
    yield "weights", encode_weights(samples.weights()), "E_FORMAT", "weights, not a mask"
    text = json.dumps(json.loads(parse_tensors(sound_mask(), where="")[1][KEY]))
    tensors = parse_tensors(sound_mask(), where="")[0]
    yield "spaced-metadata", pack_tensors(tensors, {KEY: text}), "E_FORMAT", "metadata not in canonical form"
    twice = '{"format":"ticketctl.mask","format":"ticketctl.mask"}'
    yield "key-twice", pack_tensors(tensors, {KEY: twice}), "E_FORMAT", "a metadata key twice"
    yield "nan", pack_tensors(tensors, {KEY: '{"digest":NaN}'}), "E_FORMAT", "NaN in the metadata"
    yield "other-format", header_with(format="ticketctl.ladder"), "E_FORMAT", "says it is a ladder"
    yield "newer-major", header_with(format_version="2.0"), "E_VERSION", "a major version from the future"
    yield "older-major", header_with(format_version="0.9"), "E_VERSION", "a major version that never was"
    yield "odd-version", header_with(format_version="1.00"), "E_FORMAT", "not a version"
    yield "unknown-key", header_with(more="x"), "E_FORMAT", "a key that 1.0 has not"
    yield "big-endian", header_with(bitorder="big"), "E_FORMAT", "the other bit order"
    yield "encoding", header_with(encoding="gaps"), "E_FORMAT", "an encoding that 1.0 has not"
    yield "digest", header_with(digest="sha256:" + "0" * 64), "E_MASK_DIGEST", "not the digest of its bits"
    yield "digest-form", header_with(digest="md5:0"), "E_FORMAT", "not a digest"
    yield "another-bit", another_bit(), "E_MASK_DIGEST", "two bits exchanged: same count, another mask"
    yield "padding", padding(), "E_MASK_PADDING", "a bit set beyond the end of a row"
    yield "count", entry_with(kept=1), "E_COUNT", "claims to keep fewer weights than it does"
    yield "count-float", entry_with(kept=1.5), "E_FORMAT", "half a weight kept"
    yield "bomb", entry_with(shape=[2**31, 4]), "E_MASK_SHAPE", "a few bytes claim 2^33 weights"
    yield "shape", entry_with(shape=[12, 5]), "E_MASK_SHAPE", "rows and columns exchanged"
    yield "empty-parameter", entry_with(shape=[0, 12]), "E_FORMAT", "empty parameters are not stored"
    yield "rows", tensors_with(fc1_weight=u8(4, 2)), "E_MASK_SHAPE", "a row is missing"
    yield "bool", tensors_with(fc1_weight=Tensor.of(np.zeros((5, 2), "?"))), "E_MASK_SHAPE", "BOOL, not U8"
    yield "dropped", tensors_with(fc1_weight=None), "E_MASK_SHAPE", "a parameter without bits"
    yield "extra", tensors_with(fc9_weight=u8(1, 1)), "E_MASK_SHAPE", "bits without a parameter"
    nothing = json.loads(text) | {"tensors": {}}
    yield (
        "nothing",
        pack_tensors({}, {KEY: canonical_json(nothing).decode()}),
        "E_MASK_SHAPE",
        "masks nothing",
    )


def weights_with(tensor: Tensor) -> bytes:
    return pack_tensors({**samples.weights(), "fc1.bias": tensor}, METADATA)


def weights_cases() -> Iterator[Case]:
    sound = encode_weights(samples.weights())
    yield from container_cases(sound)
    nan, infinite = np.array([np.nan], "f4"), np.array([np.inf], "f8")
    yield "nan", weights_with(Tensor.of(nan)), "E_WEIGHTS", "a float32 that is not a number"
    yield "infinite", weights_with(Tensor.of(infinite)), "E_WEIGHTS", "an infinite float64"
    yield "half-nan", weights_with(Tensor.of(nan.astype("f2"))), "E_WEIGHTS", "a float16 that is not a number"
    yield "bfloat-nan", weights_with(Tensor("BF16", (1,), b"\xc0\x7f")), "E_WEIGHTS", "a bfloat16 NaN"
    yield (
        "int32",
        weights_with(Tensor.of(np.zeros(5, "i4"))),
        "E_WEIGHTS",
        "a dtype that state_dicts do not need",
    )
    yield "bool", weights_with(Tensor.of(np.zeros(5, "?"))), "E_WEIGHTS", "BOOL has many bytes for True"
    yield "bits", pack_tensors({"a:bits": u8(1, 1)}, METADATA), "E_WEIGHTS", "a mask in the place of weights"
    yield "mask", sound_mask(), "E_FORMAT", "a mask, not weights"
    yield "no-metadata", pack_tensors(samples.weights()), "E_FORMAT", "the metadata are missing"
    yield "other-metadata", pack_tensors(samples.weights(), {"format": "np"}), "E_FORMAT", "not the metadata"
    second = sound.replace(b'"fc1.weight"', b'"fa1.weight"').replace(b'"fc1.bias"', b'"fz1.bias"')
    yield "unsorted", second, "E_FORMAT", "tensors not in the order of their names"
