"""docs/read_report.py on the command line: a second reader tells samples and reports, and says what it cannot read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def read(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    command = [sys.executable, str(ROOT / "docs/read_report.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_samples_are_told_with_their_accuracy() -> None:
    path = next((ROOT / "formats/samples/v1/golden").glob("*.safetensors"))
    truth = json.loads(path.with_suffix(".truth.json").read_text())
    logits = np.array([[float(value) for value in row] for row in truth["logits"]])
    right = float((logits.argmax(1) == np.array(truth["labels"])).mean())
    assert read(str(path)) == (0, f"{truth['set']} accuracy {right}\n", "")


def test_a_report_is_told_by_its_rows() -> None:
    path = next((ROOT / "formats/report/v1/golden").glob("*.zarr.zip"))
    code, out, err = read(str(path))
    truth = json.loads(path.with_name(path.name.replace(".zarr.zip", ".truth.json")).read_text())
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [row["name"] for row in truth["metrics"]]


def test_without_a_file_it_says_how_it_is_used() -> None:
    for words in ((), ("a", "b")):
        code, out, err = read(*words)
        assert (code, out) == (2, "")
        assert err.startswith("usage: read_report.py")


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "formats/compact/v1/golden/whole.safetensors",
        "formats/series/v1/golden",
        "pyproject.toml",
        "nonesuch.safetensors",
    ],
)
def test_a_file_of_another_kind_gets_one_line(name: str) -> None:
    path = ROOT / name
    path = next(path.glob("*.zarr.zip")) if path.is_dir() else path
    code, out, err = read(str(path))
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith(f"{path}: no samples, no report, or damaged: ")
