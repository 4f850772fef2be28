"""series.zarr.zip (formats/series/v1/spec.md): what one training measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.arrays import Form, Group, pack_group, read_array, refuse_unread, unpack_group
from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.floats import is_quiet, quieted
from ticketctl.artifacts.records import Count, Digest, Metric, Part, Version, read_document, seal
from ticketctl.errors import ArtifactError

MAX_BYTES = 1 << 30
SEAL = "attributes_digest"
FEATURES = ("series.scalars", "series.samples")
_FORMS = {
    "scalars": Form("float32", "<f4", "zstd", "NaN"),
    "epoch": Form("int32", "<i4", "zstd"),
    "step": Form("int64", "<i8", "zstd"),
    "forget_count": Form("uint16", "<u2", "zstd"),
    "correct_bits": Form("uint8", "u1", "zstd"),
}


@dataclass(frozen=True)
class Series:
    """One training: E rows of scalars (the first may be epoch 0, before training), N training examples.

    `scalars` is f4 [E, C], NaN where nothing was measured; `epoch` i4 [E]; `step` i8 [E]; `forget_count` u2
    [N]; `correct_bits` u1 [T, ceil(N / 8)], whose row i belongs to the epoch that ends at row i + 1 of
    `scalars` (T is the number of epochs trained, not E; bits as `np.packbits(correct, axis=-1,
    bitorder="little")`); `samples` is N, and may be left out when `forget_count` is there; `sample_digest` says
    which examples, in which order.
    """

    columns: tuple[str, ...]
    scalars: NDArray[np.float32]
    epoch: NDArray[np.int32]
    step: NDArray[np.int64]
    forget_count: NDArray[np.uint16] | None = None
    correct_bits: NDArray[np.uint8] | None = None
    sample_digest: str | None = None
    samples: int | None = None


class SeriesAttributes(Part):
    """Attributes of the root group."""

    format: Literal["ticketctl.series"]
    format_version: Version
    features: tuple[Literal["series.samples", "series.scalars"], ...]
    columns: tuple[Metric, ...]
    samples: Count | None
    sample_digest: Digest | None
    digest: Digest
    attributes_digest: Digest


def encode_series(series: Series) -> bytes:
    """The archive of `series`; every NaN is written as the one quiet NaN.

    Raises:
        ValueError: shapes that do not belong together, a column named twice, or bits set beyond N.
    """
    arrays = _arrays(series)
    count = series.samples
    if count is None and series.forget_count is not None:
        count = len(series.forget_count)
    fault = _fault(arrays, series.columns, count)
    if fault:
        raise ValueError(fault)
    attributes = {
        "format": "ticketctl.series",
        "format_version": "1.0",
        "features": _features(arrays),
        "columns": list(series.columns),
        "samples": count,
        "sample_digest": series.sample_digest,
        "digest": _digest(arrays),
    }
    forms = {name: (array, _FORMS[name]) for name, array in arrays.items()}
    return pack_group(seal(attributes, SEAL), forms)


def decode_series(data: bytes, *, where: str) -> Series:
    """The series in an archive that nobody vouches for.

    Raises:
        ArtifactError: E_STORE, E_FORMAT, E_VERSION, E_FEATURE or E_STORE_DIGEST.
    """
    group = unpack_group(data, where=where)
    attributes = read_document(
        group.attributes,
        SeriesAttributes,
        kind="series",
        where=where,
        code="E_STORE",
        features=FEATURES,
        sealed=SEAL,
    )
    arrays = _read_arrays(group)
    fault = _fault(arrays, attributes.columns, attributes.samples)
    if fault or list(attributes.features) != _features(arrays):
        raise ArtifactError("E_STORE", f"{where}: {fault or 'features do not name what is there'}")
    if _digest(arrays) != attributes.digest:
        raise ArtifactError("E_STORE_DIGEST", f"{where}: its content has the digest {_digest(arrays)}")
    scalars, epoch, step = (arrays[name] for name in ("scalars", "epoch", "step"))
    forget, correct = arrays.get("forget_count"), arrays.get("correct_bits")
    return Series(
        attributes.columns,
        scalars,
        epoch,
        step,
        forget,
        correct,
        attributes.sample_digest,
        attributes.samples,
    )


def _read_arrays(group: Group) -> dict[str, NDArray[Any]]:
    paths = group.array_paths()
    if not {"scalars", "epoch", "step"} <= set(paths) or not set(paths) <= set(_FORMS):
        raise ArtifactError(
            "E_STORE", f"{group.where}: a series holds scalars, epoch and step, not {paths[:5]}"
        )
    arrays = {path: read_array(group, path, _FORMS[path], limit=MAX_BYTES) for path in paths}
    refuse_unread(group)
    if not is_quiet(arrays["scalars"]):
        raise ArtifactError("E_STORE", f"{group.where}: a NaN other than 0x7fc00000")
    return arrays


def _arrays(series: Series) -> dict[str, NDArray[Any]]:
    found: Mapping[str, NDArray[Any] | None] = {
        "scalars": quieted(np.asarray(series.scalars, dtype="<f4")),
        "epoch": series.epoch,
        "step": series.step,
        "forget_count": series.forget_count,
        "correct_bits": series.correct_bits,
    }
    present = {name: array for name, array in found.items() if array is not None}
    wrong = [name for name, array in present.items() if array.dtype != np.dtype(_FORMS[name].dtype)]
    if wrong:
        raise ValueError(f"{wrong[0]} is not {_FORMS[wrong[0]].data_type}")
    return present


def _features(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    sampled = "forget_count" in arrays or "correct_bits" in arrays
    return ["series.samples", "series.scalars"] if sampled else ["series.scalars"]


def _fault(arrays: Mapping[str, NDArray[Any]], columns: tuple[str, ...], samples: int | None) -> str | None:
    """What does not fit together, or None."""
    rows = arrays["scalars"].shape[0] if arrays["scalars"].ndim == 2 else -1
    if arrays["scalars"].shape != (rows, len(columns)) or len(set(columns)) != len(columns):
        return f"scalars {list(arrays['scalars'].shape)} are not one column for each of {len(columns)} names"
    if arrays["epoch"].shape != (rows,) or arrays["step"].shape != (rows,):
        return f"epoch and step do not have the {rows} rows of scalars"
    if "forget_count" in arrays and arrays["forget_count"].shape != (samples,):
        return f"forget_count {list(arrays['forget_count'].shape)} is not one number for each of {samples}"
    correct = arrays.get("correct_bits")
    if correct is None:
        return None
    if samples is None or correct.ndim != 2 or correct.shape[1] != -(-samples // 8):
        return f"correct_bits {list(correct.shape)} do not hold one bit for each of {samples} examples"
    if samples % 8 and (correct[:, -1] >> (samples % 8)).any():
        return f"correct_bits are set beyond the last of {samples} examples"
    return None


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    entries = [(name, array.dtype.str[1:], array.shape, array.tobytes()) for name, array in arrays.items()]
    return content_digest("series", entries)
