"""Executions of one piece of work, kept for provenance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stages.tiny import Heard, around
from ticketctl.stages.sessions import Sessions


def remarks(folder: Path) -> list[str]:
    heard = Heard()
    Sessions(folder / "work", around(folder / "cache", reporter=heard))
    return heard.notes


def test_other_hardware_is_told_where_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chips = iter(["Chip A", "Chip A", "Chip B", "Chip B"])
    monkeypatch.setattr("ticketctl.train.device._cpu_name", lambda: next(chips))
    assert remarks(tmp_path) == []
    assert remarks(tmp_path) == []
    [said] = remarks(tmp_path)
    assert said.startswith("resumed on other hardware: Chip A, now Chip B")
    assert remarks(tmp_path) == []
    kept = json.loads((tmp_path / "work/sessions.json").read_text())
    assert [one["hardware"] for one in kept] == ["Chip A", "Chip A", "Chip B", "Chip B"]


def test_work_that_an_older_version_began_goes_on_silently(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/sessions.json").write_text(
        '[{"command":["ticketctl"],"started":"2026-11-20T00:00:00"}]'
    )
    assert remarks(tmp_path) == []
