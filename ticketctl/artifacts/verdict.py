"""verdicts/verdict-<id>/ (formats/verdict/v1/spec.md): a verdict and the reports that it was taken from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.folder import Check, run_check
from ticketctl.artifacts.records import read_document, seal, short_id
from ticketctl.artifacts.report import Report, decode_report, encode_report
from ticketctl.artifacts.verdict_models import FEATURES, Verdict
from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import link_or_copy, make_folder, member, read_bytes, write_atomic

__all__ = [
    "Judged", "Verdict", "encode_verdict", "lean", "open_verdict", "parse_verdict", "verdict_of", "verify_verdict",
    "write_verdict",
]  # fmt: skip

MANIFEST, REPORTS, SEAL = "verdict.json", "reports", "manifest_digest"
MAX_MANIFEST, MAX_REPORT = 4 << 20, 1 << 31
READ = ("corruption/wrong",)
"""The arrays of a report that a verdict is read from."""
MAX_READ = 1 << 30
"""Bytes of them, of all reports together."""


@dataclass(frozen=True)
class Judged:
    """An opened verdict: its document is judged by itself; each report when it is read."""

    folder: Path
    verdict: Verdict

    def reports(self) -> dict[str, Report]:
        """Every report that the verdict names, by its id; one after another, of its arrays `READ` alone are kept.

        Raises:
            ArtifactError: E_FILE_MISSING, E_PATH, E_REPORT_ID (another report), what is wrong with it; E_VERDICT, their
                arrays are too large.
            ResourceError: one does not fit into memory.
        """
        found, left = {}, MAX_READ
        for name in report_ids(self.verdict):
            found[name] = _lean(self.folder, name)
            left -= sum(array.nbytes for array in found[name].arrays.values())
            if left < 0:
                raise ArtifactError(
                    "E_VERDICT", f"{self.folder}: {READ[0]} of its reports is over {MAX_READ} bytes"
                )
        return found


def verdict_of(fields: Mapping[str, Any]) -> Verdict:
    """The verdict with these fields (a record without format, id and seal), read back before it is handed out.

    Raises:
        ArtifactError: E_MANIFEST, what cannot be in one.
    """
    rest = {**fields, "format": "ticketctl.verdict", "format_version": "1.0", "features": list(FEATURES)}
    data = canonical_json(seal({**rest, "verdict_id": _id(rest)}, SEAL))
    return parse_verdict(data, where="the new verdict")


def encode_verdict(verdict: Verdict) -> bytes:
    """The canonical document of a verdict of version 1.0."""
    return canonical_json(verdict.model_dump(mode="json"))


def parse_verdict(data: bytes, *, where: str) -> Verdict:
    """Judge a document that nobody vouches for; whether its reports say the same is for `stages.verdict_check`.

    Raises:
        ArtifactError: E_MANIFEST, E_FORMAT, E_VERSION, E_FEATURE or E_VERDICT_ID.
    """
    value = parse_json(data, where=where, canonical=True)
    found = read_document(value, Verdict, kind="verdict", where=where, features=FEATURES, sealed=SEAL)
    if _id(value) != found.verdict_id:
        raise ArtifactError(
            "E_VERDICT_ID", f"{where}: its content has the id {_id(value)}, not {found.verdict_id}"
        )
    return found


def open_verdict(folder: Path) -> Judged:
    """The verdict in a folder; its reports are not looked for.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH, or as `parse_verdict`.
    """
    path = folder / MANIFEST
    return Judged(folder, parse_verdict(read_bytes(path, limit=MAX_MANIFEST), where=str(path)))


def write_verdict(root: Path, verdict: Verdict, reports: Iterable[Path | Report]) -> Path:
    """Write `verdict` and its reports below `root`, each report first and the document last; the folder.

    Args:
        root: where verdicts are kept; the folder is `verdict-<id>` in it.
        verdict: as `stages.verdict.judge` gives it.
        reports: those it was taken from, as files (given a second name, or copied) or as they are.

    Raises:
        ArtifactError: E_FILE_MISSING or E_PATH, of a report's file.
        ResourceError: something cannot be written.
        ValueError: a report of the verdict is not among them.
    """
    folder = root / f"verdict-{verdict.verdict_id}"
    make_folder(folder / REPORTS)
    wanted = dict.fromkeys(report_ids(verdict))
    for one in reports:
        data = encode_report(one) if isinstance(one, Report) else read_bytes(one, limit=MAX_REPORT)
        name = decode_report(data, where=str(one) if isinstance(one, Path) else "a report").id
        if name not in wanted:
            continue
        target = folder / REPORTS / _file(name)
        if isinstance(one, Path):
            link_or_copy(one, target)
        else:
            write_atomic(target, data)
        del wanted[name]
    if wanted:
        raise ValueError(f"no report {next(iter(wanted))} was handed over with the verdict")
    write_atomic(folder / MANIFEST, encode_verdict(verdict))
    return folder


def verify_verdict(folder: Path) -> list[Check]:
    """Judge the document and every report by themselves; what is wrong stands in the answer and raises nothing."""
    try:
        judged = open_verdict(folder)
    except ArtifactError as error:
        return [Check("manifest", False, str(error), error.code)]
    return [
        Check("manifest", True, f"verdict {judged.verdict.verdict_id}"),
        run_check("reports", lambda: f"{len(judged.reports())} reports, each as its id says"),
    ]


def lean(report: Report) -> Report:
    """The report with no arrays but `READ`, so that those of many nets fit into memory.

    Its `id` and `digest` are still those of the whole, while `report_id` and `file_name` are of what is left.
    """
    return replace(report, arrays={key: array for key, array in report.arrays.items() if key in READ})


def report_ids(verdict: Verdict) -> list[str]:
    """The reports that a verdict was taken from, each once, sorted."""
    return sorted(
        {one.report for net in verdict.nets for pair in net.pairs for one in (pair.net, pair.dense)}
    )


def _lean(folder: Path, name: str) -> Report:
    try:
        report = _report(folder, name)
    except MemoryError:
        path = f"{REPORTS}/{_file(name)}"
        raise ResourceError(f"{folder}: {path} does not fit into memory; judge on a larger machine") from None
    return lean(report)


def _report(folder: Path, name: str) -> Report:
    path = member(folder, f"{REPORTS}/{_file(name)}")
    report = decode_report(read_bytes(path, limit=MAX_REPORT), where=str(path))
    if (report.kind, report.id) != ("audit", name):
        raise ArtifactError("E_REPORT_ID", f"{path}: holds {report.kind} {report.id}")
    return report


def _file(name: str) -> str:
    return f"audit-{name}.zarr.zip"


def _id(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key not in ("verdict_id", SEAL)}
    return short_id("vd1", "verdict", rest)
