"""Compacted nets, sound and hostile, each of these with the E_ code that refuses it and a sentence on what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tests.artifacts import samples as some
from tests.artifacts.hostile_tensors import Case, container_cases, sound_mask, u8
from ticketctl.artifacts import compact as kind
from ticketctl.artifacts.compact import KEY, Compact, encode_compact
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors


def layers() -> Compact:
    """A Linear layer that picks pixels, one below it, a norm."""
    weights = {
        "fc1.weight": _floats(2, 3),
        "fc1.bias": _floats(2),
        "fc1.picked": Tensor.of(np.array([1, 4, 7], "i8")),
        "bn1.running_mean": _floats(2),
        "fc2.weight": _floats(4, 2),
    }
    rows = {name: np.array([0, 3], "i8") for name in ("fc1", "bn1")} | {"fc2": np.arange(4, dtype="i8")}
    columns = {"fc1": np.array([1, 4, 7], "i8"), "fc2": np.array([0, 3], "i8")}
    return Compact("rn1" + "a" * 29, "sha256:" + "3" * 64, (1, 3, 3), weights, rows, columns)


def _floats(*shape: int) -> Tensor:
    count = int(np.prod(shape))
    return Tensor.of((some.words(count, "compact") % 64).astype("f4").reshape(shape) / 8 - 4)


def whole() -> Compact:
    """A net of which nothing could go."""
    return replace(layers(), rows={}, columns={})


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, digest: bool = True) -> bytes:
    """A file of any content, covered by its digest."""
    header = dict(header)
    if digest:
        rest = {key: value for key, value in header.items() if key != "digest"}
        header["digest"] = kind._digest(rest, tensors)
    return pack_tensors(tensors, {KEY: canonical_json(header).decode()})


def opened() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a sound file."""
    tensors, metadata = parse_tensors(encode_compact(layers()), where="")
    return tensors, json.loads(metadata[KEY])


def header_with(*, digest: bool = True, **fields: Any) -> bytes:
    """The header changed, and its digest with it."""
    tensors, header = opened()
    return pack(tensors, {**header, **fields}, digest=digest)


def tensors_with(changes: Mapping[str, Tensor | np.ndarray | None]) -> bytes:
    """Tensors replaced, added or (None) dropped, under a sound digest."""
    tensors, header = opened()
    for name, value in changes.items():
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value if isinstance(value, Tensor) else Tensor.of(value)
    return pack(tensors, header)


def golden() -> Iterator[tuple[str, bytes]]:
    """What readers must read."""
    yield "layers", encode_compact(layers())
    yield "whole", encode_compact(whole())
    yield "newer-minor", header_with(format_version="1.7", later="ignored")


def compact_cases() -> Iterator[Case]:
    yield from container_cases(encode_compact(layers()))
    yield from header_cases()
    yield from tensor_cases()


def header_cases() -> Iterator[Case]:
    tensors, header = opened()
    without = {key: value for key, value in header.items() if key != "image"}
    yield "no-metadata", pack_tensors(tensors), "E_FORMAT", "no word on what it is"
    yield "mask", sound_mask(), "E_FORMAT", "a mask, not a net"
    yield "weights", pack_tensors(tensors, {"format": "pt"}), "E_FORMAT", "weights, of which net nobody says"
    yield "other-format", header_with(format="ticketctl.samples"), "E_FORMAT", "says it is samples"
    yield "newer-major", header_with(format_version="2.0"), "E_VERSION", "a major version from the future"
    features = ["compact.channels", "compact.quantum"]
    yield "feature", header_with(features=features), "E_FEATURE", "a feature nobody has yet"
    yield "unknown-key", header_with(more="x"), "E_FORMAT", "a key that 1.0 has not"
    yield "missing-key", pack(tensors, without), "E_FORMAT", "a key is missing"
    yield "run", header_with(run="tk1" + "a" * 29), "E_FORMAT", "a ticket where the run belongs"
    yield "subject", header_with(subject="rn1" + "a" * 29), "E_FORMAT", "an id where a digest belongs"
    yield "image-flat", header_with(image=[3, 32]), "E_FORMAT", "images of two dimensions"
    yield "image-none", header_with(image=[0, 3, 3]), "E_FORMAT", "images without channels"
    yield (
        "digest-form",
        pack(tensors, {**header, "digest": "md5:0"}, digest=False),
        "E_FORMAT",
        "not a digest",
    )
    other = header_with(digest=False, run="rn1" + "b" * 29)
    yield "other-run", other, "E_WEIGHTS_DIGEST", "passes for the net of another run"


def tensor_cases() -> Iterator[Case]:
    tensors, header = opened()
    odd = np.frombuffer(tensors["net.fc1.bias"].data, "<f4").copy()
    changed = {**tensors, "net.fc1.bias": Tensor.of(odd + 1)}
    yield "another-weight", pack(changed, header, digest=False), "E_WEIGHTS_DIGEST", "one weight changed"
    for value, name in ((np.nan, "nan"), (np.inf, "infinite")):
        bad = np.array([value, 0], "f4")
        yield name, tensors_with({"net.fc1.bias": bad}), "E_WEIGHTS", "a weight that is no number"
    yield "bytes", tensors_with({"net.fc1.bias": u8(2)}), "E_WEIGHTS", "weights of bytes"
    yield "stranger", tensors_with({"more": u8(1)}), "E_WEIGHTS", "a tensor that 1.0 has not"
    yield "nameless", tensors_with({"rows.": np.array([0], "i8")}), "E_WEIGHTS", "rows of nothing"
    for name, places, why in (
        ("falling", np.array([3, 0], "i8"), "places that fall"),
        ("twice", np.array([0, 0], "i8"), "a place twice"),
        ("below", np.array([-1, 0], "i8"), "a place below 0"),
        ("none", np.array([], "i8"), "a layer without outputs"),
        ("square", np.array([[0], [3]], "i8"), "places in two dimensions"),
        ("short", np.array([0, 3], "i4"), "places of int32"),
        ("real", np.array([0, 3], "f8"), "places that are no whole numbers"),
    ):
        yield f"rows-{name}", tensors_with({"rows.bn1": places}), "E_WEIGHTS", why
    yield "no-rows", tensors_with({"rows.fc1": None}), "E_WEIGHTS", "columns of a layer without its rows"
