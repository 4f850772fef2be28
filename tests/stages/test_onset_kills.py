"""Killed at any moment, the search for an onset goes on and ends in the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "onset_marathon.py"


def marathon(*arguments: str) -> dict[str, Any]:
    """In a process of its own, which is warm and has one thread, so that it may fork."""
    quiet = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **quiet},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def test_killed_at_random_moments_and_around_some_writes_it_ends_in_the_same_bytes() -> None:
    summary = marathon("--kills", "2", "--points", "--every", "211")
    assert summary["identical"] == summary["runs"] >= 3
    assert summary["kills"] > summary["at_points"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_around_every_write_it_ends_in_the_same_bytes() -> None:
    summary = marathon("--kills", "50", "--points", "--seed", "1")
    assert summary["identical"] == summary["runs"]
    assert summary["at_points"] > 200
    assert summary["left_orphans"] > 20
