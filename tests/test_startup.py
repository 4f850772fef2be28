"""What a command costs before it begins: torch takes seconds to import, so the light commands never do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ask

HEAVY = ("torch", "torchvision", "zarr", "huggingface_hub", "numpy", "matplotlib", "sklearn")

CODE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from ticketctl.cli.app import app, guarded
loaded = {}
for line in sys.argv[1:]:
    sys.argv = ["ticketctl", *line.split()]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as log:
        code = guarded(app)
    assert code == 0, (line, log.getvalue())
    loaded[line] = sorted(name for name in sys.modules if "." not in name)
print(json.dumps(loaded))
"""


def _loaded(folder: Path, *lines: str) -> dict[str, set[str]]:
    """Top-level modules that a fresh process has after each of these commands, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *lines],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return {line: set(names) for line, names in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small ticket."""
    folder = tmp_path_factory.mktemp("startup")
    assert ask(folder, "draw", "--epochs", "1", "--rounds", "1", "--quiet").code == 0
    return folder


def test_help_is_light(tmp_path: Path) -> None:
    for line, loaded in _loaded(tmp_path, "--version", "--help", "draw --help", "spend --help").items():
        assert "typer" in loaded
        assert not loaded & set(HEAVY), line


def test_light_commands_import_no_torch(workspace: Path) -> None:
    name = next(workspace.glob("runs/*/*/seed-0")).relative_to(workspace / "runs").as_posix()
    lines = ["recipes", "recipes draw/imp", "list methods", "list methods imp", "list data", "list", "list runs",
             "inspect", "inspect --level 1", f"inspect {name}/levels/1", "verify", f"verify {name}/levels/1",
             f"diff {name} {name}@1", "spend --dry-run", "draw --epochs 1 --rounds 1"]  # fmt: skip
    for line, loaded in _loaded(workspace, *lines).items():
        assert not loaded & {"torch", "torchvision", "huggingface_hub", "matplotlib", "sklearn"}, line


@pytest.mark.long
def test_the_check_can_fail(tmp_path: Path) -> None:
    loaded = _loaded(tmp_path, "--version", "list", "doctor")
    assert not loaded["--version"] & {"numpy", "torch"}
    assert "numpy" in loaded["list"]
    assert "torch" not in loaded["list"]
    assert "torch" in loaded["doctor"]
