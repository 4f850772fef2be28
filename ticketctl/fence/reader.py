"""Files of torch.save, read in a child process; here nothing is unpickled, and torch is not imported.

The child has no environment of the user's, writes no file, and is held to memory and time (`ticketctl.fence.child`).
What it answers is checked as a file that nobody vouches for.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from contextlib import suppress
from threading import Timer
from typing import Any

from ticketctl.errors import ArtifactError
from ticketctl.fence.values import value_of
from ticketctl.store.documents import parse_json
from ticketctl.store.tensors import parse_tensors

LIMIT = 4 << 30
"""Bytes of a file."""
SECONDS = 60
"""Of computing that one file may take; it may wait as long again."""
GROWN, ASIDE = 8, 8 << 20
"""What is found in a file may be so many times its bytes, and so many more."""
DEEP, MANY = 12, 50_000
"""Nesting of a file's values, and how many there may be."""

_BEGIN = "import sys; sys.path += sys.argv[1:]; from ticketctl.fence.child import main; main()"
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")
"""Of the environment: what finds libraries. No home, no token, no proxy."""


class Fence:
    """A child for as many files as are given, started for the first: `with Fence() as fence: fence.read(…)`."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Fence:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, data: bytes, where: str) -> Any:
        """What a file of torch.save holds: dicts with text keys, lists, texts, numbers, None, `Tensor` and `Sparse`.

        Args:
            data: the file.
            where: its name, for messages.

        Raises:
            ArtifactError: E_FORMAT, it holds code, numpy objects, other kinds of tensors, or more than it may; it is
                damaged; it took too long.
        """
        parts = self.ask(data, where)
        tensors, _ = parse_tensors(parts[1], where=where)
        form = parse_json(parts[0], where=where, code="E_FORMAT")
        try:
            return value_of(form, tensors)
        except (LookupError, TypeError, ValueError):  # a child that something else has taken over
            raise ArtifactError("E_FORMAT", f"{where}: the answer of its reader makes no sense") from None

    def ask(self, data: bytes, where: str) -> list[bytes]:
        """The child's answer: JSON, and a safetensors file (`ticketctl.fence.child.neutral`).

        Raises:
            ArtifactError: as `read`.
        """
        child = self.child = self.child or _launched()
        assert child.stdin is not None
        assert child.stdout is not None
        watch = Timer(2 * SECONDS, child.kill)
        watch.start()
        try:
            child.stdin.write(struct.pack("<Q", len(data)))
            child.stdin.write(data)
            child.stdin.flush()
            kind = child.stdout.read(1)
            most = GROWN * len(data) + ASIDE
            parts = [_part(child.stdout, most) for _ in range({b"F": 2, b"R": 1}[kind])]
        except (OSError, KeyError, EOFError):  # it was ended, by us or by the limits it is held to
            self._end()
            raise ArtifactError(
                "E_FORMAT",
                f"{where}: reading it took more than {SECONDS} s or more memory than its size allows",
            ) from None
        finally:
            watch.cancel()
        if kind == b"R":
            raise ArtifactError("E_FORMAT", f"{where}: {parts[0].decode('utf-8', 'replace')}")
        return parts

    def _end(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):  # what it did not take is in the buffer still
                    pipe.close()  # type: ignore[union-attr]  # both are pipes
            child.wait()


def unpickled(data: bytes, where: str) -> Any:
    """What one file of torch.save holds; see `Fence.read`.

    Raises:
        ArtifactError: as `Fence.read`.
    """
    with Fence() as fence:
        return fence.read(data, where)


def _launched() -> subprocess.Popen[bytes]:
    """Isolated: no variables of Python's, no folder of the user's, a session of its own that Ctrl-C does not reach."""
    ours = [path for path in sys.path if os.path.isabs(path)]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _BEGIN, *ours],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd="/",
        start_new_session=True,
    )


def _part(pipe: Any, most: int) -> bytes:
    header = pipe.read(8)
    if len(header) < 8:
        raise EOFError
    size = struct.unpack("<Q", header)[0]
    data: bytes = pipe.read(size) if size <= most else b""
    if len(data) < size:
        raise EOFError
    return data
