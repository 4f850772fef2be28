"""compact/<name>.safetensors (formats/compact/v1/spec.md): the smaller net that a run's net was compacted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.records import Digest, Part, RunId, Version, read_document
from ticketctl.artifacts.weights import decode_weights, encode_weights
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

KEY = "ticketctl"
FEATURES = ("compact.channels",)
NET, ROWS, COLUMNS = "net.", "rows.", "columns."

Side = Annotated[int, Field(ge=1, le=1 << 31)]


class CompactHeader(Part):
    """The metadata of a compact file."""

    format: Literal["ticketctl.compact"]
    format_version: Version
    features: tuple[Literal["compact.channels"]]
    run: RunId
    subject: Digest
    image: tuple[Side, Side, Side]
    digest: Digest


@dataclass(frozen=True, eq=False)
class Compact:
    """A net with fewer channels, and which they are of the net it was made of.

    `run` and `subject` are the id and the weights digest of the run that trained it; `image` the channels, height and
    width of an image; `weights` the smaller net's state_dict; `rows` and `columns`, by the path of a layer or norm, the
    places (i8, rising) in the larger net's tensors that are left: outputs, and inputs where the layer has its own.
    `digest` is what its file states, "" before it has one.
    """

    run: str
    subject: str
    image: tuple[int, int, int]
    weights: Mapping[str, Tensor]
    rows: Mapping[str, NDArray[np.int64]]
    columns: Mapping[str, NDArray[np.int64]]
    digest: str = ""


def encode_compact(compact: Compact) -> bytes:
    """The file of `compact`.

    Raises:
        ValueError: what no reader takes: values that are not finite, places that do not rise, odd names.
    """
    tensors = {NET + name: tensor for name, tensor in compact.weights.items()}
    for head, places in ((ROWS, compact.rows), (COLUMNS, compact.columns)):
        tensors |= {head + path: Tensor.of(place.astype("<i8")) for path, place in places.items()}
    rest = {
        "format": "ticketctl.compact",
        "format_version": "1.0",
        "features": list(FEATURES),
        "run": compact.run,
        "subject": compact.subject,
        "image": list(compact.image),
    }
    header = canonical_json({**rest, "digest": _digest(rest, tensors)})
    data = pack_tensors(tensors, {KEY: header.decode("utf-8")})
    try:
        decode_compact(data, where="the new file")
    except ArtifactError as error:
        raise ValueError(str(error)) from None
    return data


def decode_compact(data: bytes, *, where: str) -> Compact:
    """The compacted net in a file that nobody vouches for; tensors are views of `data`.

    Raises:
        ArtifactError: E_FORMAT, E_VERSION, E_FEATURE, E_WEIGHTS or E_WEIGHTS_DIGEST.
    """
    tensors, metadata = parse_tensors(data, where=where)
    header, stated = _header(metadata, where)
    parts: dict[str, dict[str, Tensor]] = {NET: {}, ROWS: {}, COLUMNS: {}}
    for name, tensor in tensors.items():
        head = next((head for head in parts if name.startswith(head) and name != head), None)
        if head is None:
            raise ArtifactError(
                "E_WEIGHTS", f"{where}: {name[:80]!r} is neither the net's nor rows nor columns"
            )
        parts[head][name.removeprefix(head)] = tensor
    weights = decode_weights(_alone(parts[NET], where), where=where)
    rows, columns = (_places(parts[head], where) for head in (ROWS, COLUMNS))
    if odd := sorted(columns.keys() - rows.keys()):
        raise ArtifactError("E_WEIGHTS", f"{where}: columns of {odd[0][:80]!r} without its rows")
    found = _digest({key: value for key, value in stated.items() if key != "digest"}, tensors)
    if found != header.digest:
        raise ArtifactError(
            "E_WEIGHTS_DIGEST", f"{where}: its content has the digest {found}, it says {header.digest}"
        )
    return Compact(header.run, header.subject, header.image, weights, rows, columns, header.digest)


def _header(metadata: Mapping[str, str], where: str) -> tuple[CompactHeader, Mapping[str, Any]]:
    if KEY not in metadata:
        raise ArtifactError("E_FORMAT", f"{where}: a safetensors file, but no compacted net of ticketctl")
    text = metadata[KEY].encode("utf-8", "surrogatepass")
    value = parse_json(text, where=where, code="E_FORMAT", canonical=True)
    header = read_document(
        value, CompactHeader, kind="compact", where=where, code="E_FORMAT", features=FEATURES
    )
    return header, value


def _alone(tensors: Mapping[str, Tensor], where: str) -> bytes:
    """The net's own tensors as a weights file, to be judged like one."""
    try:
        return encode_weights(tensors)
    except ValueError as error:
        raise ArtifactError("E_WEIGHTS", f"{where}: {error}") from None


def _places(tensors: Mapping[str, Tensor], where: str) -> dict[str, NDArray[np.int64]]:
    found = {}
    for path, tensor in tensors.items():
        place = tensor.array()
        rising = place.ndim == 1 and tensor.dtype == "I64" and len(place) > 0 and place[0] >= 0
        if not rising or not (np.diff(place) > 0).all():
            raise ArtifactError("E_WEIGHTS", f"{where}: {path[:80]!r}: places are a rising list from 0 on")
        found[path] = place
    return found


def _digest(rest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    entries = [(name, tensor.dtype, tensor.shape, tensor.data) for name, tensor in tensors.items()]
    return content_digest("compact", entries, canonical_json(rest) + b"\0")
