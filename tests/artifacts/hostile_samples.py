"""Samples, sound and hostile, each of these with the E_ code that refuses it and a sentence on what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tests.artifacts import samples as some
from tests.artifacts.hostile_tensors import Case, container_cases, sound_mask, u8
from ticketctl.artifacts import samples as kind
from ticketctl.artifacts.samples import KEY, Samples, SamplesData, encode_samples
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

DATA = SamplesData(name="digits", fingerprint="sha256:" + "0" * 64, split="test")


def plain() -> Samples:
    """Seven images in four classes; one answer left the numbers."""
    logits = (some.words(28, "logits") % 64).astype("f4").reshape(7, 4) / 8 - 4
    logits[2, 1], logits[5, 0] = np.nan, -np.inf
    labels = (some.words(7, "answers") % 4).astype("i8")
    protocol = {"batch": 500, "normalisation": "stored", "precision": "float32"}
    return Samples("test", "sha256:" + "3" * 64, DATA, logits, labels, protocol=protocol)


def elsewhere() -> Samples:
    """Images of another data set: without labels, and not all of it."""
    index = np.array([9, 0, 4, 1 << 40, 3, 2, 7], "i8")
    data = SamplesData(name="cifar100", fingerprint="cifar100-python", split="test")
    labels = np.full(7, kind.NO_LABEL, "i8")
    return replace(plain(), set="ood-cifar100", data=data, labels=labels, index=index)


def corrupted() -> Samples:
    """Images that something was done to, with a number that is not whole in what is said of it."""
    return replace(
        plain(), set="corrupt-fog-3", protocol={"corruption": "fog", "severity": 3, "scale": 0.1, "seed": 0}
    )


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, digest: bool = True) -> bytes:
    """A samples file of any content, covered by its digest."""
    header = dict(header)
    if digest:
        rest = {key: value for key, value in header.items() if key != "digest"}
        header["digest"] = kind._digest(rest, tensors)
    return pack_tensors(tensors, {KEY: canonical_json(header).decode()})


def opened(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a sound file."""
    tensors, metadata = parse_tensors(data, where="")
    return tensors, json.loads(metadata[KEY])


def header_with(*, digest: bool = True, **fields: Any) -> bytes:
    """The header changed, and its digest with it."""
    tensors, header = opened(encode_samples(elsewhere()))
    return pack(tensors, {**header, **fields}, digest=digest)


def arrays_with(**arrays: np.ndarray | Tensor | None) -> bytes:
    """Arrays replaced, added or (None) dropped, under a sound digest."""
    tensors, header = opened(encode_samples(elsewhere()))
    for name, array in arrays.items():
        if array is None:
            del tensors[name]
        else:
            tensors[name] = array if isinstance(array, Tensor) else Tensor.of(array)
    return pack(tensors, header)


def golden() -> Iterator[tuple[str, bytes]]:
    """What readers must read."""
    yield "plain", encode_samples(plain())
    yield "index", encode_samples(elsewhere())
    yield "protocol", encode_samples(corrupted())
    yield "newer-minor", header_with(format_version="1.7", later="ignored")


def samples_cases() -> Iterator[Case]:
    yield from header_cases()
    yield from array_cases()


def header_cases() -> Iterator[Case]:
    sound = encode_samples(elsewhere())
    yield from container_cases(sound)
    tensors, header = opened(sound)
    without = {key: value for key, value in header.items() if key != "protocol"}
    yield "no-metadata", pack_tensors(tensors), "E_FORMAT", "no word on what it is"
    yield "mask", sound_mask(), "E_FORMAT", "a mask, not samples"
    spaced = pack_tensors(tensors, {KEY: json.dumps(header, sort_keys=True)})
    yield "spaced-metadata", spaced, "E_FORMAT", "metadata not in canonical form"
    twice = '{"format":"ticketctl.samples","format":"ticketctl.samples"}'
    yield "key-twice", pack_tensors(tensors, {KEY: twice}), "E_FORMAT", "a metadata key twice"
    yield "nan", pack_tensors(tensors, {KEY: '{"digest":NaN}'}), "E_FORMAT", "NaN in the metadata"
    yield "other-format", header_with(format="ticketctl.mask"), "E_FORMAT", "says it is a mask"
    yield "newer-major", header_with(format_version="2.0"), "E_VERSION", "a major version from the future"
    yield "older-major", header_with(format_version="0.9"), "E_VERSION", "a major version that never was"
    yield "odd-version", header_with(format_version="1.00"), "E_FORMAT", "not a version"
    features = ["samples.logits", "samples.quantum"]
    yield "feature", header_with(features=features), "E_FEATURE", "a feature nobody has yet"
    yield "no-feature", header_with(features=[]), "E_FORMAT", "does not name what it holds"
    yield "unknown-key", header_with(more="x"), "E_FORMAT", "a key that 1.0 has not"
    yield "missing-key", pack(tensors, without), "E_FORMAT", "a key is missing"
    yield "float", header_with(protocol={"severity": 0.5}), "E_FORMAT", "a float in a record"
    yield (
        "large-number",
        header_with(protocol={"seed": 1 << 53}),
        "E_FORMAT",
        "a number that some readers round",
    )
    yield "control", header_with(protocol={"a": "\x1b[2J"}), "E_FORMAT", "a terminal escape in a word"
    for name, value, why in (
        ("set-upper", "Test", "capital letters in the name of a set"),
        ("set-slash", "ood/svhn", "a slash in the name of a set"),
        ("set-dots", "../test", "a name that leaves the folder"),
        ("set-dot-first", ".test", "a hidden file"),
        ("set-empty", "", "a set without a name"),
        ("set-long", "a" * 81, "a name of 81 signs"),
    ):
        yield name, header_with(set=value), "E_FORMAT", why
    yield (
        "subject",
        header_with(subject="rn1" + "a" * 29),
        "E_FORMAT",
        "an id where the weights' digest belongs",
    )
    yield "data-key", header_with(data={**header["data"], "more": 1}), "E_FORMAT", "more data than 1.0 knows"
    zero = "sha256:" + "0" * 64
    forged = pack(tensors, {**header, "digest": zero}, digest=False)
    yield "digest", forged, "E_SAMPLES_DIGEST", "not the digest of its content"
    yield (
        "digest-form",
        pack(tensors, {**header, "digest": "md5:0"}, digest=False),
        "E_FORMAT",
        "not a digest",
    )
    renamed = header_with(digest=False, set="test")
    yield "renamed", renamed, "E_SAMPLES_DIGEST", "passes for the answers to another set"


def array_cases() -> Iterator[Case]:
    good = elsewhere()
    index = good.index
    assert index is not None
    tensors, header = opened(encode_samples(good))
    payload, other = good.logits.copy(), good.logits.copy()
    payload.view("u4")[2, 1] = 0xFFC00000
    other[0, 0] += 1
    changed = {**tensors, "logits": Tensor.of(other)}
    yield "another-logit", pack(changed, header, digest=False), "E_SAMPLES_DIGEST", "one answer changed"
    yield "payload", arrays_with(logits=payload), "E_SAMPLES", "a NaN other than the quiet one"
    yield "nothing", pack({}, header), "E_SAMPLES", "no tensor at all"
    yield "no-logits", arrays_with(logits=None), "E_SAMPLES", "labels of nothing"
    yield "no-labels", arrays_with(labels=None), "E_SAMPLES", "answers without labels"
    yield "stranger", arrays_with(more=u8(1)), "E_SAMPLES", "a tensor that 1.0 has not"
    yield "half", arrays_with(logits=good.logits.astype("f2")), "E_SAMPLES", "logits of float16"
    bfloat = Tensor("BF16", (7, 4), bytes(56))
    yield "bfloat", arrays_with(logits=bfloat), "E_SAMPLES", "logits of bfloat16"
    yield "double", arrays_with(logits=good.logits.astype("f8")), "E_SAMPLES", "logits of float64"
    yield "int32", arrays_with(labels=good.labels.astype("i4")), "E_SAMPLES", "labels of int32"
    yield "float-index", arrays_with(index=index.astype("f8")), "E_SAMPLES", "places of float64"
    yield "flat", arrays_with(logits=good.logits.reshape(-1)), "E_SAMPLES", "logits in one row"
    yield "cube", arrays_with(logits=good.logits.reshape(7, 2, 2)), "E_SAMPLES", "logits of three dimensions"
    yield "one-class", arrays_with(logits=good.logits[:, :1]), "E_SAMPLES", "a net of one class"
    nobody = arrays_with(logits=good.logits[:0], labels=good.labels[:0], index=index[:0])
    yield "no-image", nobody, "E_SAMPLES", "no image"
    yield "labels-few", arrays_with(labels=good.labels[:6]), "E_SAMPLES", "an image without a label"
    yield "labels-flat", arrays_with(labels=good.labels.reshape(7, 1)), "E_SAMPLES", "labels in a column"
    yield "label-high", arrays_with(labels=good.labels + 5), "E_SAMPLES", "the class after the last"
    yield "label-low", arrays_with(labels=good.labels - 1), "E_SAMPLES", "a label below -1"
    yield "index-few", arrays_with(index=index[:6]), "E_SAMPLES", "an image without a place"
    yield "index-low", arrays_with(index=index - 1), "E_SAMPLES", "a place below 0"
    again = index.copy()
    again[0] = again[1]
    yield "index-twice", arrays_with(index=again), "E_SAMPLES", "one image twice"
    yield (
        "index-plain",
        arrays_with(index=np.arange(7, dtype="i8")),
        "E_SAMPLES",
        "an index that says nothing",
    )
