"""What is known of a job from small files in `<workspace>/.jobs/<id>/`, without opening any artifact. No torch.

`state.json` is written by whoever does the job; `claim-<n>.json` (`ticketctl.store.leases`) says who that is. A job
whose state says running while nobody holds its claim was killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ticketctl.errors import (
    ArtifactError,
    DivergedError,
    LockedError,
    MismatchError,
    MissingExtraError,
    ResourceError,
    StoppedError,
    TicketctlError,
    UnavailableError,
    UsageError,
    by_chance,
)
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic
from ticketctl.store.leases import claim_in, held

JOBS, NAME = ".jobs", "state.json"
_LIMIT = 1 << 20

Kind = Literal["waiting", "running", "killed", "stopped", "done", "diverged", "failed", "blocked"]
"""`diverged`: done, and what came of it left the finite numbers; `blocked`: a job that it needs failed."""
KINDS: tuple[Kind, ...] = get_args(Kind)
OVER = ("done", "diverged", "failed")
"""Nothing is left to do, unless somebody asks for it again."""
WHOLE = ("done", "diverged")
"""What other jobs may need of it is there."""

CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (DivergedError, "diverged"),
    (UnavailableError, "data"),
    (MissingExtraError, "package"),
    (MismatchError, "mismatch"),
    (ResourceError, "resources"),
    (LockedError, "locked"),
    (StoppedError, "stopped"),
    (ArtifactError, "artifact"),
    (UsageError, "recipe"),
    (MemoryError, "resources"),
)
"""In one word why a job failed, by the error; anything else is a `bug`, and a process that vanished was `killed`."""


def exit_code(causes: Collection[str]) -> int:
    """That of the one cause of all failures; that of a divergence, where there are several."""
    codes = {name: getattr(kind, "exit_code", ResourceError.exit_code) for kind, name in reversed(CAUSES)}
    single = next(iter({*causes})) if len({*causes}) == 1 else "diverged"
    return codes.get(single, ResourceError.exit_code if single == "killed" else TicketctlError.exit_code)


@dataclass(frozen=True)
class JobState:
    """What became of a job so far."""

    kind: Kind = "waiting"
    cause: str = ""
    """Of a failure: see `CAUSES`."""
    message: str = ""
    title: str = ""
    """What is trained at the moment, or was last."""
    done: float = 0.0
    """Epochs of it that are over."""
    epochs: float = 0.0
    """Of how many."""
    began: float = 0.0
    """Seconds since 1970, of the last attempt."""
    ended: float = 0.0
    seconds: float = 0.0
    """Of all attempts together."""
    attempts: int = 0
    host: str = ""
    device: str = ""
    runs: tuple[str, ...] = ()
    """Folders of what came of it, in the workspace."""
    notes: tuple[str, ...] = field(default=())
    """What changes how its result is to be read."""


def job_folder(workspace: Path, name: str) -> Path:
    """Where the state of a job lies."""
    return workspace / JOBS / name


def write_state(folder: Path, state: JobState) -> None:
    """Put it down.

    Raises:
        ResourceError: it cannot be written.
    """
    make_folder(folder)
    write_atomic(folder / NAME, canonical_json({key: _text(value) for key, value in asdict(state).items()}))


def _text(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def said(folder: Path) -> JobState:
    """What `state.json` says; a job without one, or with a damaged one, waits."""
    with suppress(ArtifactError, ResourceError, OSError, KeyError, TypeError, ValueError):
        found = parse_json(read_bytes(folder / NAME, limit=_LIMIT), where=str(folder))
        known = JobState.__dataclass_fields__
        if isinstance(found, Mapping) and found.get("kind") in KINDS:
            whole = {key: _value(key, value) for key, value in found.items() if key in known}
            return JobState(**whole)
    return JobState()


def _value(key: str, value: Any) -> Any:
    kind = type(getattr(JobState(), key))
    return tuple(map(str, value)) if kind is tuple else kind(value)


def state_of(folder: Path, now: float) -> JobState:
    """What became of a job: as `said`, but killed where it says running and nobody holds its claim.

    Args:
        folder: of the job.
        now: by the clock of the machine that the files lie on (`clock`).
    """
    state = said(folder)
    if state.kind == "running" and not held(claim_in(folder), now):
        return replace(state, kind="killed")
    workspace = folder.parent.parent
    if state.kind in WHOLE and not all((workspace / run).exists() for run in state.runs):
        return gone(state)
    return state


def gone(state: JobState) -> JobState:
    """Of a job that was done, and whose results somebody took away."""
    return replace(state, kind="waiting", runs=())


def clock(workspace: Path) -> float:
    """Seconds since 1970 by the clock of the machine that the workspace lies on; ours where nothing can be written."""
    probe = workspace / JOBS / f".clock-{os.getpid()}-{threading.get_native_id()}"
    try:  # where no job was ever begun, whoever only looks makes no folder
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
    except OSError:
        return time.time()
    return now


def failure(error: BaseException) -> tuple[str, str]:
    """In one word why, and the line that says more."""
    error = by_chance(error) or error
    cause = next((name for kind, name in CAUSES if isinstance(error, kind)), None)
    if cause is not None or isinstance(error, TicketctlError):
        return cause or "bug", str(error)
    text = str(error)
    if isinstance(error, RuntimeError) and ("out of memory" in text.lower() or "allocate memory" in text):
        return "resources", "out of memory; a smaller batch helps (--retry resources --set train.batch=64)"
    if isinstance(error, OSError):
        return "resources", f"{error.filename or 'the output'}: {error.strerror}"
    return "bug", f"{type(error).__name__}: {text}"
