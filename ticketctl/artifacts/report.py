"""reports/<kind>-<id>.zarr.zip (formats/report/v1/spec.md): what was measured of one trained net, and how."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.arrays import (
    Form,
    Group,
    pack_group,
    read_array,
    read_folders,
    refuse_unread,
    unpack_group,
)
from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.floats import is_quiet, quieted
from ticketctl.artifacts.ids import recipe_digest
from ticketctl.artifacts.records import WORD, read_document, seal, short_id, to_record
from ticketctl.artifacts.report_models import (
    FEATURES,
    SEAL,
    Better,
    Kind,
    MetricEntry,
    ReportAttributes,
    ReportData,
    Status,
    Subject,
    odd_subject,
    version_of,
)
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import parse_json
from ticketctl.store.tensors import MAX_DIMS

__all__ = ["MetricRow", "Report", "ReportData", "Subject", "decode_report", "encode_report", "report_id"]

MAX_BYTES = 1 << 30
"""Of all arrays of a report together, decoded."""
FOLDER, DOCUMENT = "array", "zarr.json"
_FORMS = {
    "float64": Form("float64", "<f8", "zstd", "NaN"),
    "float32": Form("float32", "<f4", "zstd", "NaN"),
    "int64": Form("int64", "<i8", "zstd"),
    "uint8": Form("uint8", "u1", "zstd"),
}
_BY_DTYPE = {np.dtype(form.dtype): form for form in _FORMS.values()}
_FLOAT = _FORMS["float64"]


@dataclass(frozen=True)
class MetricRow:
    """One value: `name` is its own, `metric` names the module that measured it, `n` over how many it was taken.

    `value` is finite if `status` is "done", None if it is "nan" (it came out as no finite number) or "absent" (it was
    not measured); `reason` says why, and is "" if done. `error` is its standard error, None where it has none.
    """

    name: str
    metric: str
    better: Better
    value: float | None
    error: float | None
    n: int
    status: Status = "done"
    reason: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What was measured of one trained net.

    `seeds`, `env` (versions, device, precision, flags) and `recipe` (the resolved table of the command) are plain JSON;
    `sources` maps the set of a samples file to its digest; `metrics` come back sorted by name; `arrays` are f8, f4, i8
    or u1 of at most 8 dimensions, by `<metric>/<name>`; `id` and `digest` are what its file states, else "".
    """

    kind: Kind
    subject: Subject
    data: ReportData
    seeds: Mapping[str, int]
    env: Mapping[str, Any]
    recipe: Mapping[str, Any]
    metrics: Sequence[MetricRow]
    sources: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    id: str = ""
    digest: str = ""

    def __repr__(self) -> str:
        return f"<Report {self.id:.11}: {self.kind} of {self.subject.run_id:.11}, {len(self.metrics)} values>"

    @property
    def file_name(self) -> str:
        """Where `encode_report` of it belongs in the folder of its run."""
        return f"reports/{self.kind}-{report_id(self)}.zarr.zip"


def encode_report(report: Report) -> bytes:
    """The archive of `report`; metrics are sorted by name, every NaN is written as the one quiet NaN.

    Raises:
        ValueError: what no reader takes: a name twice, a value where `status` has none, an array of another type, more
            than 8 dimensions or a metric that is not there, words that are no record.
        TypeError: something that is no plain JSON.
    """
    arrays = _arrays(report)
    attributes = _attributes(report, arrays)
    try:
        _check_arrays(_judged(attributes, "the new report"), arrays, "the new report")
    except ArtifactError as error:
        raise ValueError(str(error)) from None
    forms = {path: (array, _BY_DTYPE[array.dtype]) for path, array in arrays.items()}
    return pack_group(attributes, forms, _folders(arrays))


def decode_report(data: bytes, *, where: str) -> Report:
    """The report in an archive that nobody vouches for.

    Raises:
        ArtifactError: E_STORE, E_FORMAT, E_VERSION, E_FEATURE, E_REPORT_ID or E_STORE_DIGEST.
    """
    group = unpack_group(data, where=where)
    attributes = _judged(group.attributes, where)
    arrays = _read_arrays(group, len(attributes.metrics))
    _check_arrays(attributes, arrays, where)
    said = {name: getattr(attributes, name) for name in ("kind", "subject", "data", "seeds", "env", "recipe")}
    numbers = zip(arrays["value"].tolist(), arrays["error"].tolist(), strict=True)
    rows = (
        MetricRow(value=_or_none(value), error=_or_none(error), **dict(entry))
        for entry, (value, error) in zip(attributes.metrics, numbers, strict=True)
    )
    return Report(
        **said,
        metrics=tuple(rows),
        sources={source.set: source.digest for source in attributes.sources},
        arrays={path.removeprefix(f"{FOLDER}/"): arrays[path] for path in arrays if _below(path)},
        id=attributes.report_id,
        digest=attributes.digest,
    )


def report_id(report: Report) -> str:
    """`rp1...`, the identity of a report: all that `encode_report` writes of it.

    Raises:
        ValueError: as `encode_report`, or TypeError.
    """
    return str(_attributes(report, _arrays(report))["report_id"])


def _arrays(report: Report) -> dict[str, NDArray[Any]]:
    """Every array by its path, NaN in one form."""
    rows = _sorted(report)
    found: dict[str, NDArray[Any]] = {
        "value": np.array([math.nan if row.value is None else row.value for row in rows], "<f8"),
        "error": np.array([math.nan if row.error is None else row.error for row in rows], "<f8"),
    }
    found |= {f"{FOLDER}/{name}": array for name, array in sorted(report.arrays.items())}
    for path, array in found.items():
        if array.dtype not in _BY_DTYPE:
            raise ValueError(f"{path}: {array.dtype}; arrays of a report are {', '.join(_FORMS)}")
    return {path: quieted(array) if array.dtype.kind == "f" else array for path, array in found.items()}


def _attributes(report: Report, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    recipe = to_record(report.recipe)
    fields = ("name", "metric", "better", "n", "status", "reason", "protocol")
    rest = {
        "format": "ticketctl.report",
        **version_of(report.subject),
        "kind": report.kind,
        "subject": report.subject.model_dump(mode="json"),
        "data": report.data.model_dump(mode="json"),
        "seeds": dict(report.seeds),
        "env": to_record(report.env),
        "recipe": recipe,
        "recipe_digest": recipe_digest(recipe),
        "sources": [{"set": name, "digest": digest} for name, digest in sorted(report.sources.items())],
        "metrics": [to_record({name: getattr(row, name) for name in fields}) for row in _sorted(report)],
        "digest": _digest(arrays),
    }
    return seal({**rest, "report_id": _id(rest)}, SEAL)


def _judged(value: Mapping[str, Any], where: str) -> ReportAttributes:
    """The attributes of the root, judged but for what the arrays must say too."""
    found = read_document(
        value, ReportAttributes, kind="report", where=where, code="E_STORE", features=FEATURES, sealed=SEAL
    )
    if _id(value) != found.report_id:
        raise ArtifactError(
            "E_REPORT_ID", f"{where}: its content has the id {_id(value)}, not {found.report_id}"
        )
    fault = _unsorted("metrics", [entry.name for entry in found.metrics]) or odd_subject(found)
    fault = fault or _unsorted("sources", [source.set for source in found.sources])
    if recipe_digest(found.recipe) != found.recipe_digest:
        fault = "recipe_digest is not the digest of the recipe beside it"
    for entry in found.metrics:
        if (entry.status == "done") == bool(entry.reason):
            fault = f"{entry.name}: {entry.status}, and its reason is {entry.reason[:80]!r}"
    if fault:
        raise ArtifactError("E_STORE", f"{where}: {fault}")
    return found


def _read_arrays(group: Group, rows: int) -> dict[str, NDArray[Any]]:
    found = {path: read_array(group, path, _FLOAT, limit=8 * max(rows, 1)) for path in ("value", "error")}
    paths = [path for path in group.array_paths(f"{FOLDER}/") if path.count("/") == 2]
    read_folders(group, _folders(paths))
    left = MAX_BYTES
    for path in paths:
        found[path] = read_array(group, path, _form(group, path), limit=left)
        left -= found[path].nbytes
    refuse_unread(group)
    return found


def _form(group: Group, path: str) -> Form:
    """The form of an array, by the type that its document names; `read_array` judges the whole document."""
    where = f"{group.where}: {path}"
    document = parse_json(group.members[f"{path}/{DOCUMENT}"], where=where, code="E_STORE", canonical=True)
    named = document.get("data_type") if isinstance(document, dict) else None
    if not isinstance(named, str) or named not in _FORMS:
        raise ArtifactError("E_STORE", f"{where}: its data_type is not one of {', '.join(_FORMS)}")
    return _FORMS[named]


def _check_arrays(attributes: ReportAttributes, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Refuse arrays that do not fit the attributes, or that have another digest than they say."""
    modules = {entry.metric for entry in attributes.metrics}
    fault = _odd_value(attributes.metrics, arrays["value"], arrays["error"])
    for path, array in arrays.items():
        metric, _, name = path.removeprefix(f"{FOLDER}/").partition("/")
        if _below(path) and (
            metric not in modules or not re.fullmatch(WORD, name) or DOCUMENT in (metric, name)
        ):
            fault = f"{path[:200]!r} is not named after a metric that is here, and a word"
        elif array.ndim > MAX_DIMS:
            fault = f"{path} has more than {MAX_DIMS} dimensions"
        elif array.dtype.kind == "f" and not is_quiet(array):
            fault = f"{path}: a NaN other than the quiet one"
    if fault:
        raise ArtifactError("E_STORE", f"{where}: {fault}")
    if (found := _digest(arrays)) != attributes.digest:
        raise ArtifactError("E_STORE_DIGEST", f"{where}: its content has the digest {found}")


def _odd_value(metrics: Sequence[MetricEntry], values: NDArray[Any], errors: NDArray[Any]) -> str | None:
    """What is wrong with the values and their errors, or None."""
    if values.shape != (len(metrics),) or errors.shape != (len(metrics),):
        return f"value {list(values.shape)} and error {list(errors.shape)}, of {len(metrics)} metrics"
    for entry, value, error in zip(metrics, values, errors, strict=True):
        done = entry.status == "done"
        if not (math.isfinite(value) if done else math.isnan(value)):
            return f"{entry.name}: {entry.status}, and its value is {value}"
        if not (math.isnan(error) or (done and math.isfinite(error) and error >= 0)):
            return f"{entry.name}: {entry.status}, and its error is {error}"
    return None


def _folders(paths: Iterable[str]) -> list[str]:
    """The groups on the way to arrays."""
    below = {path.rpartition("/")[0] for path in paths if _below(path)}
    return [FOLDER, *sorted(below)] if below else []


def _below(path: str) -> bool:
    return path.startswith(f"{FOLDER}/")


def _sorted(report: Report) -> list[MetricRow]:
    return sorted(report.metrics, key=lambda row: row.name)


def _unsorted(what: str, names: Sequence[str]) -> str | None:
    return None if list(names) == sorted(set(names)) else f"{what} are not sorted, or one stands twice"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _id(attributes: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in attributes.items() if key not in ("report_id", SEAL)}
    return short_id("rp1", "report", rest)


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    entries = [(path, array.dtype.str[1:], array.shape, array.tobytes()) for path, array in arrays.items()]
    return content_digest("report", entries)
