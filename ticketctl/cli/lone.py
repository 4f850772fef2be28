"""What `inspect` and `verify` say of payload files by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.cli.compacted import compact_record, run_beside, show_compact
from ticketctl.cli.output import print_json, print_line, print_table, visible
from ticketctl.errors import ArtifactError

if TYPE_CHECKING:
    from ticketctl.artifacts.folder import Check
    from ticketctl.artifacts.report import Report
    from ticketctl.artifacts.samples import Samples


def show_lone(paths: Sequence[Path], wanted: str | None, json: bool) -> None:
    """Say what samples files, reports, compacted nets or other payload files are.

    Args:
        paths: one, or those of one folder.
        wanted: the kind that they are to be; None: any.
        json: as an object.

    Raises:
        ArtifactError: one is damaged, of no or another kind, or was made of another net than that of its run.
    """
    found = [(path, *_opened(path, wanted)) for path in paths]
    if json:
        records = [_record(*one) for one in found]
        print_json(records[0] if len(records) == 1 else {"folder": str(paths[0].parent), "files": records})
        return
    for number, (path, kind, content) in enumerate(found):
        if number:
            print_line("")
        if len(found) > 1:
            print_line(visible(f"{'file':<16}{path}"))
        _show(path, kind, content)


def verify_lone(paths: Sequence[Path], wanted: str | None) -> tuple[str, list[Check]]:
    """What payload files are ("file" if it cannot be told), and whether each is sound; nothing is raised."""
    from ticketctl.artifacts.folder import run_check
    from ticketctl.artifacts.lone import verify_lone as verify

    kind, checks = wanted, []
    for path in paths:
        found, judged = verify(path)
        kind = kind or found
        checks += judged
        if all(check.ok for check in judged) and (wanted or found == "compact"):
            checks.append(run_check("place", lambda path=path: _placed(path, wanted)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return kind or "file", checks


def _opened(path: Path, wanted: str | None) -> tuple[str, Any]:
    from ticketctl.artifacts.lone import open_lone

    kind, content = open_lone(path)
    if wanted not in (None, kind):
        raise ArtifactError("E_FORMAT", f"{path}: a file of {kind} where one of {wanted} belongs")
    return kind, content


def _placed(path: Path, wanted: str | None) -> str:
    """Whether a sound file belongs where it lies."""
    kind, content = _opened(path, wanted)
    if kind != "compact":
        return "of the kind that belongs there"
    compact_record(path, content)
    where = "beside it" if run_beside(path, content) else "not beside it: its channels were not compared"
    return f"{content.run}, {where}"


def _record(path: Path, kind: str, content: Any) -> dict[str, Any]:
    from ticketctl.artifacts.compact import Compact
    from ticketctl.artifacts.lone import lone_record
    from ticketctl.artifacts.report import Report
    from ticketctl.artifacts.samples import Samples

    said: dict[str, Any] = {}
    if isinstance(content, Samples | Report):
        said = lone_record(content)
    elif isinstance(content, Compact):
        said = compact_record(path, content)
    return {"file": str(path), "format": kind, **said}


def _show(path: Path, kind: str, content: Any) -> None:
    from ticketctl.artifacts.compact import Compact
    from ticketctl.artifacts.lone import KINDS
    from ticketctl.artifacts.report import Report
    from ticketctl.artifacts.samples import Samples

    record = compact_record(path, content) if isinstance(content, Compact) else {}
    print_line(visible(f"{kind:<16}{KINDS[kind][1](content)}"))
    if isinstance(content, Samples):
        _show_samples(content)
    elif isinstance(content, Report):
        _show_values(content)
    elif record:
        show_compact(record)


def _show_samples(samples: Samples) -> None:
    print_line(visible(f"{'net':<16}{samples.subject}"))
    print_line(visible(f"{'data':<16}{samples.data.name}, {samples.data.split}"))
    for key, value in samples.protocol.items():
        print_line(visible(f"{key:<16}{value}"))


def _show_values(report: Report) -> None:
    rows = []
    for row in report.metrics:
        value = row.reason if row.value is None else f"{row.value:.6g}"
        error = "" if row.error is None else f"{row.error:.2g}"
        rows.append([row.name, value, error, str(row.n), {"none": ""}.get(row.better, row.better)])
    print_line("")
    print_table(["metric", "value", "s.e.", "n", "better"], rows)
