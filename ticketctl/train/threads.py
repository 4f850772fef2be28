"""How many CPU threads a training takes by default. Nothing here imports torch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

VARIABLE = "OMP_NUM_THREADS"
"""What most programs that use several threads obey, and most cluster schedulers set."""

ROOT = Path("/")


class Threads(NamedTuple):
    """A number of CPU threads, at least 1, and where it comes from in a few words."""

    number: int
    why: str


def default_threads(cores: int, environ: Mapping[str, str], quota: float | None) -> Threads:
    """The least of what this process may use; the first of equals says why.

    Args:
        cores: that the process may run on, at least 1.
        environ: the environment; its OMP_NUM_THREADS counts if it is a positive number (of a list `4,2`, one number for
            each depth of nesting, the first).
        quota: cores' worth of time that the process may use, above 0 (rounded up); None: as much as there is.
    """
    found = [Threads(max(1, cores), "of the cores this process may use")]
    asked = environ.get(VARIABLE, "").partition(",")[0].strip()
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        found.append(Threads(int(asked), f"of {VARIABLE}"))
    if quota is not None:
        found.append(Threads(max(1, math.ceil(quota)), "of the container's CPU quota"))
    return min(found, key=lambda one: one.number)


def threads_here() -> Threads:
    """As `default_threads`, of this process."""
    return default_threads(_cores(), os.environ, quota())


def cores_here() -> int:
    """Cores' worth of time that this process may use, at least 1, whatever it was told of threads."""
    return default_threads(_cores(), {}, quota()).number


def _cores() -> int:
    """The cores this process may use, where the system tells; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = ROOT) -> float | None:
    """Cores' worth of time that control groups leave this process: the least of its group's and all above it.

    `cpu.max` holds "quota period" or "max period" (cgroup v2), `cpu.cfs_quota_us` a quota or -1 (v1), in microseconds
    (Linux' Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst). None: no bound, or not Linux.

    Args:
        root: below which `proc` and `sys` lie.
    """
    found = [part for folder in _groups(root) for part in (_v2(folder), _v1(folder)) if part is not None]
    return min(found, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the groups that may bound this process' time, innermost first.

    In a container the path may be the host's, of which nothing but the mount itself is to be seen.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        inner = PurePosixPath(path.lstrip("/"))
        yield from (mount / folder for folder in (inner, *inner.parents))


def _v2(folder: Path) -> float | None:
    return _share(_words(folder / "cpu.max"))


def _v1(folder: Path) -> float | None:
    return _share([*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")])


def _words(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="ascii").split()
    return []


def _share(words: list[str]) -> float | None:
    if len(words) != 2 or not all(word.isdigit() and int(word) > 0 for word in words):
        return None  # "max", or -1: no bound
    return int(words[0]) / int(words[1])
