"""trajectory.zarr.zip (formats/trajectory/v1/spec.md): the masks that a training passed through.

A thousand masks of a large net are gigabytes once unpacked: writer and reader hold a chunk of sixteen at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ticketctl.artifacts.arrays import (
    Form,
    Group,
    Stored,
    array_members,
    chunk_member,
    is_parameter,
    pack_group,
    read_array,
    refuse_unread,
    stored_array,
    unpack_group,
)
from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.masks import MAX_PARAMETERS, matrix_shape, pack_rows, unpack_rows
from ticketctl.artifacts.records import Digest, Parameter, Part, Shape, Version, read_document, seal
from ticketctl.errors import ArtifactError

KEYFRAME = 16
"""Every so many rows one is whole, so that a mask is found without all that came before it."""
MAX_ROWS = 1 << 20
MAX_BYTES = 1 << 34
"""Of all rows together, unpacked."""
FEATURES = ("trajectory.xor",)
FOLDER = "bits"
SEAL = "attributes_digest"
_BITS = Form("uint8", "u1", "zstd", level=9, rows=KEYFRAME)
_STEP = Form("int64", "<i8", "zstd")


class Moves(Protocol):
    """A mask that moved, as a training hands it over: T masks over the same weights."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each masked parameter."""

    @property
    def step(self) -> NDArray[np.int64]:
        """Optimizer steps of the schedule that were done at each mask, shape [T]; the first is the initial mask's."""

    def masks(self) -> Iterator[Mapping[str, NDArray[np.bool_]]]:
        """The T masks, in order: parameter name to bool array, True = kept."""


@dataclass(frozen=True)
class Trajectory:
    """T masks over the same weights, checked; each is unpacked when it is asked for."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of each masked parameter, in the order of their names."""
    step: NDArray[np.int64]
    """Optimizer steps of the schedule that were done at each mask, shape [T], rising."""
    digest: str
    stored: Mapping[str, Stored]
    """Packed rows by parameter, uint8 [T, R, ceil(C / 8)]: XOR with the row before, but for every sixteenth."""

    def rows(self, t: int) -> dict[str, NDArray[np.bool_]]:
        """Mask `t`, 0 to T - 1.

        Raises:
            ValueError: no such row.
        """
        if not 0 <= t < len(self.step):
            raise ValueError(f"row {t} is not one of 0 to {len(self.step) - 1}")
        return {name: unpack_rows(self._packed(name, t), shape) for name, shape in self.shapes.items()}

    def masks(self) -> Iterator[dict[str, NDArray[np.bool_]]]:
        """All masks in order; each chunk is unpacked once."""
        parts: dict[str, NDArray[np.uint8]] = {}
        now: dict[str, NDArray[np.uint8]] = {}
        for t in range(len(self.step)):
            for name, stored in self.stored.items():
                if t % stored.chunk[0] == 0:
                    parts[name] = stored.part(t // stored.chunk[0])
                row = parts[name][t % stored.chunk[0]]
                now[name] = row if t % KEYFRAME == 0 else now[name] ^ row
            yield {name: unpack_rows(now[name], shape) for name, shape in self.shapes.items()}

    def _packed(self, name: str, t: int) -> NDArray[np.uint8]:
        stored = self.stored[name]
        rows, start = stored.chunk[0], t - t % KEYFRAME
        found = np.zeros(stored.shape[1:], dtype=np.uint8)
        for index in range(start // rows, t // rows + 1):
            part = stored.part(index)[max(0, start - index * rows) : t + 1 - index * rows]
            found ^= np.bitwise_xor.reduce(part, axis=0)
        return found


class TrajectoryAttributes(Part):
    """Attributes of the root group."""

    format: Literal["ticketctl.trajectory"]
    format_version: Version
    features: tuple[Literal["trajectory.xor"]]
    keyframe: Literal[16]
    shapes: Annotated[dict[Parameter, Shape], Field(min_length=1, max_length=MAX_PARAMETERS)]
    digest: Digest
    attributes_digest: Digest


def encode_trajectory(moves: Moves) -> bytes:
    """The archive of `moves`; zero-size parameters are left out.

    Raises:
        ValueError: no mask, steps that do not rise, another number of masks than steps, masks of other shapes, or
            more of them than a reader takes.
    """
    shapes = {name: tuple(shape) for name, shape in sorted(moves.shapes.items()) if 0 not in shape}
    fault = _fault(moves.step) or _too_much(shapes, len(moves.step))
    if fault:
        raise ValueError(fault)
    members = _members(moves, shapes)
    group = Group("the new trajectory", {}, members)
    stored = {name: stored_array(group, f"{FOLDER}/{name}", _BITS, limit=MAX_BYTES) for name in shapes}
    attributes = {
        "format": "ticketctl.trajectory",
        "format_version": "1.0",
        "features": list(FEATURES),
        "keyframe": KEYFRAME,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "digest": _digest(moves.step, shapes, stored),
    }
    return pack_group(seal(attributes, SEAL), {"step": (moves.step, _STEP)}, [FOLDER], members)


def decode_trajectory(data: bytes, *, where: str, limit: int = MAX_BYTES) -> Trajectory:
    """The trajectory in an archive that nobody vouches for, of at most `limit` bytes once unpacked.

    Every chunk is unpacked and checked, one at a time.

    Raises:
        ArtifactError: E_STORE, E_FORMAT, E_VERSION, E_FEATURE or E_STORE_DIGEST.
    """
    group = unpack_group(data, where=where, folders=[FOLDER])
    attributes = read_document(
        group.attributes,
        TrajectoryAttributes,
        kind="trajectory",
        where=where,
        code="E_STORE",
        features=FEATURES,
        sealed=SEAL,
    )
    step = read_array(group, "step", _STEP, limit=MAX_ROWS * 8)
    fault = _fault(step)
    if fault:
        raise ArtifactError("E_STORE", f"{where}: {fault}")
    stored = _stored(group, attributes, len(step), limit)
    digest = _digest(step, attributes.shapes, stored)
    refuse_unread(group)
    if digest != attributes.digest:
        raise ArtifactError("E_STORE_DIGEST", f"{where}: its content has the digest {digest}")
    return Trajectory({name: attributes.shapes[name] for name in sorted(stored)}, step, digest, stored)


def _stored(group: Group, attributes: TrajectoryAttributes, rows: int, limit: int) -> dict[str, Stored]:
    """The arrays, which must be those of the parameters that the attributes name."""
    names = [path.removeprefix(FOLDER + "/") for path in group.array_paths(FOLDER + "/")]
    odd = sorted({*names} ^ {*attributes.shapes}) or [name for name in names if not is_parameter(name)]
    if odd:
        raise ArtifactError("E_STORE", f"{group.where}: {odd[0][:80]!r} is not in both, shapes and {FOLDER}/")
    found = {}
    for name in sorted(names):
        array = stored_array(group, f"{FOLDER}/{name}", _BITS, limit=limit)
        expected = _bits_shape(attributes.shapes[name], rows)
        if array.shape != expected:
            raise ArtifactError(
                "E_STORE", f"{group.where}: {name}: {list(array.shape)} where {list(expected)} belongs"
            )
        found[name] = array
        limit -= math.prod(expected)
    return found


def _members(moves: Moves, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, bytes]:
    """The arrays of bits, made in one pass over the masks."""
    arrays = {name: _bits_shape(shape, len(moves.step)) for name, shape in shapes.items()}
    members: dict[str, bytes] = {}
    for name, shape in arrays.items():
        members |= array_members(f"{FOLDER}/{name}", shape, _BITS, [])
    pending: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in shapes}
    before: dict[str, NDArray[np.uint8]] = {}
    done = 0
    for t, masks in enumerate(moves.masks()):
        for name, rows in ((name, _rows(masks[name], shapes[name], name)) for name in shapes):
            pending[name].append(rows if t % KEYFRAME == 0 else rows ^ before[name])
            before[name] = rows
            length = _BITS.chunk(arrays[name])[0]
            if len(pending[name]) == length or t == len(moves.step) - 1:
                part = np.stack(pending[name])
                members |= chunk_member(f"{FOLDER}/{name}", arrays[name], _BITS, t // length, part)
                pending[name].clear()
        done = t + 1
    if done != len(moves.step):
        raise ValueError(f"{done} masks for {len(moves.step)} steps")
    return members


def _rows(mask: NDArray[np.bool_], shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise ValueError(f"{name}: {mask.dtype} {list(mask.shape)} where bool {list(shape)} belongs")
    return pack_rows(mask)


def _bits_shape(shape: tuple[int, ...], rows: int) -> tuple[int, int, int]:
    count, columns = matrix_shape(shape)
    return rows, count, -(-columns // 8)


def _digest(
    step: NDArray[np.int64], shapes: Mapping[str, tuple[int, ...]], stored: Mapping[str, Stored]
) -> str:
    """`sha256:` over steps, names, shapes and rows; every chunk is unpacked on the way.

    Raises:
        ArtifactError: E_STORE if a chunk is damaged, or a bit is set beyond the end of a row.
    """
    entries = [
        (name, None, (len(step), *shapes[name]), _pieces(stored[name], shapes[name])) for name in shapes
    ]
    return content_digest("trajectory", entries, np.ascontiguousarray(step, dtype="<i8").tobytes())


def _pieces(stored: Stored, shape: tuple[int, ...]) -> Iterator[bytes]:
    beyond = matrix_shape(shape)[1] % 8
    for index in range(len(stored)):
        part = stored.part(index)
        if beyond and (part[:, :, -1] >> beyond).any():
            raise ArtifactError(
                "E_STORE", f"{stored.group.where}: {stored.path}: bits beyond the end of a row"
            )
        yield part.tobytes()


def _fault(step: NDArray[np.int64]) -> str | None:
    """What is wrong with the steps, or None."""
    if step.dtype != np.dtype("<i8") or step.ndim != 1 or not 0 < len(step) <= MAX_ROWS:
        return f"step is int64 of 1 to {MAX_ROWS} rows, not {step.dtype} {list(step.shape)}"
    if step[0] < 0 or (step[1:] <= step[:-1]).any():
        return "the steps do not rise from 0 or more"
    return None


def _too_much(shapes: Mapping[str, tuple[int, ...]], rows: int) -> str | None:
    """What a reader would not take, or None."""
    odd = [name for name, shape in shapes.items() if not is_parameter(name) or len(shape) > 8]
    if odd or not 0 < len(shapes) <= MAX_PARAMETERS:
        return (
            f"1 to {MAX_PARAMETERS} masked parameters of at most 8 dimensions, not {(odd or ['none'])[0]!r}"
        )
    total = sum(math.prod(_bits_shape(shape, rows)) for shape in shapes.values())
    if total > MAX_BYTES:
        return f"{total} bytes of masks are more than a reader takes ({MAX_BYTES}); record fewer"
    return None
