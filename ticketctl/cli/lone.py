"""What `inspect` and `verify` say of a payload file by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ticketctl.cli.output import print_json, print_line, print_table, visible

if TYPE_CHECKING:
    from ticketctl.artifacts.report import Report


def show_lone(path: Path, json: bool) -> None:
    """Say what a samples file, a report or another payload file is.

    Raises:
        ArtifactError: it is damaged, or names no kind.
    """
    from ticketctl.artifacts.lone import KINDS, lone_record, open_lone
    from ticketctl.artifacts.report import Report
    from ticketctl.artifacts.samples import Samples

    kind, content = open_lone(path)
    if json:
        said = lone_record(content) if isinstance(content, Samples | Report) else {}
        print_json({"file": str(path), "format": kind, **said})
        return
    print_line(visible(f"{kind:<16}{KINDS[kind][1](content)}"))
    if isinstance(content, Samples):
        print_line(visible(f"{'net':<16}{content.subject}"))
        print_line(visible(f"{'data':<16}{content.data.name}, {content.data.split}"))
        for key, value in content.protocol.items():
            print_line(visible(f"{key:<16}{value}"))
    elif isinstance(content, Report):
        _show_values(content)


def _show_values(report: Report) -> None:
    rows = []
    for row in report.metrics:
        value = row.reason if row.value is None else f"{row.value:.6g}"
        error = "" if row.error is None else f"{row.error:.2g}"
        rows.append([row.name, value, error, str(row.n), {"none": ""}.get(row.better, row.better)])
    print_line("")
    print_table(["metric", "value", "s.e.", "n", "better"], rows)
