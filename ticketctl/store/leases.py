"""Who does a piece of work, where several machines see one folder: no lock, no database, nothing but files.

A claim is a file `claim-<n>.json`; that of the highest number counts. Its holder touches it now and then. Once it is
given up, or its holder is known or taken to be gone, whoever wants the work makes the claim of the next number: by a
hard link, which only one of them can. Whoever was slow to look finds the number taken, or, where it was cleared away
since, a higher one, and gives way. A holder that slept through (a suspended machine) sees at its next touch that the
work is another's.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ticketctl.errors import ResourceError
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import make_folder, write_atomic

BEAT = 5.0
"""Seconds between two touches."""
GONE = 60.0
"""Seconds without a touch after which a holder on another machine is taken to be gone."""
_NAME = re.compile(r"claim-(\d{6})\.json")
_LIMIT = 1 << 16


@dataclass(frozen=True)
class Holder:
    """Who holds a claim, or held it."""

    host: str
    pid: int
    began: str
    """When the process began, as its system counts: another process may get its number later."""
    system: str = ""
    """The boot and the set of processes that the number is of: two machines, or containers, may share a name."""

    @property
    def gone(self) -> bool | None:
        """Whether the process is over; None where that cannot be known: it is another machine's."""
        if (self.host, self.system) != (socket.gethostname(), _system()):
            return None
        return not _alive(self.pid) or _began(self.pid) != self.began


@dataclass(frozen=True)
class Claim:
    """The claim that counts."""

    number: int
    path: Path
    holder: Holder | None
    """None: it was given up, or cannot be read."""
    touched: float
    """When, by the clock of the machine that the files lie on."""


def claim_in(folder: Path) -> Claim | None:
    """The claim that counts; None: nobody ever claimed the work."""
    numbers = [int(found[1]) for path in _names(folder) if (found := _NAME.fullmatch(path))]
    if not numbers:
        return None
    path = folder / f"claim-{max(numbers):06d}.json"
    with suppress(OSError):
        return Claim(max(numbers), path, _holder(path), path.stat().st_mtime)
    return Claim(max(numbers), path, None, 0.0)  # it was cleared away as we looked


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _holder(path: Path) -> Holder | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        with open(path, "rb") as file:
            said: Any = json.loads(file.read(_LIMIT))
        own = (str(said["host"]), int(said["pid"]), str(said["began"]), str(said["system"]))
        return Holder(*own) if said["held"] else None
    return None


def take(folder: Path, lost: Callable[[], None]) -> Lease | None:
    """Claim the work of a folder, which is made if need be; None: it is somebody else's.

    Args:
        folder: of the work.
        lost: is called, from another thread, once the work has become another's.

    Raises:
        ResourceError: the folder cannot be written.
    """
    make_folder(folder)
    before = claim_in(folder)
    number = before.number + 1 if before else 1
    mine = folder / f".claim-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    try:
        mine.write_bytes(canonical_json({**_me(), "held": True}))
        if before and before.holder and not _is_over(before, now=mine.stat().st_mtime):
            return None
        os.link(mine, path := folder / f"claim-{number:06d}.json")
    except FileExistsError:
        return None
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None
    finally:
        mine.unlink(missing_ok=True)
    after = claim_in(folder)
    if after and after.number > number:  # the number was free again: it was taken, given up and cleared away
        path.unlink(missing_ok=True)
        return None
    if before:
        before.path.unlink(missing_ok=True)
    return Lease(path, number, lost)


def held(claim: Claim | None, now: float) -> bool:
    """Whether somebody is at the work.

    Args:
        claim: that of its folder.
        now: by the clock of the machine that the files lie on, in seconds since 1970.
    """
    return claim is not None and claim.holder is not None and not _is_over(claim, now)


def _is_over(claim: Claim, now: float) -> bool:
    gone = claim.holder.gone if claim.holder else True
    return now - claim.touched > GONE if gone is None else gone


def _me() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid), "system": _system()}


def _system() -> str:
    """Which boot of which machine, and whose process numbers; "" where the system does not say."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks only
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _began(pid: int) -> str:
    """The start of a process in the kernel's ticks; "" where the system does not say, or the process is over."""
    with suppress(OSError, IndexError):
        said = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return "" if said[0] in "ZX" else said[19]
    return ""


class Lease:
    """A claim that is ours, touched by a thread of its own as long as this stands."""

    def __init__(self, path: Path, number: int, lost: Callable[[], None]) -> None:
        self.path, self.number, self._lost = path, number, lost
        self.kept = True
        """Whether the work is still ours."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease")

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self.kept:
            with suppress(OSError, ResourceError):
                write_atomic(self.path, canonical_json({"held": False}))

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(OSError):  # a file system that does not answer now may answer at the next beat
                newest = claim_in(self.path.parent)
                if newest is not None and newest.number > self.number:
                    self.kept = False
                    self._lost()
                    return
                os.utime(self.path)
