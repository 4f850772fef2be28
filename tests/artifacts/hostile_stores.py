"""Hostile ladders and series, many of which zarr or zipfile would read, each with the code that refuses it."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd

from tests.artifacts import samples
from tests.artifacts.hostile_tensors import Case
from ticketctl.artifacts import ladder as ladders
from ticketctl.artifacts import series as series_
from ticketctl.artifacts.arrays import pack_group
from ticketctl.artifacts.records import seal
from ticketctl.store.documents import canonical_json
from ticketctl.store.zips import pack_zip, unpack_zip

Members = dict[str, bytes]
SEAL = "attributes_digest"


def members_of(data: bytes) -> Members:
    return dict(unpack_zip(data, where=""))


def with_crc(packed: bytes) -> bytes:
    return packed + struct.pack("<I", google_crc32c.value(packed))


def changed(data: bytes, change: Callable[[Members], Any]) -> bytes:
    """The archive with its members changed, packed canonically again."""
    members = members_of(data)
    change(members)
    return pack_zip(members)


def document(data: bytes, name: str, **fields: Any) -> bytes:
    """A zarr document changed and canonical again."""
    return changed(data, lambda m: m.update({name: canonical_json({**json.loads(m[name]), **fields})}))


def attributes(data: bytes, *, sealed: bool = True, **fields: Any) -> bytes:
    """Root attributes changed, and (unless not `sealed`) covered by their digest again."""
    root = json.loads(members_of(data)["zarr.json"])
    found = {**root["attributes"], **fields}
    return document(data, "zarr.json", attributes=seal(found, SEAL) if sealed else found)


def zipped(entries: list[tuple[str, bytes]], *, deflate: bool = False, year: int = 1980) -> bytes:
    """An archive as other writers make it."""
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, date_time=(year, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.compress_type = 3, 0o100644 << 16, kind
            archive.writestr(info, content)
    return buffer.getvalue()


def archive_cases(sound: bytes) -> Iterator[Case]:
    """What no archive may be, shown on a sound one."""
    entries = sorted(members_of(sound).items())
    first = entries[0][0]
    yield "empty", b"", "E_STORE", "no bytes at all"
    yield "not-a-zip", b"PK" + bytes(60), "E_STORE", "not an archive"
    yield "cut-short", sound[:-1], "E_STORE", "the last byte is missing"
    yield "tail", sound + b"\0", "E_STORE", "a byte behind the archive"
    yield "head", b"#!" + sound, "E_STORE", "bytes before the archive"
    yield "comment", sound[:-2] + b"\x01\0x", "E_STORE", "an archive comment"
    yield "deflated", zipped(entries, deflate=True), "E_STORE", "compressed members"
    yield "dated", zipped(entries, year=2026), "E_STORE", "a time stamp"
    yield "unsorted", zipped(entries[::-1]), "E_STORE", "members not in the order of their names"
    yield (
        "extra-member",
        changed(sound, lambda m: m.update({"readme": b"hi"})),
        "E_STORE",
        "a member too many",
    )
    yield (
        "traversal",
        changed(sound, lambda m: m.update({"../x": b""})),
        "E_STORE",
        "a member outside the folder",
    )
    yield "absolute", changed(sound, lambda m: m.update({"/etc/x": b""})), "E_STORE", "a member at the root"
    yield "no-root", changed(sound, lambda m: m.pop("zarr.json")), "E_STORE", "no root document"
    with warnings.catch_warnings(action="ignore"):  # zipfile warns, and writes it
        twice = zipped([*entries, (first, b"")])
    yield "twice", twice, "E_STORE", "one member twice"
    root = json.loads(members_of(sound)["zarr.json"])
    spaced = json.dumps(root).encode()
    yield "spaced-root", changed(sound, lambda m: m.update({"zarr.json": spaced})), "E_STORE", "not canonical"
    nan = b'{"attributes":{"a":NaN},"node_type":"group","zarr_format":3}'
    yield "nan", changed(sound, lambda m: m.update({"zarr.json": nan})), "E_STORE", "NaN in the attributes"
    yield "root-array", document(sound, "zarr.json", node_type="array"), "E_STORE", "the root is an array"
    yield "zarr-v2", document(sound, "zarr.json", zarr_format=2), "E_STORE", "zarr format 2"
    yield "consolidated", document(sound, "zarr.json", consolidated_metadata=None), "E_STORE", "an extra key"
    kind = root["attributes"]["format"]
    yield "other-format", attributes(sound, format="ticketctl.mask"), "E_FORMAT", f"not a {kind}"
    yield (
        "newer-major",
        attributes(sound, format_version="2.0"),
        "E_VERSION",
        "a major version from the future",
    )
    features = [*root["attributes"]["features"], "ladder.quantum"]
    yield "feature", attributes(sound, features=features), "E_FEATURE", "a feature nobody has yet"
    yield "unknown-key", attributes(sound, more="x"), "E_STORE", "an attribute that 1.0 has not"
    yield "unsealed", attributes(sound, sealed=False, more="x"), "E_STORE", "attributes changed, digest not"
    zero = "sha256:" + "0" * 64
    yield "digest", attributes(sound, digest=zero), "E_STORE_DIGEST", "not the digest of its content"


def ladder_cases() -> Iterator[Case]:
    sound = ladders.encode_ladder(samples.full_ladder())
    yield from archive_cases(sound)
    path = "death/fc1.weight"
    chunk, doc = f"{path}/c/0/0", f"{path}/zarr.json"
    raw = samples.death()["fc1.weight"].tobytes()
    root = json.loads(members_of(sound)["zarr.json"])["attributes"]

    def stored(packed: bytes) -> bytes:
        return changed(sound, lambda m: m.update({chunk: packed}))

    def compress(content: bytes, **how: Any) -> bytes:
        options = {
            "cname": b"zstd",
            "clevel": 3,
            "shuffle": blosc.BITSHUFFLE,
            "blocksize": len(content),
            **how,
        }
        return bytes(blosc.compress(content, **options))

    good = compress(raw)
    bomb = good[:4] + struct.pack("<2I", 1 << 31 - 1, 1 << 31 - 1) + good[12:]
    yield (
        "missing-chunk",
        changed(sound, lambda m: m.pop(chunk)),
        "E_STORE",
        "a chunk is missing, zarr would fill",
    )
    yield (
        "extra-chunk",
        changed(sound, lambda m: m.update({f"{path}/c/1/0": m[chunk]})),
        "E_STORE",
        "too many",
    )
    yield "crc", stored(good + b"\0\0\0\0"), "E_STORE", "the checksum of a chunk does not match"
    yield "short-chunk", stored(b"\0"), "E_STORE", "a chunk shorter than its checksum"
    yield "bomb", stored(with_crc(bomb)), "E_STORE", "a chunk that says it unpacks to a gigabyte"
    yield "lz4", stored(with_crc(compress(raw, cname=b"lz4"))), "E_STORE", "another compressor inside blosc"
    yield "byte-shuffle", stored(with_crc(compress(raw, shuffle=blosc.SHUFFLE))), "E_STORE", "bytes shuffled"
    yield "longer", stored(with_crc(compress(raw + b"\0"))), "E_STORE", "a chunk with a byte too many"
    yield "blosc-tail", stored(with_crc(good + b"\0")), "E_STORE", "bytes behind the compressed ones"
    yield "torn", torn_split(), "E_STORE", "compressed bytes lost"
    yield "codec", document(sound, doc, codecs=[{"name": "bytes"}]), "E_STORE", "another codec chain"
    yield "fill", document(sound, doc, fill_value=3), "E_STORE", "another fill value"
    yield "type", document(sound, doc, data_type="int8"), "E_STORE", "another type"
    yield "shape", document(sound, doc, shape=[12, 5]), "E_STORE", "rows and columns exchanged"
    yield "claims", document(sound, doc, shape=[10**6, 10**7]), "E_STORE", "10^13 elements"
    yield "negative", document(sound, doc, shape=[-5, 12]), "E_STORE", "a negative size"
    yield (
        "no-death",
        changed(sound, lambda m: m.pop("death/zarr.json")),
        "E_STORE",
        "no document of the group",
    )
    odd = {name.replace("fc1.weight", "fc1..weight"): value for name, value in members_of(sound).items()}
    yield "name", pack_zip(odd), "E_STORE", "not the name of a parameter"
    yield "kept", attributes(sound, kept=[107, 80, 60, 40]), "E_COUNT", "levels keep other counts"
    yield "too-few-levels", attributes(sound, kept=root["kept"][:-1]), "E_STORE", "a level without a count"
    yield "id", attributes(sound, ticket_ids=["x"] * 4), "E_STORE", "not ids"
    yield "trajectory", attributes(sound, kind="trajectory"), "E_STORE", "a kind that 1.0 has not"
    yield "rounds", attributes(sound, rounds=255), "E_STORE", "more rounds than a byte tells apart"
    yield "accuracy-float", attributes(sound, accuracy=[0.5, None, None, None]), "E_STORE", "a float"
    yield (
        "accuracy-form",
        attributes(sound, accuracy=["0.50", None, None, None]),
        "E_STORE",
        "not the shortest form",
    )
    high = {name: array.copy() for name, array in samples.death().items()}
    high["fc1.weight"][0, 1] = 9
    forms = {f"death/{name}": (array, ladders._FORM) for name, array in high.items()}
    sealed = seal({**root, "digest": ladders.ladder_digest(high, 3)}, SEAL)
    yield "value", pack_group(sealed, forms, ["death"]), "E_STORE", "a round of death after the last round"
    empty = seal({**root, "digest": ladders.ladder_digest({}, 3)}, SEAL)
    yield "nothing", pack_group(empty, {}, ["death"]), "E_STORE", "no parameter at all"
    yield "padding", split_padding(), "E_STORE", "padding of the last chunk that is not zero"


def split_ladder() -> ladders.Ladder:
    """One array of 5 MiB, so two chunks, of one long run each."""
    values = np.zeros((5, 1 << 20), dtype="u1")
    values[2:] = 1
    kept = ladders.kept_per_level({"fc.weight": values}, 1)
    return ladders.Ladder({"fc.weight": values}, 1, kept, ("tk1" + "a" * 29, "tk1" + "b" * 29), (None, 0.25))


def torn_split() -> bytes:
    def tear(members: Members) -> None:
        packed = members["death/fc.weight/c/0/0"][:-4]
        members["death/fc.weight/c/0/0"] = with_crc(packed[:24] + bytes(len(packed) - 24))

    return changed(ladders.encode_ladder(split_ladder()), tear)


def split_padding() -> bytes:
    part = np.zeros((4, 1 << 20), dtype="u1")
    part[:] = 1  # one row is data, three are padding
    packed = blosc.compress(part.tobytes(), b"zstd", 3, blosc.BITSHUFFLE, part.nbytes)
    sound = ladders.encode_ladder(split_ladder())
    return changed(sound, lambda m: m.update({"death/fc.weight/c/1/0": with_crc(bytes(packed))}))


def unchecked(series: series_.Series, **fields: Any) -> bytes:
    """A series that the writer would refuse, with sound digests."""
    changed_ = replace(series, **fields)
    arrays = {name: getattr(changed_, name) for name in series_._FORMS if getattr(changed_, name) is not None}
    root = {
        "format": "ticketctl.series",
        "format_version": "1.0",
        "features": series_._features(arrays),
        "columns": list(changed_.columns),
        "samples": changed_.samples,
        "sample_digest": changed_.sample_digest,
        "digest": series_._digest(arrays),
    }
    return pack_group(
        seal(root, SEAL), {name: (array, series_._FORMS[name]) for name, array in arrays.items()}
    )


def series_cases() -> Iterator[Case]:
    good = replace(samples.series(), samples=11)
    sound = series_.encode_series(good)
    yield from archive_cases(sound)
    payload = good.scalars.copy()
    payload.view("u4")[0, 0] = 0x7FC00001
    bits = good.correct_bits
    assert bits is not None
    raw = good.scalars.tobytes()

    def stored(packed: bytes) -> bytes:
        return changed(sound, lambda m: m.update({"scalars/c/0/0": with_crc(packed)}))

    frame = bytes(zstd.compress(raw, 3, True))
    bomb = b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", 1 << 31) + frame[6:]
    yield "epochs", unchecked(good, epoch=good.epoch[:-1]), "E_STORE", "a row without an epoch"
    yield "columns", unchecked(good, columns=("a",)), "E_STORE", "a column without a name"
    yield "column-twice", unchecked(good, columns=("a", "a")), "E_STORE", "two columns of one name"
    yield "payload", unchecked(good, scalars=payload), "E_STORE", "a NaN that carries something"
    yield "padding", unchecked(good, correct_bits=bits | 0x80), "E_STORE", "bits beyond the last example"
    yield "samples", unchecked(good, samples=12), "E_STORE", "another number of examples"
    yield "no-samples", unchecked(good, samples=None), "E_STORE", "examples, but not how many"
    yield (
        "no-step",
        changed(sound, lambda m: [m.pop(k) for k in list(m) if "step" in k]),
        "E_STORE",
        "no step",
    )
    yield "features", attributes(sound, features=["series.scalars"]), "E_STORE", "does not name all it holds"
    yield "no-checksum", stored(bytes(zstd.compress(raw, 3, False))), "E_STORE", "zstd without its checksum"
    yield "bomb", stored(bomb), "E_STORE", "a frame that says it unpacks to two gigabytes"
    yield "no-size", stored(b"\x28\xb5\x2f\xfd\x04\x58" + frame[6:]), "E_STORE", "a frame that hides its size"
    yield "torn", stored(frame[:-5] + b"\0" + frame[-4:]), "E_STORE", "compressed bytes lost"
