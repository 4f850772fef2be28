"""How much of this machine other programs took while something was timed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
SHARE = 0.05
"""Of all cores' time: what others may take of a machine that counts as quiet."""
SLOWER = 1.15
"""Likewise, what wall-clock time may be over the fastest."""
HELD = 1 << 30
"""Likewise, bytes of the GPU's memory that others may hold."""


class Ticks(NamedTuple):
    """Seconds that all cores together have worked since the machine was started, and how many cores there are."""

    busy: float
    cores: int


def ticks(text: str, per_second: int) -> Ticks | None:
    """From the text of /proc/stat: user, nice, system, irq, softirq and steal of all cores (proc_stat(5)).

    Time that a hypervisor gave to others (steal) counts as worked: it was not to be had. Guests are counted in user.
    None: another form, or no time at all.
    """
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    whole = next((line[1:] for line in lines if line[0] == "cpu"), [])
    if len(whole) < 8 or not all(word.isdigit() for word in whole) or not any(map(int, whole)):
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, whole[:8])
    return Ticks((user + nice + system + irq + softirq + steal) / per_second, max(1, len(lines) - 1))


@dataclass(frozen=True)
class Load:
    """What others took."""

    cores: int | None
    """Of the machine; None: the system does not tell."""
    foreign: float | None
    """Cores' worth of time that others took, at least 0."""

    @property
    def is_busy(self) -> bool | None:
        """Whether that was enough to be felt; None: not known."""
        return None if self.foreign is None or self.cores is None else self.foreign > SHARE * self.cores


class Meter:
    """Begins to count when it is made."""

    def __init__(self, stat: Path = STAT) -> None:
        self.stat = stat
        self.begun, self.own, self.wall = _now(stat), time.process_time(), time.perf_counter()

    def load(self) -> Load:
        """Since then: all that was worked but what this process did."""
        now, wall = _now(self.stat), time.perf_counter() - self.wall
        if now is None or self.begun is None or wall <= 0:
            return Load(None, None)
        others = now.busy - self.begun.busy - (time.process_time() - self.own)
        return Load(now.cores, max(0.0, others / wall))


def _now(stat: Path) -> Ticks | None:
    try:
        return ticks(stat.read_text(encoding="ascii"), os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError):  # not Linux
        return None
