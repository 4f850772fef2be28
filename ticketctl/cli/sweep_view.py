"""What a sweep shows while it runs: a live table on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ticketctl.cli.console import LINE_EVERY, duration
from ticketctl.cli.output import note, visible
from ticketctl.cli.status import progress, remaining

if TYPE_CHECKING:
    from ticketctl.stages.job_state import JobState
    from ticketctl.stages.jobs import Plan, PlanJob
    from ticketctl.stages.sweep import Swept, Watcher


@contextmanager
def view(plan: Plan, slots: int, quiet: bool) -> Iterator[Watcher]:
    """The watcher for this terminal, pipe or log; leaves the terminal as it was."""
    if quiet:
        yield Mute()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        board = Board(plan, slots)
        try:
            yield board
        finally:
            board.live.stop()
    else:
        yield Log(plan, slots)


class Mute:
    """Shows nothing."""

    # what each method is told stands in the protocol, hence no docstrings (D102) here and below

    def begun(self, job: PlanJob) -> None: ...  # noqa: D102
    def ended(self, job: PlanJob, state: JobState) -> None: ...  # noqa: D102
    def tick(self, swept: Swept) -> None: ...  # noqa: D102


class Log(Mute):
    """A line for each job that ends, and now and then one for all."""

    def __init__(self, plan: Plan, slots: int) -> None:
        self.plan, self.slots = plan, slots
        self.over, self.last = 0, time.monotonic()

    def ended(self, job: PlanJob, state: JobState) -> None:  # noqa: D102
        self.over += 1
        note(ended_line(job, state, self.plan))
        self.last = time.monotonic()

    def tick(self, swept: Swept) -> None:  # noqa: D102
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            note(head(swept, self.slots))


def ended_line(job: PlanJob, state: JobState, plan: Plan) -> str:
    """What became of a job."""
    from ticketctl.stages.retry import advised

    why = f": {advised(state.message, plan)}" if state.message and state.kind != "stopped" else ""
    return visible(f"{state.kind:8} {job.id}  {job.title} ({duration(state.seconds)}){why}")


def head(swept: Swept, slots: int) -> str:
    """How all stands, in a line."""
    counts = swept.counts()
    over = counts.get("done", 0) + counts.get("diverged", 0)
    left = remaining(swept)
    time_left = f", {duration(left / max(1, slots))} left" if left else ""
    bad = f", {counts['failed']} failed" if counts.get("failed") else ""
    return f"{over}/{len(swept.plan.jobs)} jobs done, {counts.get('running', 0)} running{bad}{time_left}"


class Board(Log):
    """A table of the jobs under way below the lines of those that ended, redrawn as they go on."""

    def __init__(self, plan: Plan, slots: int) -> None:
        super().__init__(plan, slots)
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True, highlight=False)
        self.live: Any = Live(console=self.console, transient=True, refresh_per_second=4)
        self.live.start()

    def ended(self, job: PlanJob, state: JobState) -> None:  # noqa: D102
        self.console.print(ended_line(job, state, self.plan), markup=False)

    def tick(self, swept: Swept) -> None:  # noqa: D102
        from rich.table import Table
        from rich.text import Text

        from ticketctl.stages.job_state import job_folder, said

        table = Table.grid(padding=(0, 2))
        for name, since in swept.under_way.items():
            job, state = swept.plan.by_id[name], said(job_folder(swept.plan.workspace, name))
            cells = [visible(job.title), progress(state), duration(time.monotonic() - since)]
            table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in cells))
        table.add_row(Text(head(swept, self.slots), no_wrap=True))
        self.live.update(table)
