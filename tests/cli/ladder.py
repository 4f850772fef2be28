"""A folder in which a ladder was drawn, and what lies there, as tests of `probe` and `interpolate` name it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import Report, decode_report

ROOT = Path(__file__).parents[2]
FEW = ("--set", "curves.line.alphas=3", "--set", "curves.line.sets=['val']")
PLANE = (
    "--metrics", "plane", "--set", "curves.plane.dimensions=1", "--set", "curves.plane.points=3",
    "--set", "curves.plane.images=50",
)  # fmt: skip


def seed_0(home: Path) -> str:
    """The draw's folder, as it is typed in `home`."""
    return str(next(home.glob("runs/*/imp-*/seed-0")).relative_to(home))


def levels(home: Path) -> tuple[str, str]:
    """The trained dense net and its first ticket."""
    return f"{seed_0(home)}/levels/0", f"{seed_0(home)}/levels/1"


def report_in(home: Path, record: Any) -> Report:
    return decode_report((home / record["file"]).read_bytes(), where="here")


def files(home: Path) -> dict[str, int]:
    """Every file, and when it was changed."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(home.rglob("*")) if path.is_file()}


def second_reading(file: Path) -> Any:
    """What docs/read_report.py, which knows no ticketctl, reads: attributes, and arrays by path."""
    spec = importlib.util.spec_from_file_location("read_report", ROOT / "docs/read_report.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_report(str(file))
