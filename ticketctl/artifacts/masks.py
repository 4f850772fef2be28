"""mask.safetensors (formats/mask/v1/spec.md): one bit per weight, packed per output channel."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ticketctl.artifacts.digests import content_digest, refuse_other
from ticketctl.artifacts.records import (
    PARAMETER,
    Count,
    Digest,
    Parameter,
    Part,
    Shape,
    Version,
    read_document,
)
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.tensors import MAX_ELEMENTS, Tensor, pack_tensors, parse_tensors

KEY = "ticketctl"
SUFFIX = ":bits"
MAX_PARAMETERS = 4096
Keep = Mapping[str, NDArray[np.bool_]]


class MaskEntry(Part):
    """What the header says of one masked parameter."""

    shape: Shape
    kept: Count


class MaskHeader(Part):
    """The metadata of a mask file."""

    format: Literal["ticketctl.mask"]
    format_version: Version
    encoding: Literal["bits"]
    bitorder: Literal["little"]
    digest: Digest
    tensors: Annotated[dict[Parameter, MaskEntry], Field(max_length=MAX_PARAMETERS)]


def encode_mask(keep: Keep) -> bytes:
    """The mask file of `keep` (parameter name to bool array, True = kept). Zero-size parameters are left out.

    Raises:
        ValueError: no parameter at all, not bool, more than 8 dimensions, or not a state_dict name.
    """
    stored = _stored(keep)
    rows = {name: pack_rows(array) for name, array in stored.items()}
    header = {
        "format": "ticketctl.mask",
        "format_version": "1.0",
        "encoding": "bits",
        "bitorder": "little",
        "digest": _digest(stored, rows),
        "tensors": {
            name: {"shape": list(array.shape), "kept": int(np.count_nonzero(array))}
            for name, array in stored.items()
        },
    }
    tensors = {name + SUFFIX: Tensor.of(packed) for name, packed in rows.items()}
    return pack_tensors(tensors, {KEY: canonical_json(header).decode("utf-8")})


def decode_mask(data: bytes, *, where: str) -> dict[str, NDArray[np.bool_]]:
    """The bool arrays of a mask file that nobody vouches for, in the order of their names.

    Raises:
        ArtifactError: E_FORMAT, E_VERSION, E_MASK_SHAPE, E_MASK_PADDING, E_COUNT or E_MASK_DIGEST.
    """
    tensors, metadata = parse_tensors(data, where=where)
    header = read_mask_header(metadata, where=where)
    expected = {name + SUFFIX for name in header.tensors}
    if not expected or expected != tensors.keys():
        odd = sorted(expected ^ tensors.keys())[:1] or ["no tensor at all"]
        raise ArtifactError(
            "E_MASK_SHAPE", f"{where}: header and tensors do not name the same parameters: {odd[0]}"
        )
    rows = {name: _rows(tensors[name + SUFFIX], name, entry, where) for name, entry in header.tensors.items()}
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    found = _digest_of_rows(shapes, rows)
    if found != header.digest:
        raise ArtifactError(
            "E_MASK_DIGEST", f"{where}: its bits have the digest {found}, its header says {header.digest}"
        )
    return {name: unpack_rows(rows[name], shapes[name]) for name in sorted(rows)}


def claimed_mask(
    data: bytes, *, digest: str, kept: int, prunable: int, where: str
) -> dict[str, NDArray[np.bool_]]:
    """The bool arrays of a mask file, which are those that a manifest claims.

    Raises:
        ArtifactError: as `decode_mask`; E_MASK_DIGEST, E_COUNT where the manifest says otherwise.
    """
    keep = decode_mask(data, where=where)
    refuse_other("E_MASK_DIGEST", where, mask_digest(keep), digest)
    if counts(keep) != (kept, prunable):
        found, total = counts(keep)
        raise ArtifactError(
            "E_COUNT", f"{where}: keeps {found} of {total}, the manifest says {kept} of {prunable}"
        )
    return keep


def read_mask_header(metadata: Mapping[str, str], *, where: str) -> MaskHeader:
    """The judged metadata of a mask file.

    Raises:
        ArtifactError: E_FORMAT or E_VERSION.
    """
    if KEY not in metadata:
        raise ArtifactError("E_FORMAT", f"{where}: a safetensors file, but not a mask of ticketctl")
    text = metadata[KEY].encode("utf-8", "surrogatepass")
    value = parse_json(text, where=where, code="E_FORMAT", canonical=True)
    return read_document(value, MaskHeader, kind="mask", where=where, code="E_FORMAT")


def mask_digest(keep: Keep) -> str:
    """The identity of a mask: `sha256:` over names, shapes and bits (formats/mask/v1/spec.md).

    Raises:
        ValueError: as `encode_mask`.
    """
    stored = _stored(keep)
    return _digest(stored, {name: pack_rows(array) for name, array in stored.items()})


def counts(keep: Keep) -> tuple[int, int]:
    """How many weights are kept, of how many."""
    return sum(int(array.sum()) for array in keep.values()), sum(array.size for array in keep.values())


def pack_rows(keep: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits of `keep`, dim 0 as rows, eight to a byte, the lowest bit first. Shape [R, ceil(C / 8)]."""
    rows, columns = matrix_shape(keep.shape)
    return np.packbits(keep.reshape(rows, columns), axis=1, bitorder="little")


def unpack_rows(rows: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of `pack_rows`."""
    bits = np.unpackbits(rows, axis=1, count=matrix_shape(shape)[1], bitorder="little")
    return bits.view(np.bool_).reshape(shape)


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """R and C: output channels by the rest; one row for biases, one bit for a scalar."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def _stored(keep: Keep) -> dict[str, NDArray[np.bool_]]:
    for name, array in keep.items():
        if not re.fullmatch(PARAMETER, name) or len(name) > 200:
            raise ValueError(f"{name!r} is not the name of a parameter")
        if array.dtype != np.bool_ or array.ndim > 8:
            raise ValueError(f"{name}: a mask is a bool array of at most 8 dimensions")
    stored = {name: array for name, array in keep.items() if array.size}
    if not 0 < len(stored) <= MAX_PARAMETERS:
        raise ValueError(f"a mask has 1 to {MAX_PARAMETERS} parameters that are not empty, not {len(stored)}")
    return stored


def _digest(keep: Keep, rows: Mapping[str, NDArray[np.uint8]]) -> str:
    return _digest_of_rows({name: array.shape for name, array in keep.items()}, rows)


def _digest_of_rows(shapes: Mapping[str, tuple[int, ...]], rows: Mapping[str, NDArray[np.uint8]]) -> str:
    return content_digest(
        "mask", [(name, None, shapes[name], np.ascontiguousarray(rows[name]).data) for name in rows]
    )


def _rows(tensor: Tensor, name: str, entry: MaskEntry, where: str) -> NDArray[np.uint8]:
    count, columns = matrix_shape(entry.shape)
    if count * columns > MAX_ELEMENTS or tensor.dtype != "U8" or tensor.shape != (count, -(-columns // 8)):
        raise ArtifactError(
            "E_MASK_SHAPE",
            f"{where}: {name}: {tensor.dtype} {list(tensor.shape)} cannot hold {list(entry.shape)}: "
            f"U8 [{count}, {-(-columns // 8)}] would",
        )
    rows: NDArray[np.uint8] = tensor.array()
    if columns % 8 and (rows[:, -1] >> (columns % 8)).any():
        raise ArtifactError("E_MASK_PADDING", f"{where}: {name}: bits beyond the end of a row are set")
    kept = int(np.bitwise_count(rows).sum(dtype=np.int64))
    if kept != entry.kept:
        raise ArtifactError(
            "E_COUNT", f"{where}: {name}: {kept} weights are kept, its header says {entry.kept}"
        )
    return rows
