"""A sweep killed at any moment goes on, and ends in the bytes of an undisturbed one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def marathon(*words: str) -> dict[str, Any]:
    run = [sys.executable, "-m", "tests.sweep_marathon", *words]
    said: dict[str, Any] = json.loads(subprocess.run(run, cwd=ROOT, check=True, capture_output=True).stdout)
    return said


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_forty_draws_and_eighty_spends_killed_twenty_times_end_in_the_same_bytes(tmp_path: Path) -> None:
    said = marathon(str(tmp_path), "--kills", "20")
    assert said["kills"] == 20
    assert said["exit"] == 0
    assert said["jobs"] == 120
    assert (said["identical"], said["beside"]) == (said["files"], 0)
    assert said["files"] > 120 * 3
