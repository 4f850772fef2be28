"""One writer per folder."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticketctl.errors import LockedError, ResourceError
from ticketctl.store.files import make_folder, sweep_temporaries

LOCK = ".lock"
OWNER = ".lock-owner.json"
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
"""What a network file system without locks answers: there the claims of a sweep keep writers apart."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` (made if need be) for writing; what a killed writer left half-written is swept away first.

    The lock is the kernel's: it is free the moment its holder is gone, however it went.

    Raises:
        LockedError: another process holds it; its process id and host are named.
        ResourceError: the folder may not be written.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which those who only look need not wait

    make_folder(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(f"{folder}: {_owner(folder)} is writing there; wait for it") from None
    except NotImplementedError:
        pass  # as below
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        _enter(folder)
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def _enter(folder: Path) -> None:
    try:
        sweep_temporaries(folder)
        (folder / OWNER).unlink(missing_ok=True)  # or what is written goes where a link leads
        (folder / OWNER).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror}") from None


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text())
        return f"process {int(owner['pid'])} on {str(owner['host'])[:80]}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
