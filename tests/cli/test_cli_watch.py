"""`ticketctl watch`: what it prints, on terminals of all sorts, and that it is light."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Program, ask
from ticketctl.cli.chart import Curve, Line, chart, linear, sparsities
from ticketctl.cli.complete import under_way
from ticketctl.cli.watch_frame import frame
from ticketctl.stages import underway
from ticketctl.stages.paper_marks import Marks
from ticketctl.stages.underway import work_in, works
from ticketctl.stages.watch import see

HEAVY = {
    "torch",
    "torchvision",
    "zarr",
    "numpy",
    "matplotlib",
    "huggingface_hub",
    "filelock",
}


def text_of(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def begun(folder: Path, accuracies: list[float]) -> Path:
    """A workspace with a draw that this process is at; it has no recipe, so no paper is asked."""
    draw = folder / "runs/net-data/imp-0123abcd/seed-0"
    files = {
        "intent.json": {},
        ".lock-owner.json": {"pid": os.getpid(), "host": socket.gethostname()},
        "work/job.json": {"trainings": 3},
        "work/fits/000/about.json": {"title": "level 0, dense", "epochs": "10", "done": "0"},
        "levels/0/run.json": level(1000, 0.9),
        "levels/1/run.json": level(500, 0.8),
    }
    for name, value in files.items():
        (draw / name).parent.mkdir(parents=True, exist_ok=True)
        (draw / name).write_text(json.dumps(value))
    history(draw, accuracies)
    return draw


def level(kept: int, accuracy: float) -> dict[str, object]:
    metrics = {"test.accuracy": repr(accuracy)}
    return {"kept": kept, "prunable": 1000, "level": 0, "status": "done", "metrics": metrics}


def history(draw: Path, accuracies: list[float]) -> None:
    rows = [{"epoch": repr(float(at)), "test.accuracy": repr(value)} for at, value in enumerate(accuracies)]
    (draw / "work/fits/000/events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


FAST = "from ticketctl.cli import app, watch; watch.EVERY = 0.1; app.main()"
"""The program, which looks again sooner."""


class Terminal:
    """The program at a terminal of its own."""

    def __init__(self, folder: Path, *words: str, size: tuple[int, int] = (24, 80), **more: str) -> None:
        self.said = b""
        own = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            command = [sys.executable, "-c", FAST, "watch", *words]
            os.execve(command[0], command, {**own, "TERM": "xterm-256color", **more})  # our own program
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def until(self, found: Callable[[str], bool], seconds: float = 60) -> str:
        """What was shown until it is as wanted, or over."""
        deadline = time.monotonic() + seconds
        with suppress(OSError):  # of a terminal that nobody writes to any more
            while time.monotonic() < deadline and not found(self.text):
                if select.select([self.handle], [], [], 0.05)[0]:
                    self.said += os.read(self.handle, 1 << 16)
        return self.text

    @property
    def text(self) -> str:
        return self.said.decode(errors="replace")

    def leave(self, number: int | None = None) -> int:
        """Its exit code, after a signal."""
        if number is not None:
            os.kill(self.pid, number)
        self.until(lambda text: False)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(status)


def plain(text: str) -> str:
    """Without what moves the cursor or sets a style."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


# --------------------------------------------------------------------------------------------------------- the plot


def test_a_line_in_ascii_lies_where_its_numbers_are() -> None:
    x, y = linear([0, 12], 3, floor=0), linear([0, 4])
    assert x.ticks == (0, 10, 20)
    lines = text_of(chart([Curve(((0, 0), (20, 4)))], x, y, (24, 7), ascii_only=True))
    assert lines == [
        "4 |                  ***",
        "3 |             *****   ",
        "2 |        *****        ",
        "1 |   *****             ",
        "0 |***                  ",
        "  ++---------+---------+",
        "   0         10       20",
    ]


def test_braille_dots_are_those_of_unicode() -> None:
    x, y = linear([0, 1], 2), linear([0, 1], 2)
    one = chart([Curve(((0, 1),))], x, y, (17, 5), ascii_only=False)
    assert text_of(one)[0] == "1 │⠁             "  # U+2801: the dot in the upper left corner
    assert text_of(chart([Curve(((1, 0),))], x, y, (17, 5), ascii_only=False))[2].endswith(
        "\u2880"
    )  # lower right


def test_marks_are_faint_lie_below_the_curve_and_leave_out_what_is_beyond_the_axes() -> None:
    x, y = sparsities([0, 99]), linear([90, 95])
    marks = Curve(((0, 90), (50, 93), (99.95, 92), (10, 20)), "marks", "x", "faint")
    lines = chart([marks, Curve(((0, 90),), style="curve")], x, y, (60, 10), ascii_only=True)
    signs = [segment for line in lines for segment in line[1:] if segment[0].strip()]
    assert [(text.strip(), style) for text, style in signs] == [("x", "faint"), ("*", "curve")]


def test_rounds_of_pruning_lie_equally_far_apart() -> None:
    x = sparsities(100 * (1 - 0.8**level) for level in range(11))
    places = [x.share(100 * (1 - 0.8**level)) for level in range(11)]
    assert places == pytest.approx([level / 10 for level in range(11)])


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 100.0], (0, 50, 100)),
        ([93.2, 95.1], (93, 93.5, 94, 94.5, 95, 95.5)),
        ([98.0], (97.5, 98.0, 98.5)),
    ],
)
def test_numbers_along_an_axis_are_round(values: list[float], ticks: tuple[float, ...]) -> None:
    assert linear(values, least=1.0).ticks == pytest.approx(ticks)


@pytest.mark.parametrize("last", [1.0, 2.5, 3.0, 10.0, 160.0])
def test_numbers_of_epochs_are_whole(last: float) -> None:
    x = linear([0.5, last], 7, floor=0.5, apart=1.0)
    assert all(tick == int(tick) for tick in x.ticks)
    assert x.ticks[-1] >= last
    assert len(x.ticks) <= 9


def test_a_name_without_room_is_cut_in_its_middle_and_its_state_stays(tmp_path: Path) -> None:
    seen = see(work_in(begun(tmp_path, [0.1, 0.5])), time.time())
    long = replace(seen, what="draw by imp: lenet-300-100 on digits, seed 0")
    first = text_of(frame(long, (), (30, 40), ascii_only=False))[0]
    assert first == "draw by im…ts, seed 0: running"
    assert len(first) == 30
    assert text_of(frame(long, (), (30, 40), ascii_only=True))[0].isascii()
    assert text_of(frame(long, (), (80, 40), ascii_only=True))[0] == f"{long.what}: running"


def test_what_does_not_fit_is_not_drawn_and_nothing_is_wider_than_its_room() -> None:
    x, y = linear([0, 1e6], floor=0), linear([0.0001, 0.0002])
    for wide in range(60):
        for high in range(9):
            lines = text_of(
                chart([Curve(((0, 0.0001), (1e6, 0.0002)))], x, y, (wide, high), ascii_only=False)
            )
            assert len(lines) in (0, high)
            assert all(len(line) <= wide for line in lines)
    assert text_of(chart([], x, y, (60, 8), ascii_only=False))


# ------------------------------------------------------------------------------------------------------- one picture


def test_one_picture_says_where_a_draw_stands(tmp_path: Path) -> None:
    begun(tmp_path, [0.1, 0.5, 0.75])
    answer = ask(tmp_path, "watch")  # stdout is no terminal
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].endswith(": running")
    assert "in runs/net-data/imp-0123abcd/seed-0" in lines
    assert "training 1 of 3, level 0, dense: epoch 2 of 10" in lines
    assert any(line.startswith("test accuracy [%] by epoch; now test 75.00") for line in lines)
    assert any(
        line.startswith("test accuracy [%] against sparsity [%]; dotted: dense 90.00") for line in lines
    )
    assert lines[-1] == "2 done, the sparsest 50.00 % sparse: test 80.00 %"
    assert "\x1b" not in answer.out
    assert answer.err == ""


def test_a_finished_draw_is_shown_and_ends_with_0(tmp_path: Path) -> None:
    draw = begun(tmp_path, [0.1])
    shutil.rmtree(draw / "work")
    (draw / "ticket").mkdir()
    (draw / "ticket/ticket.json").write_text("{}")
    assert ask(tmp_path, "watch").out.splitlines()[0].endswith(": finished")
    found = ask(tmp_path, "watch", "--json").json["result"]
    assert (found["state"], found["training"], found["papers"]) == ("finished", None, [])
    assert [(one["sparsity"], one["accuracy"]) for one in found["levels"]] == [(0.0, 0.9), (0.5, 0.8)]
    shown = Terminal(tmp_path)
    assert shown.leave() == 0
    assert "finished" in shown.text


def test_what_is_no_work_is_one_line_and_exit_2(tmp_path: Path, bare: Program) -> None:
    assert "no workspace" in bare("watch").complaint
    assert bare("watch", "--once").code == 2
    draw = begun(tmp_path, [0.1])
    for wrong in ("nothing", str(draw / "intent.json"), ""):
        answer = ask(tmp_path, "watch", wrong)
        assert answer.code == 2
        assert answer.complaint
    assert ask(tmp_path, "watch", "nothing", "--json").json["error"]["exit_code"] == 2


def test_a_signal_before_the_first_picture_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, [0.1])
    monkeypatch.setattr(underway, "find", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    answer = ask(tmp_path, "watch", "--once")
    assert answer.code == 75
    assert answer.err == "ticketctl: no longer watching; work under way goes on by itself\n"


def test_names_in_files_stay_text(tmp_path: Path) -> None:
    draw = begun(tmp_path, [0.1])
    evil = "\x1b[2Jlevel\x07 [bold]0[/bold]\n"
    (draw / "work/fits/000/about.json").write_text(json.dumps({"title": evil, "epochs": "10", "done": "0"}))
    (draw / "work/sessions.json").write_text(json.dumps([{"command": ["ticketctl", evil]}]))
    (draw / ".lock-owner.json").unlink()
    out = ask(tmp_path, "watch").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[2Jlevel\\x07 [bold]0[/bold]\\x0a" in out


@pytest.mark.parametrize("wide", [20, 40, 80, 200])
def test_no_line_of_a_picture_is_wider_than_the_terminal(
    tmp_path: Path, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, [0.1, 0.5, 0.75])
    monkeypatch.setenv("COLUMNS", str(wide))
    lines = ask(tmp_path, "watch").out.splitlines()
    assert not [line for line in lines if len(line) > wide]
    assert lines[0].endswith(": running")
    assert any("│" in line for line in lines)


@pytest.mark.parametrize("high", [10, 12, 16, 24, 40, 60])
def test_a_picture_fits_the_terminal_and_a_small_one_keeps_the_training(
    tmp_path: Path, high: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names are short then
    seen = see(work_in(begun(Path(), [0.1, 0.5, 0.6])), time.time())
    for ascii_only in (False, True):
        lines = text_of(frame(seen, (), (60, high), ascii_only=ascii_only))
        assert len(lines) <= high
        assert any("by epoch" in line for line in lines) == (high > 10)
        assert any("against sparsity" in line for line in lines) == (high > 16)


def test_the_papers_marks_are_told_with_what_is_done_otherwise(tmp_path: Path) -> None:
    seen = see(work_in(begun(tmp_path, [0.1, 0.5])), time.time())
    marks = [Marks("003:11", ((0.0, 0.95), (0.9, 0.94)), ("epochs 100 instead of 200",))]
    lines = frame(seen, marks, (80, 40), ascii_only=True)
    assert "x: paper 003:11; here epochs 100 instead of 200" in text_of(lines)
    assert len([1 for line in lines for text, style in line[1:] if "x" in text and style == "faint"]) == 2


def test_levels_of_several_seeds_are_drawn_by_their_mean_and_diverged_ones_not_at_all(tmp_path: Path) -> None:
    draw = begun(tmp_path, [0.1])
    spend = draw / "spends/01234567"
    for name, value in {"1-seed-0": 0.9, "1-seed-1": 0.8, "0-seed-0": 0.85}.items():
        (spend / name).mkdir(parents=True)
        (spend / name / "run.json").write_text(json.dumps(level(500 if name[0] == "1" else 1000, value)))
    (spend / "2-seed-0").mkdir()
    (spend / "2-seed-0/run.json").write_text(json.dumps({**level(250, 0.1), "status": "diverged"}))
    seen = see(works(spend)[0], time.time())
    lines = text_of(frame(seen, (), (40, 20), ascii_only=True))
    drawn = [line for line in lines if "|" in line and "*" in line]
    assert len(drawn) == 1  # both at 85 %
    assert lines[-1].endswith("test diverged; 1 of 4 diverged")


def test_tab_offers_what_is_being_written_first(tmp_path: Path) -> None:
    draw = begun(tmp_path, [0.1])
    other = draw.parent / "seed-1"
    other.mkdir()
    (other / "intent.json").write_text("{}")
    context = SimpleNamespace(params={"workspace": tmp_path / "runs"})
    names = under_way(context, "net")  # type: ignore[arg-type]  # all of a context that is read
    assert names == [("net-data/imp-0123abcd/seed-0", "running"), ("net-data/imp-0123abcd/seed-1", "stopped")]


def test_watching_is_light(tmp_path: Path) -> None:
    begun(tmp_path, [0.1, 0.5])
    code = (
        "import sys; sys.argv = ['ticketctl', 'watch']\n"
        "from ticketctl.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "running" in done.stdout
    assert HEAVY & {*done.stderr.split()} == set()


# -------------------------------------------------------------------------------------------------------- a terminal


def test_a_terminal_shows_what_changes_and_keeps_the_last_picture(tmp_path: Path) -> None:
    draw = begun(tmp_path, [0.1, 0.5])
    shown = Terminal(tmp_path)
    assert "epoch 1 of 10" in plain(shown.until(lambda text: "epoch 1 of 10" in text))
    history(draw, [0.1, 0.5, 0.6, 0.7])
    (draw / "levels/1/run.json").write_text("{")
    assert "epoch 3 of 10" in plain(shown.until(lambda text: "epoch 3 of 10" in text))
    assert "levels/1/run.json: damaged" in shown.until(lambda text: "run.json: damaged" in text)
    (draw / ".lock-owner.json").unlink()
    assert shown.leave() == 0
    assert ": stopped" in plain(shown.text)
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")  # the cursor is there again


def test_a_workspace_in_which_nothing_was_begun_is_waited_for(tmp_path: Path) -> None:
    shown = Terminal(tmp_path)
    assert "waiting for runs …" in plain(shown.until(lambda text: "Ctrl-C ends" in text))
    draw = begun(tmp_path, [0.1, 0.5])
    assert "epoch 1 of 10" in plain(shown.until(lambda text: "epoch 1 of 10" in text))
    (draw / ".lock-owner.json").unlink()
    assert shown.leave() == 0


@pytest.mark.long
def test_waiting_ends_by_a_signal_and_a_folder_that_was_named_is_not_waited_for(tmp_path: Path) -> None:
    shown = Terminal(tmp_path)
    shown.until(lambda text: "Ctrl-C ends" in text)
    assert shown.leave(signal.SIGTERM) == 75
    assert "no longer watching" in shown.text
    for words in (("--once",), ("nowhere",)):
        refused = Terminal(tmp_path, *words)
        assert refused.leave() == 2
        assert "\x1b[?25l" not in refused.text or "\x1b[?25h" in refused.text


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_the_looking_alone_and_puts_the_terminal_right(
    tmp_path: Path, number: int, code: int
) -> None:
    draw = begun(tmp_path, [0.1, 0.5])
    shown = Terminal(tmp_path, NO_COLOR="1")
    shown.until(lambda text: "epoch 1 of 10" in text)
    assert shown.leave(number) == code
    assert "no longer watching; work under way goes on by itself" in shown.text
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown.text)  # no colour
    assert (draw / ".lock-owner.json").exists()


def test_a_terminal_that_cannot_move_its_cursor_gets_one_picture(tmp_path: Path) -> None:
    begun(tmp_path, [0.1, 0.5])
    shown = Terminal(tmp_path, TERM="dumb")
    assert shown.leave() == 0
    assert "\x1b" not in shown.text
    assert "epoch 1 of 10" in shown.text


@pytest.mark.long
def test_a_terminal_without_braille_gets_ascii(tmp_path: Path) -> None:
    begun(tmp_path, [0.1, 0.5])
    rich = Terminal(tmp_path, "--once")
    assert rich.leave() == 0
    assert not rich.text.isascii()
    shown = Terminal(tmp_path, "--once", TERM="linux")
    assert shown.leave() == 0
    assert shown.text.isascii()
    assert "|" in shown.text
