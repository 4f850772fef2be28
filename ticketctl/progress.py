"""What long work tells whoever watches. Library code reports here and prints nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

EVENTS = "events.jsonl"
"""In the folder of a training: its history while it runs; the record has all of it in the end."""
ABOUT = "about.json"
"""Beside it: title, epochs in all, and epochs done when it was begun, or gone on with: when the file was written."""
JOB = "job.json"
"""In the work of a draw: how many trainings it takes, as far as that was known when it began."""


class Reporter(Protocol):
    """Receives progress; every method returns at once."""

    def job(self, title: str, fits: int) -> None:
        """A job of `fits` trainings begins."""

    def phase(self, name: str, epochs: float, done: float) -> None:
        """One training of `epochs` begins, `done` of which were trained before."""

    def epochs(self, done: float, values: Mapping[str, float]) -> None:
        """`done` epochs of the current training are over; `values` are its newest metrics."""

    def note(self, text: str) -> None:
        """A line worth keeping in a log."""

    def remark(self, text: str) -> None:
        """A line that changes how a result is to be read: shown once in a command, also where progress is not."""

    def download(self, name: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes (None: not told) of the file `name` have arrived."""

    def work(self, name: str, done: float, total: float) -> None:
        """Of long work that is no training `done` seconds of about `total` are over; `name` is what is at it now."""

    def alive(self) -> None:
        """Long work that has nothing to tell is still at it; whoever listens may raise to end it here."""


class Silent:
    """Hears nothing."""

    # what each method is told stands in the protocol above, hence no docstrings (D102) here and below

    def job(self, title: str, fits: int) -> None: ...  # noqa: D102
    def phase(self, name: str, epochs: float, done: float) -> None: ...  # noqa: D102
    def epochs(self, done: float, values: Mapping[str, float]) -> None: ...  # noqa: D102
    def note(self, text: str) -> None: ...  # noqa: D102
    def remark(self, text: str) -> None:  # noqa: D102
        self.note(text)

    def download(self, name: str, done: int, total: int | None) -> None: ...  # noqa: D102
    def work(self, name: str, done: float, total: float) -> None: ...  # noqa: D102
    def alive(self) -> None: ...  # noqa: D102


class Attentive(Silent):
    """Passes on what is told, and asks `poll` each time, which may raise: for work that keeps no checkpoint."""

    def __init__(self, reporter: Reporter, poll: Callable[[], None]) -> None:
        self.reporter, self.poll = reporter, poll

    def note(self, text: str) -> None:  # noqa: D102
        self.poll()
        self.reporter.note(text)

    def remark(self, text: str) -> None:  # noqa: D102
        self.poll()
        self.reporter.remark(text)

    def download(self, name: str, done: int, total: int | None) -> None:  # noqa: D102
        self.poll()
        self.reporter.download(name, done, total)

    def work(self, name: str, done: float, total: float) -> None:  # noqa: D102
        self.poll()
        self.reporter.work(name, done, total)

    def alive(self) -> None:  # noqa: D102
        self.poll()
