"""Trajectories, sound and hostile, and runs that carry one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import zstd

from tests.artifacts import samples
from tests.artifacts.hostile_folders import Case as FolderCase
from tests.artifacts.hostile_folders import fields_with, replaced
from tests.artifacts.hostile_stores import (
    archive_cases,
    attributes,
    changed,
    document,
    members_of,
    with_crc,
)
from tests.artifacts.hostile_tensors import Case
from ticketctl.artifacts import trajectory as kind
from ticketctl.artifacts.arrays import pack_group
from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.records import seal
from ticketctl.artifacts.run import Run

SHAPES = {"conv.weight": (3, 1, 3, 3), "fc1.weight": (5, 12), "fc2.weight": (4, 5)}
ROWS = 19
"""More than one keyframe."""


@dataclass(frozen=True)
class Walk:
    """Masks in a list, as a training would hand them over."""

    shapes: Mapping[str, tuple[int, ...]]
    step: np.ndarray
    all: list[dict[str, np.ndarray]]

    def masks(self) -> Iterator[dict[str, np.ndarray]]:
        yield from self.all


def walk(
    rows: int = ROWS,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    last: Mapping[str, np.ndarray] | None = None,
) -> Walk:
    """Masks that differ in about a quarter of their bits from row to row; `last` replaces the last."""
    masks = []
    now = {name: np.zeros(shape, bool) for name, shape in shapes.items()}
    for t in range(rows):
        for name, shape in shapes.items():
            words = samples.words(int(np.prod(shape)), "walk", t, name).reshape(shape)
            now[name] = now[name] ^ (words % 4 == 0)
        masks.append(dict(now))
    if last is not None:
        masks[-1] = dict(last)
    return Walk(shapes, np.arange(rows, dtype="i8") * 4 // 3 + 4, masks)


def sound() -> dict[str, Walk]:
    """What readers must read."""
    odd = {"scale": (), "bias": (11,), "a.b.weight": (2, 3, 1, 2)}
    return {"moving": walk(), "one-row": walk(1), "odd-shapes": walk(33, odd), "keyframe": walk(17)}


def run(folder: Path) -> Run:
    """A run whose mask moved."""
    moves = walk(last=samples.ladder().mask(samples.ROUNDS))
    return samples.run(folder, trajectory=moves)


def forged(
    step: np.ndarray | None = None,
    bits: Callable[[dict[str, np.ndarray]], Any] = lambda bits: None,
    **fields: Any,
) -> bytes:
    """A trajectory that the writer would refuse, with a sound digest and seal."""
    moves = walk()
    step = moves.step if step is None else step
    found = kind.decode_trajectory(kind.encode_trajectory(moves), where="")
    arrays = {
        name: np.concatenate([stored.part(index) for index in range(len(stored))])
        for name, stored in found.stored.items()
    }
    bits(arrays)
    entries = [
        (name, None, (len(step), *SHAPES.get(name, ())), array.tobytes()) for name, array in arrays.items()
    ]
    root = {
        "format": "ticketctl.trajectory",
        "format_version": "1.0",
        "features": ["trajectory.xor"],
        "keyframe": 16,
        "shapes": {name: list(shape) for name, shape in SHAPES.items()},
        "digest": content_digest("trajectory", entries, step.astype("<i8").tobytes()),
        **fields,
    }
    packed = {f"bits/{name}": (array, kind._BITS) for name, array in arrays.items()}
    return pack_group(seal(root, kind.SEAL), {"step": (step, kind._STEP), **packed}, ["bits"])


def trajectory_cases() -> Iterator[Case]:
    sound_ = kind.encode_trajectory(walk())
    assert forged() == sound_
    yield from archive_cases(sound_)
    path = "bits/fc1.weight"
    chunk, doc = f"{path}/c/1/0/0", f"{path}/zarr.json"
    root = json.loads(members_of(sound_)["zarr.json"])["attributes"]
    steps = walk().step

    def stored(packed: bytes) -> bytes:
        return changed(sound_, lambda m: m.update({chunk: packed}))

    raw = np.zeros((16, 5, 2), "u1")
    sealed = bytes(zstd.compress(raw.tobytes(), 9, True))
    beyond = raw.copy()
    beyond[9] = 1
    bomb = b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", 1 << 31) + sealed[6:]
    yield "missing-chunk", changed(sound_, lambda m: m.pop(chunk)), "E_STORE", "a chunk is missing"
    yield (
        "first-chunk",
        changed(sound_, lambda m: m.pop(f"{path}/c/0/0/0")),
        "E_STORE",
        "the keyframe is missing",
    )
    more = changed(sound_, lambda m: m.update({f"{path}/c/2/0/0": m[chunk]}))
    yield "extra-chunk", more, "E_STORE", "a chunk after the last"
    yield "crc", stored(sealed + b"\0\0\0\0"), "E_STORE", "the checksum of a chunk does not match"
    yield (
        "no-checksum",
        stored(with_crc(bytes(zstd.compress(raw.tobytes(), 9, False)))),
        "E_STORE",
        "zstd unsealed",
    )
    yield "bomb", stored(with_crc(bomb)), "E_STORE", "a chunk that says it unpacks to two gigabytes"
    yield "torn", stored(with_crc(sealed[:-5] + b"\0" + sealed[-4:])), "E_STORE", "compressed bytes lost"
    longer = bytes(zstd.compress(beyond.tobytes(), 9, True))
    yield "padding", stored(with_crc(longer)), "E_STORE", "rows after the last mask"
    yield "codec", document(sound_, doc, codecs=[{"name": "bytes"}]), "E_STORE", "another codec chain"
    yield "fill", document(sound_, doc, fill_value=255), "E_STORE", "another fill value"
    yield "shape", document(sound_, doc, shape=[ROWS, 2, 5]), "E_STORE", "rows and columns exchanged"
    yield "claims", document(sound_, doc, shape=[10**6, 10**4, 10**4]), "E_STORE", "10^14 bytes"
    nobody = changed(sound_, lambda m: m.pop("bits/zarr.json"))
    yield "no-bits", nobody, "E_STORE", "no document of the group"
    yield (
        "no-step",
        changed(sound_, lambda m: [m.pop(k) for k in list(m) if "step" in k]),
        "E_STORE",
        "no steps",
    )
    wider = {**root["shapes"], "fc1.weight": [5, 17]}
    yield "columns", attributes(sound_, shapes=wider), "E_STORE", "a parameter of another shape than its bits"
    narrow = {**root["shapes"], "fc1.weight": [5, 9]}
    yield "narrower", attributes(sound_, shapes=narrow), "E_STORE", "bits beyond the end of a row"
    other = {**root["shapes"], "fc1.weight": [5, 3, 4]}
    yield "dimensions", attributes(sound_, shapes=other), "E_STORE_DIGEST", "as many bits in another shape"
    few = {name: shape for name, shape in root["shapes"].items() if name != "fc1.weight"}
    yield "stranger", attributes(sound_, shapes=few), "E_STORE", "bits of a parameter that is not named"
    many = {**root["shapes"], "fc3.weight": [1]}
    yield "absent", attributes(sound_, shapes=many), "E_STORE", "a parameter without bits"
    yield "nothing", attributes(sound_, shapes={}), "E_STORE", "no parameter at all"
    empty = {**root["shapes"], "fc1.weight": [0, 12]}
    yield "empty-parameter", attributes(sound_, shapes=empty), "E_STORE", "a parameter of size 0"
    yield "keyframe", attributes(sound_, keyframe=8), "E_STORE", "another distance of keyframes"
    yield "step-back", forged(steps[::-1].copy()), "E_STORE", "steps that fall"
    yield "step-twice", forged(steps // 2), "E_STORE", "two masks at one step"
    yield "step-negative", forged(steps - 5), "E_STORE", "a step before the first"
    wrap = steps.copy()
    wrap[0], wrap[1] = (1 << 63) - 1, -(1 << 63)
    yield "step-wrap", forged(wrap), "E_STORE", "a step so large that the next one seems to follow it"
    yield "step-few", forged(steps[:-1]), "E_STORE", "a mask without a step"
    yield "step-many", forged(np.append(steps, 99)), "E_STORE", "a step without a mask"

    def spill(bits: dict[str, np.ndarray]) -> None:
        bits["fc1.weight"][3, :, -1] |= 0x80

    yield "beyond", forged(bits=spill), "E_STORE", "a bit beyond the end of a row"

    def reserved(bits: dict[str, np.ndarray]) -> None:
        bits["__fc"] = bits.pop("fc1.weight")

    shapes = {name.replace("fc1.weight", "__fc"): list(shape) for name, shape in SHAPES.items()}
    yield "reserved", forged(bits=reserved, shapes=shapes), "E_STORE", "a name that zarr keeps for itself"


def run_cases() -> Iterator[FolderCase]:
    """Runs whose trajectory is not theirs."""
    zero = "sha256:" + "0" * 64
    name = "trajectory.zarr.zip"

    def other(moves: Walk) -> Callable[[Path], None]:
        data = kind.encode_trajectory(moves)
        digest = kind.decode_trajectory(data, where="").digest
        change = {"digest": digest, "rows": len(moves.step)}
        return lambda folder: replaced(folder, name, data, lambda f: f["trajectory"].update(change))

    yield "trajectory", lambda f: replaced(f, name, b"PK"), "E_STORE", "a trajectory that is no archive"
    yield "trajectory-last", other(walk()), "E_MASK_DIGEST", "its last mask is not the run's"
    late = walk(last=samples.ladder().mask(samples.ROUNDS))
    moved = Walk(late.shapes, late.step + 10, late.all)
    yield "trajectory-late", other(moved), "E_COUNT", "masks of steps that the training did not take"
    digest = fields_with(lambda f: f["trajectory"].update(digest=zero))
    yield "trajectory-digest", digest, "E_STORE_DIGEST", "another trajectory than the manifest says"
    rows = fields_with(lambda f: f["trajectory"].update(rows=3))
    yield "trajectory-rows", rows, "E_COUNT", "more masks than the manifest says"
    older = fields_with(lambda f: f.update(format_version="1.0"))
    yield "trajectory-version", older, "E_MANIFEST", "a key that version 1.0 has not"
    null = fields_with(lambda f: f.update(trajectory=None))
    yield "trajectory-null", null, "E_MANIFEST", "null where the key is left out"
    feature = fields_with(lambda f: f["features"].remove("trajectory.xor"))
    yield "trajectory-feature", feature, "E_MANIFEST", "uses what it does not name"
    yield "trajectory-missing", lambda folder: (folder / name).unlink(), "E_FILE_MISSING", "a file is missing"
