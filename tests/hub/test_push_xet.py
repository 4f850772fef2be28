"""Through the Xet transport goes the same as through the plain one, and no byte twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.artifacts import samples
from tests.hub.fakehub import FakeHub

PROGRAM = Path(sys.executable).with_name("ticketctl")


def push(hub: FakeHub, folder: Path, *words: str) -> str:
    command = [str(PROGRAM), "push", "--yes", "-q", *words]
    done = subprocess.run(command, cwd=folder, env=hub.env(folder / "hf"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_a_draw_goes_by_xet_and_a_part_of_it_costs_nothing_more(tmp_path: Path) -> None:
    draw = tmp_path / "runs/toy-digits/imp-1/seed-0"
    ticket = samples.ticket(draw / "ticket")
    samples.run(draw / "levels/3", ticket_id=ticket.manifest.ticket_id)
    with FakeHub(tmp_path / "hub", xet=True) as hub:
        assert hub.xet is not None
        name = push(hub, tmp_path, "--runs", "--to", "ada/x")
        repo, size = hub.repos["ada/x"], hub.xet.size()
        assert name == f"hf://ada/x@{repo.head.sha}"
        assert hub.asked("PUT") == hub.asked(path="info/lfs") == []
        for path in ("mask.safetensors", "ladder.zarr.zip"):
            assert repo.head.files[path].xet
            assert repo.files[path] == (draw / "ticket" / path).read_bytes()
        pieces = sorted((tmp_path / "hub").rglob("xorbs/default.*"))
        push(hub, tmp_path, "--to", "ada/x")
        assert sorted((tmp_path / "hub").rglob("xorbs/default.*")) == pieces
        assert hub.xet.size() == size
        assert "levels/3/run.json" not in repo.files
        assert hub.leaks() == []
