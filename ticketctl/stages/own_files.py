"""`--out FILE`: a command replaces there what it wrote itself, or a file that is empty. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ticketctl.errors import ArtifactError, ResourceError, UsageError
from ticketctl.stages.plan_files import KIND
from ticketctl.store.documents import MAX_BYTES, parse_json

ROW = 1 << 20
"""Bytes that are read of a table at most: its first row is among them."""


def check_out(out: Path, such: str, command: str, ours: Callable[[BinaryIO], bool]) -> None:
    """Refuse to write over what the command did not write.

    Args:
        out: the file, as typed.
        such: a name that would do.
        command: that writes it.
        ours: whether a file that begins so is the command's.

    Raises:
        UsageError: a folder, a link or a file lies there that is not empty and that the command did not write.
        ResourceError: what lies there may not be read.
    """
    try:
        if out.is_symlink() or (out.exists() and not out.is_file()):
            what = "a link" if out.is_symlink() else "a folder" if out.is_dir() else "no plain file"
            raise UsageError(f"--out {out}: this is {what}; name a file, such as {such}")
        if out.exists() and out.stat().st_size and not _is(out, ours):
            raise UsageError(f"--out {out}: a file that no {command} made lies there; name another")
    except OSError as error:
        raise ResourceError(f"{out}: cannot be read: {error.strerror}") from None


def _is(path: Path, ours: Callable[[BinaryIO], bool]) -> bool:
    with open(path, "rb") as file:
        return ours(file)


def is_plan(file: BinaryIO) -> bool:
    """Whether the first line is the head of a plan."""
    head = _parsed(file.readline(MAX_BYTES))
    return isinstance(head, Mapping) and head.get("kind") == KIND


def is_table(file: BinaryIO, columns: Sequence[str]) -> bool:
    """Whether it is a table of `collect`, CSV or JSON: its last columns are these.

    One that somebody added a column to is not, for that column would be lost. One without rows has no columns: that of
    `--metric all` before any run is done.
    """
    begin = file.read(ROW).replace(b"\r\n", b"\n")
    if begin in (b"\n", b"[]\n"):
        return True
    if begin.startswith(b"[\n {"):
        row = _parsed(begin[2:].partition(b"\n }")[0] + b"}")
        return isinstance(row, Mapping) and [*row][-len(columns) :] == [*columns]
    head = begin.partition(b"\n")[0]
    return head.endswith(f",{','.join(columns)}".encode())


def _parsed(text: bytes) -> object:
    try:
        return parse_json(text, where="")
    except ArtifactError:
        return None
