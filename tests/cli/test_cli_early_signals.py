"""A signal in the first tenths of a second, while the program is still being imported, ends it as documented."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("ticketctl")

CODE = """
import os, runpy, sys

class Tripwire:
    def find_spec(self, name, path=None, target=None):
        if name == at:
            os.kill(os.getpid(), number)

number, at, program = int(sys.argv[1]), *sys.argv[2:4]
sys.argv = sys.argv[3:]
sys.meta_path.insert(0, Tripwire())
runpy.run_path(program, run_name="__main__")
"""
"""The installed program itself, signalled where it imports a module: a time would hit another place on each machine."""

FIRST, LIBRARY, LAST, COMMANDS_OWN = (
    "ticketctl.cli",
    "typer.main",
    "ticketctl.cli.watch",
    "ticketctl.stages.request",
)


def _signalled(
    folder: Path, number: signal.Signals, at: str, *words: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, str(int(number)), at, str(PROGRAM), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("at", [FIRST, LIBRARY, LAST, COMMANDS_OWN])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_during_the_first_imports_is_one_line_and_the_documented_code(
    number: signal.Signals, code: int, at: str, tmp_path: Path
) -> None:
    done = _signalled(tmp_path, number, at, "draw")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "ticketctl: stopped at once\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("at", [LIBRARY, COMMANDS_OWN])
def test_with_json_it_is_an_object_too(at: str, tmp_path: Path) -> None:
    done = _signalled(tmp_path, signal.SIGTERM, at, "draw", "--json")
    error = {"code": "E_STOPPED", "exit_code": 75, "message": "stopped at once"}
    said = json.loads(done.stdout)
    assert said == {"schema": "ticketctl.cli.v1", "ok": False, "result": None, "error": error}
    assert done.returncode == 75


def test_without_a_signal_the_same_way_is_no_stop(tmp_path: Path) -> None:
    done = _signalled(tmp_path, signal.SIGTERM, "no.such.module", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("ticketctl ")
