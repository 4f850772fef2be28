"""Work under way, as its files tell, for who only looks: what is written where, by whom, and whether it still is.

Nothing is locked or written, and any file may be half-written, gone or damaged: then it is none. Nothing here imports
torch, and numpy or pydantic only where an id is looked up.

A draw has `intent.json`, and `work` until its ticket is there; the run of a spend or a transfer has `work` until it is
whole; `audit-work`, `probe-work`, `transfer-work`, `interpolate-work` and `onset-work` stay, and are under way while
somebody holds them. Whoever writes leaves its process in `.lock-owner.json`; killed, it cannot take that away.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ticketctl.errors import SHOWN, ArtifactError, ResourceError, UsageError, near_miss
from ticketctl.progress import ABOUT, EVENTS
from ticketctl.stages.intent import NAME as INTENT
from ticketctl.store.documents import MAX_BYTES, parse_json
from ticketctl.store.files import read_bytes
from ticketctl.store.locks import OWNER

RUN, TICKET, WORK = "run.json", "ticket.json", "work"
CHECKPOINT, SESSIONS = "checkpoint.safetensors", "sessions.json"
HELD = tuple(f"{kind}-work" for kind in ("audit", "probe", "transfer", "interpolate", "onset"))
DEEP = 8
"""Folders below the one that is named: a transfer of a control's spend lies so deep in a workspace."""
MANY = 100_000
"""Folders that are looked through at most: a workspace of thousands of runs has fewer, a whole disk has more."""
INNER = {WORK, *HELD, "fits", "reports", "compact", "samples", "states"}
"""Folders in which no other work lies."""
UP = 5
"""Folders above a named one in which the work is looked for that it is a part of."""
AGAIN = 3
"""Times that a file is read which changes meanwhile."""

State = Literal["running", "stopped", "killed", "finished"]


@dataclass(frozen=True)
class Owner:
    """Who writes in a folder, or wrote there until it was killed."""

    pid: int
    host: str

    @property
    def alive(self) -> bool:
        """Whether the process is there; of another machine's that is not known, and it is taken for alive."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)  # asks only
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            return True
        return not _is_zombie(self.pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process is over and its parent has not taken note; False where the system does not say."""
    with suppress(OSError, IndexError):
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return said.rpartition(")")[2].split()[0] in "ZX"
    return False


@dataclass(frozen=True)
class Work:
    """One piece of work: a draw, the run of a spend or transfer, or a measurement."""

    folder: Path
    """Of the draw, the run, or of the net that is measured."""
    kind: str
    """draw, spend, audit, probe, transfer, interpolate, onset; run: a net whose training is over."""
    place: Path
    """Where the work itself is kept, if it is kept."""
    state: State
    owner: Owner | None
    touched: float
    """When something was written there last, in seconds since 1970."""


def works(root: Path) -> list[Work]:
    """All work below a folder: what is running first, then the newest first.

    Raises:
        UsageError: far too many folders.
    """
    found = [work for folder, names in _folders(root) for work in _works_at(folder, names)]
    return sorted(found, key=lambda one: (one.state != "running", -one.touched, str(one.folder)))


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders below `root`, itself the first, with the names in each."""
    for count, (place, folders, files) in enumerate(os.walk(root)):
        if count == MANY:
            raise UsageError(
                f"{root}: more than {MANY:,} folders; name that of a draw or run, or of a workspace"
            )
        here = Path(place)
        yield here, {*folders, *files}
        deep = len(here.relative_to(root).parts)
        folders[:] = [name for name in folders if deep < DEEP and name not in INNER and name[0] != "."]


def _works_at(folder: Path, names: set[str]) -> Iterator[Work]:
    above = folder.absolute().parent.name
    if INTENT in names or (above != "controls" and (folder / "ticket" / TICKET).is_file()):
        yield _draw(folder)
    elif above not in ("levels", "search") and (RUN in names or WORK in names):
        yield run_at(folder)
    for name in HELD:
        if name in names and (held := _held(folder, folder / name)) is not None:
            yield held


def _draw(folder: Path) -> Work:
    work, ticket = folder / WORK, folder / "ticket" / TICKET
    owner, whole = owner_in(folder), ticket.is_file() and not work.exists()
    told = [folder / INTENT, ticket, *inside(folder, f"levels/*/{RUN}"), *_signs(work), folder / OWNER]
    return Work(folder, "draw", work, _state(owner, whole), owner, _newest(told))


def run_at(folder: Path) -> Work:
    """The run in a folder, trained or still to be."""
    work = folder / WORK
    kind = {"spends": "spend", "transfers": "transfer"}.get(folder.absolute().parent.parent.name, "run")
    owner, whole = owner_in(folder), (folder / RUN).is_file() and not work.exists()
    told = [folder / RUN, *_signs(work), folder / OWNER]
    return Work(folder, kind, work, _state(owner, whole), owner, _newest(told))


def _held(folder: Path, place: Path) -> Work | None:
    """A measurement that somebody is at, or was when it was stopped; None: it was done, or never begun."""
    owner, left = owner_in(place), [*inside(place, "**/init-*"), *inside(place, "points/*")]
    if owner is None and not any(one.is_dir() for one in left):
        return None
    told = [place / OWNER, *inside(place, "**/*.zarr.zip"), *_signs(place), *inside(place, "points/*/*")]
    return Work(folder, place.name.removesuffix("-work"), place, _state(owner, False), owner, _newest(told))


def _state(owner: Owner | None, whole: bool) -> State:
    if whole:
        return "finished"
    return "stopped" if owner is None else "running" if owner.alive else "killed"


def owner_in(place: Path) -> Owner | None:
    """Who said that it writes there; None: nobody, or whoever did went in good order."""
    said = read(place / OWNER)
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        return Owner(int(said["pid"]), str(said["host"])) if said else None
    return None


# -------------------------------------------------------------------------------------------------------- what to see


def is_empty(workspace: Path) -> bool:
    """Whether nothing was begun in a workspace yet: it is not there, or no work is in it."""
    return not works(workspace) if workspace.is_dir() else not workspace.exists()


def find(name: str | None, workspace: Path) -> Path:
    """The folder that is to be watched: that of the name, here or in the workspace, or the workspace itself.

    Args:
        name: a folder, or the beginning of the id of a ticket or run.
        workspace: where names and ids are looked for.

    Raises:
        UsageError: no such folder or id, several ids that begin so, or a file.
    """
    if name is None:
        if not workspace.is_dir():
            raise UsageError(
                f"no workspace {workspace}; `ticketctl draw` begins one, or say which: --workspace DIR"
            )
        return workspace
    base = next((path for path in (Path(name), workspace / name) if name and _exists(path)), None)
    if base is None and name.startswith(("tk1", "rn1")):
        from ticketctl.artifacts.workspace import folder_of

        folder, kind = folder_of(name, workspace)
        return folder.parent if kind == "ticket" else folder
    if base is None:
        names = {one.folder.relative_to(workspace).as_posix() for one in works(workspace)}
        raise UsageError(
            f"no folder {name[:100]!r} here or below {workspace}; {near_miss(name[:100], names, SHOWN)}"
        )
    if not base.is_dir():
        raise UsageError(f"{base} is a file; name the folder of a draw or run, or that of a workspace")
    return base.resolve() if base.name in ("", "..") else base  # `.` says nothing of what lies there


def _exists(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def work_in(root: Path) -> Work:
    """The work that is meant by a folder: the newest below it that is being written, else the newest, or that which the
    folder is a part of.

    Raises:
        UsageError: nothing was ever begun there.
    """
    if (root / RUN).is_file():
        return _run(root)
    found = works(root)
    for above in [] if found else root.resolve().parents[:UP]:
        if (above / INTENT).is_file() or (above / RUN).is_file() or (above / "ticket" / TICKET).is_file():
            found = [_run(above)] if (above / RUN).is_file() else works(above)
            break
    if not found:
        raise UsageError(
            f"nothing was begun in {root}; name the folder of a draw or run, or that of a workspace"
        )
    return found[0]


def again(work: Work) -> Work | None:
    """The same work as it is now; None: it is gone, or over and nothing is left of it."""
    if work.kind in ("run", "spend", "transfer"):
        return run_at(work.folder) if work.folder.is_dir() else None
    return next((one for one in works(work.folder) if one.place == work.place), None)


def _run(folder: Path) -> Work:
    """The run in a folder, or what is being measured of it."""
    return next((one for one in works(folder) if one.state == "running"), run_at(folder))


# ------------------------------------------------------------------------------------------------------------- files


def inside(folder: Path, pattern: str) -> list[Path]:
    """What matches below a folder, sorted; as far as it is there, where somebody takes it away meanwhile."""
    found: list[Path] = []
    with suppress(OSError):
        for path in folder.glob(pattern):
            found.append(path)  # an error in the middle leaves what came before it
    return sorted(found)


def training_in(place: Path) -> Path | None:
    """The folder of the training below `place` that was written last; None: none is under way there."""
    found = {path.parent: written(path) for name in (EVENTS, ABOUT) for path in inside(place, f"**/{name}")}
    return max(found, key=lambda folder: (found[folder] or 0.0, str(folder)), default=None)


def _signs(place: Path) -> Iterable[Path]:
    """What changes while a training goes on."""
    folder = training_in(place)
    more = [folder / name for name in (EVENTS, ABOUT, CHECKPOINT)] if folder else []
    return [place / SESSIONS, *more]


def written(path: Path) -> float | None:
    """When the file was written, in seconds since 1970; None: there is none."""
    with suppress(OSError):
        return path.stat().st_mtime
    return None


def _newest(paths: Iterable[Path]) -> float:
    return max((when for path in paths if (when := written(path)) is not None), default=0.0)


def content(path: Path, limit: int = MAX_BYTES) -> bytes | None:
    """The file, also of one that grows meanwhile; None: it is not there, or not to be read."""
    for _ in range(AGAIN):
        with suppress(ArtifactError, ResourceError):
            return read_bytes(path, limit=limit)
    return None


def read(path: Path) -> Mapping[str, Any] | None:
    """The JSON object in a file; None: not there, or no such thing."""
    return parsed(content(path), str(path))


def parsed(data: bytes | None, where: str = "") -> Mapping[str, Any] | None:
    """The JSON object in some bytes; None: there is none."""
    with suppress(ArtifactError):
        found = parse_json(data, where=where) if data is not None else None
        return found if isinstance(found, dict) else None
    return None
