"""samples/<set>.safetensors (formats/samples/v1/spec.md): what one net said to the images of one set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.floats import is_quiet, quieted
from ticketctl.artifacts.records import (
    Digest,
    Part,
    Record,
    Text,
    Version,
    Word,
    read_document,
    to_record,
)
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

FOLDER = "samples"
"""Of a run, where its files lie."""
LIMIT = 1 << 34
"""Bytes of one file."""
KEY = "ticketctl"
FEATURES = ("samples.logits",)
NO_LABEL = -1
"""The label of an image that is of none of the net's classes."""
_DTYPES = {"logits": "<f4", "labels": "<i8", "index": "<i8"}

SetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,79}$")]


class SamplesData(Part):
    """The images: of which data set, which content of it, which part of it."""

    name: Word
    fingerprint: Text
    split: Word


class SamplesHeader(Part):
    """The metadata of a samples file."""

    format: Literal["ticketctl.samples"]
    format_version: Version
    features: tuple[Literal["samples.logits"]]
    set: SetName
    subject: Digest
    data: SamplesData
    protocol: Record
    digest: Digest


@dataclass(frozen=True, eq=False)
class Samples:
    """What the net with the weights digest `subject` said to the N images of one set, in K classes.

    `logits` is f4 [N, K], not all of it finite perhaps; `labels` i8 [N] in [0, K), or -1 (`NO_LABEL`); `index` i8 [N]
    the images' places in the data set, None where they are 0 to N - 1; `protocol` what else the answers depend on
    (corruption, severity, seed, BatchNorm policy, precision ...), plain JSON; `digest` what its file states, "" before
    it has one.
    """

    set: str
    subject: str
    data: SamplesData
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    index: NDArray[np.int64] | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    def places(self) -> NDArray[np.int64]:
        """The images' places in the data set, i8 [N]."""
        return np.arange(len(self.labels), dtype=np.int64) if self.index is None else self.index


def encode_samples(samples: Samples) -> bytes:
    """The file of `samples`; every NaN is written as the one quiet NaN, an index of 0 to N - 1 is left out.

    Raises:
        ValueError: dtypes, shapes, labels or places that no reader takes, or words that are no record.
        TypeError: a protocol that is no plain JSON.
    """
    arrays: dict[str, NDArray[Any]] = {"logits": samples.logits, "labels": samples.labels}
    if samples.index is not None:
        arrays["index"] = samples.index
    fault = _fault(arrays)
    if fault:
        raise ValueError(fault)
    if "index" in arrays and _counts_up(arrays["index"]):
        del arrays["index"]
    tensors = {name: Tensor.of(array) for name, array in arrays.items()}
    tensors["logits"] = Tensor.of(quieted(samples.logits))
    rest = {
        "format": "ticketctl.samples",
        "format_version": "1.0",
        "features": list(FEATURES),
        "set": samples.set,
        "subject": samples.subject,
        "data": samples.data.model_dump(mode="json"),
        "protocol": to_record(samples.protocol),
    }
    metadata = {KEY: canonical_json({**rest, "digest": _digest(rest, tensors)}).decode("utf-8")}
    try:
        read_samples_header(metadata, where="the new samples")
    except ArtifactError as error:
        raise ValueError(str(error)) from None
    return pack_tensors(tensors, metadata)


def decode_samples(data: bytes, *, where: str) -> Samples:
    """The samples in a file that nobody vouches for; the arrays are views of `data`, not to be written to.

    Raises:
        ArtifactError: E_FORMAT, E_VERSION, E_FEATURE, E_SAMPLES or E_SAMPLES_DIGEST.
    """
    tensors, metadata = parse_tensors(data, where=where)
    header, stated = read_samples_header(metadata, where=where)
    arrays = {name: tensor.array() for name, tensor in tensors.items()}
    fault = _fault(arrays)
    if fault is None and not is_quiet(arrays["logits"]):
        fault = "logits: a NaN other than 0x7fc00000"
    if fault is None and "index" in arrays and _counts_up(arrays["index"]):
        fault = "an index of 0 to N - 1 is left out"
    if fault:
        raise ArtifactError("E_SAMPLES", f"{where}: {fault}")
    found = _digest({key: value for key, value in stated.items() if key != "digest"}, tensors)
    if found != header.digest:
        raise ArtifactError(
            "E_SAMPLES_DIGEST",
            f"{where}: its content has the digest {found}, its header says {header.digest}",
        )
    logits, labels, index = arrays["logits"], arrays["labels"], arrays.get("index")
    return Samples(
        header.set, header.subject, header.data, logits, labels, index, header.protocol, header.digest
    )


def read_samples_header(
    metadata: Mapping[str, str], *, where: str
) -> tuple[SamplesHeader, Mapping[str, Any]]:
    """The judged metadata of a samples file, and the record as it stands there, which its digest covers.

    Raises:
        ArtifactError: E_FORMAT, E_VERSION or E_FEATURE.
    """
    if KEY not in metadata:
        raise ArtifactError("E_FORMAT", f"{where}: a safetensors file, but not samples of ticketctl")
    text = metadata[KEY].encode("utf-8", "surrogatepass")
    value = parse_json(text, where=where, code="E_FORMAT", canonical=True)
    header = read_document(
        value, SamplesHeader, kind="samples", where=where, code="E_FORMAT", features=FEATURES
    )
    return header, value


def _fault(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """What is not as it should be, or None; values of `logits` are not looked at."""
    odd = sorted({"logits", "labels"} - arrays.keys()) + sorted(arrays.keys() - _DTYPES.keys())
    if odd:
        return f"samples are logits, labels and perhaps an index: {odd[0][:80]!r}"
    wrong = [name for name, array in arrays.items() if array.dtype != np.dtype(_DTYPES[name])]
    if wrong:
        return f"{wrong[0]} is not {'float32' if wrong[0] == 'logits' else 'int64'}"
    shape, labels = arrays["logits"].shape, arrays["labels"]
    if len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
        return f"logits {list(shape)} are not those of an image or more, in two classes or more"
    for name in arrays.keys() - {"logits"}:
        if arrays[name].shape != shape[:1]:
            return f"{name} {list(arrays[name].shape)} is not one number for each of {shape[0]} images"
    if labels.min() < NO_LABEL or labels.max() >= shape[1]:
        return f"a label is neither one of {shape[1]} classes nor {NO_LABEL}"
    index = arrays.get("index")
    if index is not None and (index.min() < 0 or len(np.unique(index)) != len(index)):
        return "index: a place below 0, or one that stands twice"
    return None


def _counts_up(index: NDArray[Any]) -> bool:
    return np.array_equal(index, np.arange(len(index)))


def _digest(rest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    entries = [(name, tensor.dtype, tensor.shape, tensor.data) for name, tensor in tensors.items()]
    return content_digest("samples", entries, canonical_json(rest) + b"\0")
