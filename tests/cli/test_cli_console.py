"""Progress: a line now and then in a log, a bar on a terminal, silence when asked."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace

import pytest

from ticketctl.cli import console
from ticketctl.cli.console import Bars, Lines, Quiet, duration, shown, watching
from ticketctl.cli.output import percent, print_json, print_table, visible


def test_lines() -> None:
    with redirect_stderr(io.StringIO()) as log, watching(quiet=False) as reporter:
        assert isinstance(reporter, Lines)
        reporter.job("draw", 2)
        for name in ("level 0", "level 1"):
            reporter.phase(name, 2, 0)
            reporter.epochs(1, {"train.loss": 0.5})
            reporter.epochs(2, {"train.loss": 0.25, "test.accuracy": 0.5, "val.accuracy": float("nan")})
        reporter.download("mnist", 5_000_000, 10_000_000)
        reporter.download("mnist", 10_000_000, 10_000_000)
    assert log.getvalue().splitlines() == [
        "draw",
        "[1/2] level 0: epoch 2/2 loss 0.2500, test 50.00",
        "[2/2] level 1: epoch 2/2 loss 0.2500, test 50.00",
        "mnist: 10 of 10 MB",
    ]


def test_a_slow_download_has_its_first_line_soon_and_then_one_in_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: now[0]))
    lines, told = Lines(), []
    monkeypatch.setattr(lines, "print", lambda text: told.append((now[0], text)))
    for second in range(101, 181):
        now[0] = float(second)
        lines.download("mnist", second * 1_000_000, 180_000_000)
    assert [when for when, _ in told] == [105, 135, 165, 180]
    now[0] = 184.0
    lines.download("other", 1, 2)
    now[0] = 185.0
    lines.download("other", 1, 2)
    assert told[-1] == (185.0, told[-1][1])
    assert told[-1][1].startswith("other")


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = open(writing, "w")  # noqa: SIM115  (closing it would flush it)
    with redirect_stderr(log):
        Lines().note("hello")
    with pytest.raises(BrokenPipeError):
        log.close()


def test_quiet() -> None:
    with watching(quiet=True) as reporter:
        assert type(reporter) is Quiet


@pytest.mark.parametrize("quiet", [False, True])
def test_what_changes_how_a_result_is_read_is_said_once_and_under_quiet_too(quiet: bool) -> None:
    with redirect_stderr(io.StringIO()) as log, watching(quiet=quiet) as reporter:
        reporter.note("progress")
        for text in ("too short", "too short", "too late"):
            reporter.remark(text)
    assert log.getvalue().splitlines() == ["progress"] * (not quiet) + ["too short", "too late"]


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "━╺─"), ("ascii", "##-")])
def test_bars_keep_to_the_encoding(encoding: str, bar: str) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding) as stream, redirect_stderr(stream):
        bars = Bars()
        assert "".join(bars.signs) == bar
        bars.job("draw", 1)
        bars.phase("level 0", 2, 0)
        bars.epochs(1, {"train.loss": 0.5})
        bars.download("mnist", 1, 10)
        bars.epochs(2, {})
        bars.live.stop()
        stream.flush()
        assert b"level 0" in raw.getvalue()


def test_a_narrow_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    """On a terminal with TERM=dumb no control sequence is sent."""
    code = "from ticketctl.cli.console import watching\nwith watching(False) as r: r.job('hello', 1)"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "40"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True, timeout=60)
    os.close(theirs)
    assert os.read(ours, 1000).decode().strip() == "hello"
    os.close(ours)


def test_words_for_numbers() -> None:
    assert [duration(value) for value in (3, 89, 120, 5400, 7300, float("nan"))] == [
        "3 s", "89 s", "2 min", "1 h 30 min", "2 h 02 min", "?",
    ]  # fmt: skip
    assert shown({}) == ""
    assert percent(None) == percent(float("nan")) == "-"
    assert percent(0.12345) == "12.35" or percent(0.12345) == "12.34"


def test_names_out_of_files_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert visible("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\x0ac\\x202e"
    print_table(["name", "n"], [["\x1b[2J", "1"], ["long name", "22"]])
    assert capsys.readouterr().out == "name        n\n\\x1b[2J     1\nlong name  22\n"
    print_json({"nan": float("nan"), "list": [float("inf"), "é\udcff"]})
    assert '"result": {"nan": null, "list": [null, "\\u00e9\\udcff"]}' in capsys.readouterr().out
