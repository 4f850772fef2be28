"""Reports as they come to be: rows of what a plug-in found, parts kept until all are there, one file in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.report import MetricRow, Report, decode_report, encode_report
from ticketctl.errors import ArtifactError
from ticketctl.recipe import fingerprint
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import make_folder, read_bytes, sha256, write_atomic
from ticketctl.train.exam import Measurement

REPORTS = "reports"
"""Where they lie, below the folder of what was measured."""
EPOCH = "epoch"
"""In a report's recipe, and in the protocol of its rows: after which the run kept the weights that were measured."""
_LIMIT = 1 << 31


def read_report(path: Path) -> Report:
    """The report in a file.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    return decode_report(read_bytes(path, limit=_LIMIT), where=str(path))


@dataclass(frozen=True)
class Parts:
    """Reports of single plug-ins, each kept in a file whose name says what it is a function of."""

    folder: Path
    head: Callable[..., Report]
    """A report of the named plug-ins, without values."""

    def path(self, name: str) -> Path:
        """Where the part of `name` lies once it is measured."""
        return self.folder / f"{name}-{fingerprint(to_record(words(self.head(name))))}.zarr.zip"

    def digest(self, name: str) -> str:
        """Of all that it is a function of, whole."""
        return sha256(canonical_json(to_record(words(self.head(name)))))

    def kept(self, name: str) -> Report | None:
        """What was measured before, under the same words; None: nothing, or it is damaged."""
        path = self.path(name)
        with suppress(ArtifactError):
            part = read_report(path)
            if words(part) == to_record(words(self.head(name))):
                return part
        return None

    def keep(self, name: str, part: bytes) -> None:
        """Write it down, encoded."""
        make_folder(self.folder)
        write_atomic(self.path(name), part)


def words(head: Report) -> dict[str, Any]:
    """What a measurement is a function of."""
    return {
        "subject": head.subject.model_dump(mode="json"), "data": head.data.model_dump(mode="json"),
        "seeds": dict(head.seeds), "env": dict(head.env), "recipe": dict(head.recipe),
    }  # fmt: skip


def after(epoch: int | None) -> dict[str, int]:
    """What the recipe of a report says of the epoch: nothing, where it is of the net at its end."""
    return {} if epoch is None else {EPOCH: epoch}


def without(name: str, status: Any, reason: str) -> MetricRow:
    """The row of what has no value."""
    return MetricRow(name, name, "none", None, None, 0, status, reason)


def measured(head: Report, name: str, better: Mapping[str, str], found: Measurement) -> Report:
    """The report `head` with what the plug-in `name` found; what was measured after an epoch says so in every row."""
    if EPOCH in head.recipe:
        found = replace(found, protocol={EPOCH: head.recipe[EPOCH], **found.protocol})
    return replace(
        head,
        metrics=_rows(name, better, found),
        arrays={f"{name}/{key}": array for key, array in found.arrays.items()},
    )


def _rows(metric: str, better: Mapping[str, str], found: Measurement) -> tuple[MetricRow, ...]:
    rows = []
    for name, one in found.values.items():
        # mypy takes it for any text; the suites of plug-ins see to what stands in BETTER
        way: Any = next((better[key] for key in (name, name.partition(".")[0]) if key in better), "none")
        sound = isfinite(one.value)
        error = one.error if one.error is not None and isfinite(one.error) else None
        rows.append(
            MetricRow(
                name, metric, way, one.value if sound else None, error if sound else None, one.n,
                "done" if sound else "nan", "" if sound else f"came out as {one.value}", found.protocol,
            )
        )  # fmt: skip
    return tuple(rows)


def joined(head: Report, parts: Sequence[Report]) -> Report:
    """One report of all parts."""
    return replace(
        head,
        metrics=tuple(row for part in parts for row in part.metrics),
        sources={key: digest for part in parts for key, digest in part.sources.items()},
        arrays={key: array for part in parts for key, array in part.arrays.items()},
    )


def written(folder: Path, report: Report) -> Report:
    """The report as a reader sees it, in `reports/` of `folder`."""
    data = encode_report(report)
    found = decode_report(data, where="the new report")
    make_folder(folder / REPORTS)
    write_atomic(folder / found.file_name, data)
    return found
