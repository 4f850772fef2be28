"""Ctrl-C and SIGTERM ask the running training to stop at its next step; the second Ctrl-C stops at once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

from ticketctl.errors import StoppedError


class Stop:
    """Once installed, calling it gives the exit code to leave with, or None while nobody asked.

    Until it is called for the first time nothing is under way that could be left in order, and what goes on, importing
    torch above all, takes seconds: a signal ends that at once, by a `StoppedError` wherever the program is.
    """

    def __init__(self, said: str = "stopped; the same command goes on from here") -> None:
        self.said = said
        self.code: int | None = None
        self.under_way = False

    def install(self) -> Stop:
        """Take over both signals."""
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)
        return self

    def __call__(self) -> int | None:
        """The exit code that was asked for, if any."""
        self.under_way = True
        return self.code

    def leave(self) -> None:
        """Stop here if somebody asked to.

        Raises:
            StoppedError: somebody did.
        """
        if self.code is not None:
            raise StoppedError(self.said, self.code) from None

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.code is not None:
            raise KeyboardInterrupt
        self.code = 130 if number == signal.SIGINT else 75
        if not self.under_way:
            self.leave()
        with suppress(OSError):  # whoever read our log may have been stopped by the same signal
            os.write(2, b"\nstopping after this step; the same command goes on from there\n")
