"""`ticketctl audit` as a process: stopped by a signal it says so and leaves, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.stages.tiny import files_below
from tests.warm import Child, Warm
from ticketctl.store.locks import locked

COMMAND = (
    "audit", "--device", "cpu", "--metrics", "accuracy,cost,ece,fgsm,lime,ood",
    "--set", "metrics.cost.time=false", "--set", "metrics.lime.images=300", "--set", "audit.ood=['noise']",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    assert ask(folder, "draw", "-q", "--rounds", "1", "--epochs", "1", "--set", "train.threads=1").code == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All files of the run after an audit that nobody stopped."""
    home = Path(shutil.copytree(drawn, tmp_path_factory.mktemp("undisturbed") / "home"))
    assert ask(home, *COMMAND, "-q").code == 0
    return files_below(home)


@pytest.fixture
def home(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "home"))


def begin(folder: Path) -> Child:
    """Start the program, its imports made; signals during those: test_cli_early_signals.py."""
    out, err = (folder.parent / f"{name}.txt" for name in ("out", "err"))
    return Warm.one().begin(["ticketctl", *COMMAND], folder, os.environ, out, err)


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 75, id="SIGTERM"),
        # in forks of a warm process tests/audit_marathon.py does it in the fast run
        pytest.param(signal.SIGINT, 130, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_an_audit_that_is_stopped_says_so_and_the_same_command_goes_on(
    number: signal.Signals, code: int, home: Path, undisturbed: dict[str, bytes]
) -> None:
    process, end = begin(home), time.monotonic() + 60
    while not list(home.rglob("audit-work/fgsm-*")) and process.poll() is None:
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(number)
    try:
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert process.returncode == code, said
    assert time.monotonic() - began < 5
    assert "Traceback" not in said
    assert "the same command goes on" in said
    left = files_below(home)
    assert left.items() < undisturbed.items()
    assert not list(home.rglob("reports/*"))
    again = ask(home, *COMMAND, "-q")
    assert again.code == 0, again.err
    assert files_below(home) == undisturbed


def test_a_second_audit_of_the_same_run_gets_one_line_and_exit_code_7(home: Path) -> None:
    folder = max(home.rglob("run.json"), key=lambda path: path.stat().st_mtime).parent
    with locked(folder / "audit-work"):
        answer = ask(home, "audit", str(folder), "--metrics", "accuracy", "-q")
        record = ask(home, "audit", str(folder), "--metrics", "accuracy", "-q", "--json").json
    assert answer.code == 7
    assert len(answer.err.strip().splitlines()) == 1
    assert "is writing there; wait for it" in answer.complaint
    assert record["error"]["code"] == "E_LOCKED"
    assert ask(home, "audit", str(folder), "--metrics", "accuracy", "-q").code == 0


def test_a_file_where_a_folder_should_be_gets_one_line(home: Path) -> None:
    for name in ("audit-work", "samples", "reports"):
        folder = max(home.rglob("run.json"), key=lambda path: path.stat().st_mtime).parent
        (folder / name).write_text("mine")
        answer = ask(home, "audit", str(folder), "--metrics", "accuracy", "-q")
        assert answer.code == 10, answer.err
        assert len(answer.err.strip().splitlines()) == 1
        assert str(folder / name) in answer.complaint
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
        shutil.rmtree(folder / "audit-work", ignore_errors=True)
