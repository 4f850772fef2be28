from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ticketctl.errors import LockedError
from ticketctl.store.files import TEMPORARY
from ticketctl.store.locks import locked

HOLD = "import sys; from pathlib import Path; from ticketctl.store.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(LockedError, match=f"process {holder.pid} on "), locked(tmp_path):
        pass


def test_a_killed_holder_frees_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / f"{TEMPORARY}x-1").write_bytes(b"half")
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        assert not (tmp_path / f"{TEMPORARY}x-1").exists()
        assert str(os.getpid()) in (tmp_path / ".lock-owner.json").read_text()
