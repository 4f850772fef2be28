"""`ticketctl watch`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import under_way
from ticketctl.cli.output import print_json, print_line, terminal_width, visible
from ticketctl.cli.signals import Stop
from ticketctl.errors import StoppedError

if TYPE_CHECKING:
    from ticketctl.cli.chart import Line
    from ticketctl.stages.paper_marks import Marks
    from ticketctl.stages.underway import Work
    from ticketctl.stages.watch import Seen

EVERY = 2.0
"""Seconds between two looks."""
LINGER = 15.0
"""Seconds that one run of several may be over before the next is begun."""
LINES = 40
"""Of a picture that stands alone, about."""
STYLES = {"faint": "dim", "bold": "bold", "curve": "cyan", "": ""}


def watch(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR",
            help="Folder of a draw, of a run, or one that holds such; or an id. Default: the newest of the workspace.",
            autocompletion=under_way,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One picture, and no more.")] = False,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Show the curves of work under way, beside the command that is at it.

    A draw, spend, audit, probe, transfer or interpolation is shown as its files tell: the levels that are done, the
    training that goes on, how long it will take, what a paper prints for the recipe, as faint marks. In a folder of
    several, what is being written; a workspace in which nothing was begun is waited for. Nothing is locked or written,
    and Ctrl-C ends the looking alone (exit 130). When the work is over, its last state stays and the exit is 0. Where
    stdout is no terminal, and with --json, one picture is printed.

    Examples:

      ticketctl watch

      ticketctl watch runs/lenet-300-100-digits

      ticketctl watch --once --json
    """
    try:
        Stop().install()  # it is never called, and so raises at once, and the terminal is put right again
        if json or once or not _lively():
            _once(folder, workspace, json)
        else:
            _live(folder, workspace)
    except StoppedError as error:
        raise StoppedError("no longer watching; work under way goes on by itself", error.exit_code) from None


def _lively() -> bool:
    """Whether a picture can be drawn over the one before."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _once(folder: str | None, workspace: Path, json: bool) -> None:
    from ticketctl.stages.underway import find, work_in
    from ticketctl.stages.watch import see

    seen = see(work_in(find(folder, workspace)), time.time())
    marks = _marks(seen.work)
    if json:
        print_json(record(seen, marks))
        return
    for line in _lines(seen, marks, (terminal_width(), LINES)):
        print_line("".join(text for text, _ in line).rstrip())


def _live(folder: str | None, workspace: Path) -> None:
    """Pictures one over the other, until the work is over; before the first, as long as nothing was begun, a line."""
    from rich.console import Console
    from rich.live import Live

    from ticketctl.stages.underway import again, find, is_empty, work_in
    from ticketctl.stages.watch import see

    console = Console(highlight=False)
    marks: dict[Path, tuple[Marks, ...]] = {}
    ran = 0.0
    with Live(console=console, auto_refresh=False) as live:
        while folder is None and is_empty(workspace):
            live.update(_text(_waiting(workspace)), refresh=True)
            time.sleep(EVERY)
        root = find(folder, workspace)
        work = work_in(root)
        while True:
            now = time.time()
            seen = see(work, now)
            live.update(
                _text(_lines(seen, marks.get(work.folder, ()), (console.width, console.height - 1))),
                refresh=True,
            )
            if work.folder not in marks:  # tables take a second to read: not before the first picture
                marks[work.folder] = _marks(work)
                continue
            ran = now if work.state == "running" else ran
            if work.state != "running" and now - ran > (LINGER if work.kind != "draw" else 0.0):
                return
            time.sleep(EVERY)
            before = again(work)
            work = before if before is not None and before.state == "running" else work_in(root)


def _waiting(workspace: Path) -> list[Line]:
    dots = "..." if _is_plain() else "…"
    return [((f"waiting for {visible(str(workspace))} {dots}", ""),), (("Ctrl-C ends", "faint"),)]


def _lines(seen: Seen, marks: Sequence[Marks], size: tuple[int, int]) -> list[Line]:
    from ticketctl.cli.watch_frame import frame

    return frame(seen, marks, size, ascii_only=_is_plain())


def _is_plain() -> bool:
    """Whether the terminal has ASCII alone."""
    encoding = (sys.stdout.encoding or "utf-8").lower()
    return not encoding.startswith("utf") or os.environ.get("TERM") == "linux"  # its font has no braille


def _text(lines: Sequence[Line]) -> Any:
    from rich.text import Text

    found = Text(no_wrap=True, overflow="ellipsis")
    for number, line in enumerate(lines):
        found.append("\n" if number else "")
        for text, style in line:
            found.append(text, style=STYLES[style])
    return found


def _marks(work: Work) -> tuple[Marks, ...]:
    """What papers print for the recipe of a draw."""
    from ticketctl.stages.intent import NAME
    from ticketctl.stages.underway import read

    said = (read(work.folder / NAME) or {}).get("asked") if work.kind == "draw" else None
    recipe = said.get("recipe") if isinstance(said, dict) else None
    if not isinstance(recipe, dict):
        return ()
    from ticketctl.stages.paper_marks import marks_of

    return marks_of(recipe)


def record(seen: Seen, marks: Sequence[Marks]) -> dict[str, Any]:
    """What is seen and what papers print for it, as JSON has it: shares in [0, 1], times in seconds."""
    work, one = seen.work, seen.training
    training = None if one is None else {
        "title": one.title, "epoch": one.epoch, "epochs": one.epochs, "pace": one.pace,
        "checkpoint_age": None if one.checkpoint is None else seen.now - one.checkpoint,
        "rows": [dict(row) for row in one.rows],
    }  # fmt: skip
    return {
        "folder": str(work.folder), "kind": work.kind, "state": work.state, "what": seen.what,
        "diverged": seen.diverged, "process": None if work.owner is None else vars(work.owner),
        "written_ago": seen.now - work.touched, "left": seen.left, "number": seen.number,
        "trainings": seen.trainings, "training": training, "levels": [dict(vars(level)) for level in seen.levels],
        "parts": list(seen.parts), "command": list(seen.command), "remarks": list(seen.remarks),
        "papers": [dict(vars(one)) for one in marks],
    }  # fmt: skip
