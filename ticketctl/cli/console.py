"""Progress on stderr: bars with an ETA on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ticketctl.cli.output import note
from ticketctl.progress import Reporter, Silent

LINE_EVERY = 30.0
"""Seconds between lines of a log."""
FIRST_AFTER = 5.0
"""Seconds until the first line of a download: so slow a one is worth a word."""


@contextmanager
def watching(quiet: bool) -> Iterator[Reporter]:
    """The reporter for this terminal, pipe or log; leaves the terminal as it was."""
    if quiet:
        yield Quiet()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        bars = Bars()
        try:
            yield bars
        finally:
            bars.live.stop()
    else:
        yield Lines()


class Quiet(Silent):
    """Says nothing but what changes how a result is to be read, of each text once."""

    def __init__(self) -> None:
        self.remarked: set[str] = set()

    def remark(self, text: str) -> None:
        """Print what was not said yet."""
        if text not in self.remarked:
            self.remarked.add(text)
            self.print(text)

    def print(self, text: str) -> None:
        """A line on stderr."""
        note(text)


class _Job(Quiet):
    """What both reporters count: trainings of one job, epochs of one training."""

    def __init__(self) -> None:
        super().__init__()
        self.fits, self.fit, self.total = 1, 0, 1.0
        self.name, self.began, self.start = "", time.monotonic(), 0.0
        self.worked = 0.0
        self.ended = False
        """Whether the end of this training was told: a loop may say so more than once."""
        self.values: dict[str, float] = {}

    def job(self, title: str, fits: int) -> None:
        """A job of `fits` trainings begins."""
        self.fits, self.fit, self.worked, self.began = max(1, fits), 0, 0.0, time.monotonic()
        self.note(title)

    def phase(self, name: str, epochs: float, done: float) -> None:
        """One training begins."""
        self.fit += 1
        self.name, self.total, self.start = name, epochs, done
        self.values, self.ended = {}, False

    @property
    def head(self) -> str:
        """Which training this is: of how many, as long as no more came than were announced."""
        return f"[{self.fit}{f'/{self.fits}' if self.fit <= self.fits else ''}] {self.name}"

    def ends(self, done: float) -> bool:
        """Whether `done` epochs are all of them; what was worked is then counted."""
        if done < self.total:
            return False
        self.worked += done - self.start
        return True

    def note(self, text: str) -> None:
        """Print."""
        self.print(text)

    def eta(self, done: float) -> float:
        """Seconds to the end of the job, at the speed so far; trainings answered from disk cost nothing."""
        worked = self.worked + done - self.start
        left = self.total - done + max(0, self.fits - self.fit) * self.total
        return (time.monotonic() - self.began) / worked * left if worked > 0 else float("nan")


class Lines(_Job):
    """Plain lines, at most one per half minute and one per training."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.monotonic()
        self.downloading = False
        """Whether a line was told of the current download."""

    def epochs(self, done: float, values: Mapping[str, float]) -> None:
        """Print when it is time."""
        if self.ended:
            return
        self.values |= values
        over = self.ends(done)
        if over or time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            left = "" if over else f", {duration(self.eta(done))} left"
            self.note(f"{self.head}: epoch {done:.4g}/{self.total:g}{shown(self.values)}{left}")
        self.ended = over

    def download(self, name: str, done: int, total: int | None) -> None:
        """Print when it is time."""
        if self._download_due(ended=done == total):
            self.note(f"{name}: {arrived(done, total)}")

    def _download_due(self, *, ended: bool) -> bool:
        wait = LINE_EVERY if self.downloading else FIRST_AFTER
        due = ended or time.monotonic() - self.last >= wait
        if due:
            self.last, self.downloading = time.monotonic(), not ended
        return due

    def work(self, name: str, done: float, total: float) -> None:
        """Print when it is time."""
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            self.note(f"{name}, about {duration(total - done)} left in all")


class Bars(_Job):
    """One bar for the current training, with the time left of the whole job."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True, highlight=False)
        utf = self.console.encoding.startswith("utf")
        self.signs = ("━", "╺", "─") if utf else ("#", "#", "-")
        self.live: Any = Live(console=self.console, transient=True, refresh_per_second=8)

    def epochs(self, done: float, values: Mapping[str, float]) -> None:
        """Redraw."""
        if self.ended:
            return
        self.values |= values
        self.ended = self.ends(done)
        if self.ended:
            self.live.stop()
            self.note(f"{self.head}:{shown(self.values)}")
            return
        self._draw(f"{self.head} {self._bar(done / self.total)} {done:.4g}/{self.total:g}{shown(self.values)}, "
                   f"{duration(self.eta(done))} left")  # fmt: skip

    def work(self, name: str, done: float, total: float) -> None:
        """Redraw."""
        if done >= total:
            self.live.stop()
            return
        self._draw(f"{name} {self._bar(done / total)} about {duration(total - done)} left")

    def _bar(self, share: float) -> str:
        filled = int(24 * share)
        full, tip, rest = self.signs
        return full * filled + tip + rest * (23 - filled)

    def print(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(text, markup=False)

    def download(self, name: str, done: int, total: int | None) -> None:
        """Redraw."""
        if done == total:
            self.live.stop()
            self.note(f"{name}: {amount(done)}")
            return
        self._draw(f"{name}: {arrived(done, total)}")

    def _draw(self, text: str) -> None:
        from rich.text import Text

        if not self.live.is_started:
            self.live.start()
        self.live.update(Text(text, overflow="ellipsis", no_wrap=True))


def shown(values: Mapping[str, float]) -> str:
    """The few metrics worth a glance."""
    wanted = (
        ("train.loss", "loss", 1.0, ".4f"),
        ("val.accuracy", "val", 100.0, ".2f"),
        ("test.accuracy", "test", 100.0, ".2f"),
    )
    parts = [
        f"{label} {values[name] * factor:{form}}"
        for name, label, factor, form in wanted
        if not math.isnan(values.get(name, math.nan))
    ]
    return " " + ", ".join(parts) if parts else ""


def amount(size: int) -> str:
    """Bytes as people say them.

    >>> amount(0), amount(70), amount(283_000), amount(1_490_000), amount(170_500_000), amount(51_200_000_000)
    ('0 bytes', '70 bytes', '283 kB', '1.5 MB', '170 MB', '51 GB')
    """
    if size < 1000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size // 1000} kB"
    if size >= 10_000_000_000:
        return f"{size // 1_000_000_000} GB"
    return f"{size / 1e6:.1f} MB" if size < 10_000_000 else f"{size // 1_000_000} MB"


def arrived(done: int, total: int | None) -> str:
    """How much of how much, in the unit of all of it.

    >>> arrived(0, 283_000), arrived(5_000_000, 10_000_000), arrived(10_000_000, None)
    ('0 of 283 kB', '5 of 10 MB', '10 MB')
    """
    if not total:
        return amount(done)
    unit, size = ("bytes", 1) if total < 1000 else ("kB", 1000) if total < 1_000_000 else ("MB", 1_000_000)
    digits = 1 if size == 1_000_000 and total < 10_000_000 else 0
    return f"{done / size:.{digits}f} of {total / size:.{digits}f} {unit}"


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min`, `12 s`."""
    if math.isnan(seconds):
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
