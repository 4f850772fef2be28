"""Which ticket a command without a ticket's name was at work on, so that the same command goes on with that one.

Without a name the newest ticket is meant. A spend that was stopped would mean another one once a newer ticket lies
there; so it leaves a note, `<workspace>/.unfinished/<hash of its arguments>.json`, from its start to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ticketctl.errors import ArtifactError, MismatchError, ResourceError, UnavailableError, UsageError
from ticketctl.recipe import fingerprint
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic

FOLDER = ".unfinished"
_LIMIT = 1 << 16


def remembered(workspace: Path, argv: Sequence[str]) -> Path | None:
    """The folder of the ticket that this command was at work on, if it never came to its end."""
    path = _path(workspace, argv)
    if not path.is_file():
        return None
    try:
        note = parse_json(read_bytes(path, limit=_LIMIT), where=str(path))
    except (ArtifactError, ResourceError):
        return None
    if (
        not isinstance(note, dict)
        or note.get("argv") != _words(argv)
        or not isinstance(note.get("ticket"), str)
    ):
        return None
    folder = workspace / str(note["ticket"])
    inside = folder.resolve().is_relative_to(workspace.resolve())
    return folder if inside and (folder / "ticket.json").is_file() else None


@contextmanager
def remembering(workspace: Path, argv: Sequence[str], ticket: Path) -> Iterator[None]:
    """Keep the note while the work is under way; it stays when the work is stopped, killed or refused by the machine.

    A workspace that cannot be written is no reason to fail here: the work itself will say so if it has to write.
    """
    path = _path(workspace, argv)
    with suppress(ResourceError, ValueError):
        name = ticket.relative_to(workspace).as_posix()
        make_folder(path.parent)
        write_atomic(path, canonical_json({"argv": _words(argv), "ticket": name}))
    try:
        yield
    except (
        UsageError,
        ArtifactError,
        MismatchError,
        UnavailableError,
    ):  # the same command would only fail again
        _forget(path)
        raise
    _forget(path)


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _path(workspace: Path, argv: Sequence[str]) -> Path:
    return workspace / FOLDER / f"{fingerprint({'argv': _words(argv)})}.json"


def _words(argv: Sequence[str]) -> list[str]:
    """In ASCII, since a name on a command line need not be text."""
    return [ascii(word)[1:-1] for word in argv]
