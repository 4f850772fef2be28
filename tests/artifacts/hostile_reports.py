"""Reports, sound and hostile, each of these with the E_ code that refuses it and a sentence on what is wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numcodecs import zstd

from tests.artifacts.hostile_stores import archive_cases, changed, document, members_of, with_crc
from tests.artifacts.hostile_tensors import Case
from tests.artifacts.reports import SOURCES, audit, empty, shapes, small, untrained
from ticketctl.artifacts import report as kind
from ticketctl.artifacts.arrays import Form, _document, pack_group
from ticketctl.artifacts.records import seal
from ticketctl.artifacts.report import Report, encode_report
from ticketctl.artifacts.report_models import SEAL

Change = Callable[[dict[str, Any]], Any]


def identified(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes whose id and seal cover them again."""
    return seal({**attributes, "report_id": kind._id(attributes)}, SEAL)


def forged(
    change: Change = lambda root: None,
    arrays: Mapping[str, np.ndarray | None] | None = None,
    *,
    report: Report | None = None,
    forms: Mapping[str, Form] | None = None,
    ids: bool = True,
) -> bytes:
    """A report that the writer would refuse, with a sound digest, id and seal."""
    sound = report or audit()
    found = {**kind._arrays(sound), **(arrays or {})}
    kept = {path: array for path, array in found.items() if array is not None}
    root = {**kind._attributes(sound, kept)}
    change(root)
    packed = {path: (array, (forms or {}).get(path) or form_of(array)) for path, array in kept.items()}
    return pack_group(identified(root) if ids else seal(root, SEAL), packed, kind._folders(kept))


def form_of(array: np.ndarray) -> Form:
    """As the format has it; of types that it has not, in the manner of the others."""
    return kind._BY_DTYPE.get(array.dtype) or Form(array.dtype.name, array.dtype.str, "zstd")


def field(name: str, value: Any) -> bytes:
    """One attribute replaced."""
    return forged(lambda root: root.update({name: value}))


def row(place: int, **fields: Any) -> bytes:
    """What is said of one value, replaced."""
    return forged(lambda root: root["metrics"][place].update(fields))


def golden() -> Iterator[tuple[str, bytes]]:
    """What readers must read."""
    yield "audit", encode_report(audit())
    yield "empty", encode_report(empty())
    yield "small", encode_report(small())
    yield "untrained", encode_report(untrained())
    yield "newer-minor", forged(lambda root: (root.update(format_version="1.7", later=1), newer(root)))


def newer(root: dict[str, Any]) -> None:
    """What a later version says more."""
    root["subject"]["later"] = root["metrics"][0]["later"] = "ignored"


def report_cases() -> Iterator[Case]:
    assert forged() == encode_report(audit())
    yield from (case for case in archive_cases(encode_report(audit())) if case[0] not in IDENTIFIED)
    yield from attribute_cases()
    yield from metric_cases()
    yield from array_cases()
    yield from chunk_cases()


IDENTIFIED = ("other-format", "newer-major", "feature", "unknown-key", "digest")
"""Cases of all archives that would fail by the id of this one first."""


def attribute_cases() -> Iterator[Case]:
    zero = "sha256:" + "0" * 64
    yield "other-format", field("format", "ticketctl.series"), "E_FORMAT", "not a report"
    yield "newer-major", field("format_version", "2.0"), "E_VERSION", "a major version from the future"
    features = ["report.quantum", "report.values"]
    yield "feature", field("features", features), "E_FEATURE", "a feature nobody has yet"
    yield "no-feature", field("features", []), "E_STORE", "does not name what it holds"
    yield "unknown-key", field("more", "x"), "E_STORE", "an attribute that 1.0 has not"
    yield "missing-key", forged(lambda root: root.pop("env")), "E_STORE", "an attribute is missing"
    yield "digest", field("digest", zero), "E_STORE_DIGEST", "not the digest of its content"
    other = forged(lambda root: root.update(report_id="rp1" + "a" * 29), ids=False)
    yield "id", other, "E_REPORT_ID", "the id of another report"
    form = forged(lambda root: root.update(report_id="tk1" + "a" * 29), ids=False)
    yield "id-form", form, "E_STORE", "the id of a ticket"
    stale = forged(lambda root: root.update(seeds={"root": 1}), ids=False)
    yield "stale-id", stale, "E_REPORT_ID", "another seed under the same id"
    yield "kind", field("kind", "spend"), "E_STORE", "a kind that 1.0 has not"
    yield "float", field("env", {"memory": 0.5}), "E_STORE", "a float in a record"
    yield "control", field("env", {"device": "cpu\x1b[2J"}), "E_STORE", "a terminal escape in a word"
    yield "seed-word", field("seeds", {"root": "0"}), "E_STORE", "a seed that is a string"
    yield "recipe-digest", field("recipe_digest", zero), "E_STORE", "the digest of another recipe"
    for name, subject, why in (
        ("subject-ticket", {"ticket": "mine"}, "neither dense nor the id of a ticket"),
        ("subject-run", {"run_id": "tk1" + "a" * 29}, "the id of a ticket where that of a run belongs"),
        ("subject-status", {"status": "running"}, "a run that is neither done nor diverged"),
        ("subject-level", {"level": -1}, "a level below 0"),
        ("subject-weights", {"weights": "3" * 64}, "weights without a digest"),
    ):
        change = lambda root, subject=subject: root["subject"].update(subject)  # noqa: E731  # short
        yield name, forged(change), "E_STORE", why
    yield from untrained_cases()
    sources = [{"set": name, "digest": digest} for name, digest in sorted(SOURCES.items())]
    yield "sources-unsorted", field("sources", sources[::-1]), "E_STORE", "sources in another order"
    yield "sources-twice", field("sources", [sources[0], *sources]), "E_STORE", "one source twice"
    named = [{**sources[0], "set": "Test"}]
    yield "source-name", field("sources", named), "E_STORE", "a set that no file is named after"


def untrained_cases() -> Iterator[Case]:
    """A subject that no run trained, and what does not go with it."""

    def but(**fields: Any) -> bytes:
        return forged(lambda root: root.update(fields), report=untrained())

    values = ["report.values"]
    yield "untrained-feature", but(features=values), "E_STORE", "untrained, which no feature says"
    yield "untrained-version", but(format_version="1.0"), "E_STORE", "untrained, which 1.0 does not have"
    yield (
        "untrained-diverged",
        forged(lambda root: root["subject"].update(status="diverged"), report=untrained()),
        "E_STORE",
        "an untrained net that diverged",
    )
    trained = field("features", ["report.untrained", *values])
    yield "trained-feature", trained, "E_STORE", "the feature of untrained nets, of a run"


def metric_cases() -> Iterator[Case]:
    nan = float("nan")
    value = np.array([0.90625, 0.1, nan, nan])
    error = np.array([0.015625, nan, nan, nan])

    def values(place: int, number: float) -> bytes:
        found = value.copy()
        found[place] = number
        return forged(arrays={"value": found})

    def errors(place: int, number: float) -> bytes:
        found = error.copy()
        found[place] = number
        return forged(arrays={"error": found})

    back = forged(lambda root: root.update(metrics=root["metrics"][::-1]))
    yield "metrics-unsorted", back, "E_STORE", "metrics in another order"
    yield "metric-twice", row(1, name="accuracy"), "E_STORE", "two values of one name"
    yield "metric-name", row(1, name="e c e"), "E_STORE", "spaces in the name of a value"
    yield "metric-module", row(0, metric="../accuracy"), "E_STORE", "a path in the place of a module"
    yield "better", row(1, better="smaller"), "E_STORE", "a direction that 1.0 has not"
    yield "status", row(2, status="skipped"), "E_STORE", "a status that 1.0 has not"
    yield "n-negative", row(1, n=-1), "E_STORE", "taken over fewer than no images"
    yield "n-bool", row(1, n=True), "E_STORE", "taken over true images"
    yield "reason-missing", row(2, reason=""), "E_STORE", "absent for no reason"
    yield "reason-idle", row(0, reason="why not"), "E_STORE", "done, and a reason why not"
    yield "reason-long", row(2, reason="x" * 1001), "E_STORE", "a reason of many pages"
    yield "more-of-a-metric", row(1, unit="%"), "E_STORE", "a key of a metric that 1.0 has not"
    yield "done-nan", values(0, nan), "E_STORE", "done, and not a number"
    yield "done-infinite", values(0, float("inf")), "E_STORE", "done, and infinite"
    yield "absent-value", values(2, 0.5), "E_STORE", "absent, and yet a value"
    yield "nan-value", values(3, 0.5), "E_STORE", "no number, and yet one"
    yield "absent-error", errors(2, 0.5), "E_STORE", "the error of what is absent"
    yield "negative-error", errors(0, -0.5), "E_STORE", "a standard error below 0"
    yield "infinite-error", errors(0, float("inf")), "E_STORE", "an infinite standard error"
    payload = value.copy()
    payload.view("u8")[2] = 0x7FF8000000000001
    yield "payload", forged(arrays={"value": payload}), "E_STORE", "a NaN that carries something"
    yield "value-few", forged(arrays={"value": value[:3]}), "E_STORE", "a metric without a value"
    yield (
        "error-many",
        forged(arrays={"error": np.append(error, nan)}),
        "E_STORE",
        "an error without a metric",
    )
    yield "value-flat", forged(arrays={"value": value.reshape(2, 2)}), "E_STORE", "values in a table"
    yield "no-value", forged(arrays={"value": None}), "E_STORE", "no values"
    yield "no-error", forged(arrays={"error": None}), "E_STORE", "no errors"
    yield "value-float32", forged(arrays={"value": value.astype("f4")}), "E_STORE", "values of float32"
    huge = claiming("value", (1 << 31,), kind._FLOAT)
    yield "value-huge", huge, "E_STORE", "values of 16 GiB in a few bytes"


def array_cases() -> Iterator[Case]:
    sound = encode_report(audit())
    bins = np.array([[0.0, np.nan, 0.5], [0.25, -np.inf, 1.0]])
    odd = bins.copy()
    odd.view("u8")[0, 1] = 0xFFF8000000000000
    yield "array-payload", forged(arrays={"array/ece/bins": odd}), "E_STORE", "a NaN that carries something"
    for name, path, why in (
        ("array-stranger", "array/lime/x", "an array of a metric that is not there"),
        ("array-bare", "array/ece", "an array in the place of a metric's group"),
        ("array-deep", "array/ece/a/b", "an array below an array's name"),
        ("array-root", "curve", "an array beside value and error"),
        ("array-space", "array/ece/a b", "a name that is no word"),
        ("array-reserved", "array/ece/__a", "a name that zarr keeps for itself"),
        ("array-long", "array/ece/" + "a" * 81, "a name of 81 signs"),
        ("array-dots", "array/ece/..", "a name that leaves its folder"),
        ("array-document", "array/ece/zarr.json", "the name of zarr's documents"),
    ):
        yield name, forged(arrays={path: bins}), "E_STORE", why
    for dtype in ("f2", "i4", "u2", "i1"):
        array = forged(arrays={"array/ece/bins": np.zeros((2, 3), dtype)})
        yield f"array-{dtype}", array, "E_STORE", "a type that 1.0 has not"
    blosc = Form("uint8", "u1", "blosc")
    other = forged(forms={"array/accuracy/right": blosc})
    yield "array-blosc", other, "E_STORE", "the codec of ladders"
    level = Form("uint8", "u1", "zstd", level=9)
    yield "array-level", forged(forms={"array/accuracy/right": level}), "E_STORE", "another level of zstd"
    fill = Form("float64", "<f8", "zstd")
    yield "array-fill", forged(forms={"array/ece/bins": fill}), "E_STORE", "another fill value"
    nine = forged(arrays={"array/ece/bins": np.zeros((1,) * 9)})
    yield "array-nine", nine, "E_STORE", "nine dimensions"
    for folder in ("array", "array/ece"):
        gone = changed(sound, lambda m, folder=folder: m.pop(f"{folder}/zarr.json"))
        yield f"no-group-{folder.replace('/', '-')}", gone, "E_STORE", "no document of a group"
    idle = json.dumps(
        {"attributes": {}, "node_type": "group", "zarr_format": 3}, separators=(",", ":")
    ).encode()
    more = changed(sound, lambda m: m.update({"array/nll/zarr.json": idle}))
    yield "idle-group", more, "E_STORE", "a group of no arrays"
    said = document(sound, "array/zarr.json", attributes={"a": 1})
    yield "group-attributes", said, "E_STORE", "a group that says something"
    gone = changed(sound, lambda m: [m.pop(name) for name in list(m) if name.startswith("array/ece")])
    yield "array-gone", gone, "E_STORE_DIGEST", "an array is missing, and its group"
    swapped = changed(sound, lambda m: m.update({"value/c/0": m["error/c/0"]}))
    yield "swapped", swapped, "E_STORE", "the errors in the place of the values"


def chunk_cases() -> Iterator[Case]:
    sound, chunk = encode_report(audit()), "array/accuracy/right/c/0"
    raw = bytes([1, 0, 1, 1])

    def stored(packed: bytes) -> bytes:
        return changed(sound, lambda m: m.update({chunk: packed}))

    frame = bytes(zstd.compress(raw, 3, True))
    bomb = b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", 1 << 31) + frame[6:]
    yield "missing-chunk", changed(sound, lambda m: m.pop(chunk)), "E_STORE", "a chunk is missing"
    extra = changed(sound, lambda m: m.update({chunk[:-1] + "1": m[chunk]}))
    yield "extra-chunk", extra, "E_STORE", "a chunk after the last"
    yield "crc", stored(frame + b"\0\0\0\0"), "E_STORE", "the checksum of a chunk does not match"
    yield "no-checksum", stored(with_crc(bytes(zstd.compress(raw, 3, False)))), "E_STORE", "zstd unsealed"
    yield "bomb", stored(with_crc(bomb)), "E_STORE", "a frame that says it unpacks to two gigabytes"
    yield (
        "no-size",
        stored(with_crc(b"\x28\xb5\x2f\xfd\x04\x58" + frame[6:])),
        "E_STORE",
        "a frame without a size",
    )
    yield "torn", stored(with_crc(frame[:-5] + b"\0" + frame[-4:])), "E_STORE", "compressed bytes lost"
    flipped = with_crc(bytes(zstd.compress(bytes([1, 1, 1, 1]), 3, True)))
    yield "another-value", stored(flipped), "E_STORE_DIGEST", "one element changed"
    doc = "array/accuracy/right/zarr.json"
    yield "codec", document(sound, doc, codecs=[{"name": "bytes"}]), "E_STORE", "another codec chain"
    byte = kind._FORMS["uint8"]
    square = changed(
        claiming("array/accuracy/right", (2, 2), byte), lambda m: m.update({f"{chunk}/0": m.pop(chunk)})
    )
    yield "shape", square, "E_STORE_DIGEST", "as many elements in another shape"
    claims = claiming("array/accuracy/right", (10**6, 10**7), byte)
    yield "claims", claims, "E_STORE", "10^13 elements"
    rows = claiming("array/accuracy/right", (1 << 29,), byte)
    yield "rows", rows, "E_STORE", "more chunks than there are"
    yield "negative", document(sound, doc, shape=[-4]), "E_STORE", "a negative size"
    yield "type", document(sound, doc, data_type="int64"), "E_STORE", "another type of the array"
    words = json.loads(members_of(sound)[doc]) | {"data_type": ["uint8"]}
    yield "type-list", document(sound, doc, **words), "E_STORE", "a list where a type belongs"
    yield "padding", padding(), "E_STORE", "padding of the last chunk that is not zero"
    minus = padding(np.zeros((5, 1 << 17)), -0.0)
    yield "padding-minus-zero", minus, "E_STORE", "padding of the last chunk that is minus zero"


def claiming(path: str, shape: tuple[int, ...], form: Form) -> bytes:
    """A report with an array that says it has another shape, in a document that is otherwise sound."""
    text = _document(shape, form.chunk(shape), form)
    return changed(encode_report(audit()), lambda m: m.update({f"{path}/zarr.json": text}))


def padding(array: np.ndarray | None = None, value: float = 1) -> bytes:
    """An array of 5 MiB, its last row in a chunk of four rows: the others hold `value`, not zero."""
    found = np.ones((5, 1 << 20), "u1") if array is None else array
    sound = encode_report(replace(shapes(), arrays={"nll/long": found}))
    part = np.full((4, *found.shape[1:]), value, found.dtype)
    part[0] = found[-1]
    packed = with_crc(bytes(zstd.compress(part.tobytes(), 3, True)))
    return changed(sound, lambda m: m.update({"array/nll/long/c/1/0": packed}))
