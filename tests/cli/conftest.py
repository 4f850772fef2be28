"""The program in this process, on a workspace with a ticket of the embedded digits in it."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer

from ticketctl.cli.app import app, guarded

DRAW = ("draw", "--epochs", "1", "--rounds", "2", "--controls")


@dataclass(frozen=True)
class Answer:
    """What the program said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out
        found = json.loads(self.out)
        assert set(found) == {"schema", "ok", "result", "error"}
        assert found["schema"] == "ticketctl.cli.v1"
        assert found["ok"] == (self.code == 0)
        if not found["ok"]:
            assert set(found["error"]) == {"code", "exit_code", "message"}
            assert found["error"]["exit_code"] == self.code
        return dict(found)

    @property
    def repeat(self) -> str:
        """The command line that repeats it."""
        return next(line for line in self.err.splitlines() if line.startswith("repeat with: ")).split(
            ": ", 1
        )[1]

    @property
    def complaint(self) -> str:
        """The one line of an error."""
        lines = [line for line in self.err.splitlines() if line.startswith("ticketctl: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in self.err + self.out
        assert "a bug of ticketctl" not in lines[0]
        return lines[0]


Program = Callable[..., Answer]

built = cache(typer.main.get_command)
"""typer would look through all commands' options again for every line that is typed."""


def ask(folder: Path, *words: str) -> Answer:
    """The answer to `ticketctl WORDS`, typed in `folder`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["ticketctl", *words]
    try:
        with (
            chdir(folder),
            redirect_stdout(out),
            redirect_stderr(err),
            patch.object(typer.main, "get_command", built),
        ):
            code = guarded(app)
    finally:
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `ticketctl draw` was typed; nobody changes it."""
    folder = tmp_path_factory.mktemp("drawn")
    answer = ask(folder, *DRAW)
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def home(drawn: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(drawn, tmp_path / "home", copy_function=shutil.copy2)
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path) -> Program:
    """The program, typed in `home`."""
    return lambda *words: ask(home, *words)


@pytest.fixture
def read(drawn: Path) -> Program:
    """The program, typed in `drawn`, for commands that write nothing."""
    return lambda *words: ask(drawn, *words)


@pytest.fixture
def ticket(home: Path) -> Path:
    """The folder of the ticket in `home`."""
    return next(home.glob("runs/*/*/seed-0/ticket"))


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Program]:
    """The program, typed in an empty folder, in which it may leave nothing."""
    folder = tmp_path / "bare"
    folder.mkdir()
    yield lambda *words: ask(folder, *words)
    assert not list(folder.rglob("*"))
