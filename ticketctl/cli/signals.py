"""Ctrl-C and SIGTERM ask the running training to stop at its next step; the second Ctrl-C stops at once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType


class Stop:
    """Once installed, calling it gives the exit code to leave with, or None while nobody asked."""

    def __init__(self) -> None:
        self.code: int | None = None

    def install(self) -> Stop:
        """Take over both signals."""
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)
        return self

    def __call__(self) -> int | None:
        """The exit code that was asked for, if any."""
        return self.code

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.code is not None:
            raise KeyboardInterrupt
        self.code = 130 if number == signal.SIGINT else 75
        with suppress(OSError):  # whoever read our log may have been stopped by the same signal
            os.write(2, b"\nstopping after this step; the same command goes on from there\n")
