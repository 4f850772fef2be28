"""Killed at any moment, the search for an onset goes on and ends in the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.warm import marathon


@pytest.mark.long
def test_killed_at_random_moments_and_around_some_writes_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon("onset_marathon.py", tmp_path, "--kills", "2", "--points", "--every", "211")
    assert summary["identical"] == summary["runs"] >= 3
    assert summary["kills"] > summary["at_points"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_around_every_write_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    summary = marathon("onset_marathon.py", tmp_path, "--kills", "50", "--points", "--seed", "1")
    assert summary["identical"] == summary["runs"]
    assert summary["at_points"] > 200
    assert summary["left_orphans"] > 20
