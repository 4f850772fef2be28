"""How many devices shared what lies in a folder: runs of other numbers are other trainings. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.manifest import read_provenance
from ticketctl.errors import MismatchError
from ticketctl.stages.finished import WORK
from ticketctl.stages.intent import read_intent
from ticketctl.stages.underway import SESSIONS, owner_in
from ticketctl.stages.wallet import Job
from ticketctl.store.documents import parse_json
from ticketctl.store.files import read_bytes

OTHER_BITS = "other numbers give other bits"
"""Why runs of several devices are not those of one."""


def check_devices(folder: Path, found: Mapping[str, Any], devices: int) -> None:
    """Refuse to go on with a draw on another number of devices than it was begun with.

    Args:
        folder: of the draw.
        found: its intent.
        devices: how many share each training now.

    Raises:
        MismatchError: names both numbers.
    """
    _check_begun(folder, found.get("devices", 1), devices, "use another --out")


def check_begun(folder: Path, devices: int) -> None:
    """Refuse to go on with a training on another number of devices than it was begun with.

    Args:
        folder: of a spend's run, with its work if that was begun.
        devices: how many share it now.

    Raises:
        MismatchError: names both numbers.
    """
    sessions = sessions_in(folder / WORK)
    begun = sessions[0].get("devices", "") if sessions else ""  # "": nobody wrote it down
    _check_begun(folder, int(begun) if str(begun).isdecimal() else devices, devices, f"remove its {WORK}")


def sessions_in(work: Path) -> list[dict[str, Any]]:
    """The executions that a piece of work took so far, the first one first; none where nothing is under way.

    Raises:
        ArtifactError: the file that says it is damaged.
    """
    path = work / SESSIONS
    return parse_json(read_bytes(path, limit=1 << 24), where=str(path)) if path.exists() else []


def _check_begun(folder: Path, begun: int, devices: int, way: str) -> None:
    if begun != devices:
        raise MismatchError(
            f"{folder}: begun with --devices {begun}, and {OTHER_BITS}; go on with --devices {begun}, or {way}"
        )


def drawn_alike(jobs: Sequence[Job], devices: int) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """The jobs of a spend, without the draw's own run of a level where it is another training than so many devices do.

    Args:
        jobs: of the spend.
        devices: how many share each training.

    Returns:
        The jobs, and a line if runs that are there are trained again.
    """
    found = tuple(replace(job, drawn=None) if _shared(job) not in (devices, None) else job for job in jobs)
    again = [was for was, job in zip(jobs, found, strict=True) if was.ready and not job.ready]
    if not again:
        return found, ()
    levels = f"level{'s' * (len(again) > 1)} {', '.join(str(job.level) for job in again)}"
    return found, (f"{levels}: drawn with --devices {_shared(again[0])}, and {OTHER_BITS}; trained again",)


def _shared(job: Job) -> int | None:
    """How many devices shared the draw's own run of a job; None: there is no such run, or nobody wrote it down."""
    begun = read_intent(job.ticket.folder.parent) if job.drawn and job.found == job.drawn else None
    return None if begun is None else int(begun.get("devices", 1))


def check_spent(jobs: Sequence[Job], devices: int) -> None:
    """Refuse to spend where an earlier spend has left runs of another number of devices, whole or not.

    As far as these say it. Another draw may have left the dense run that is wanted: a spend would find it by its
    content, and go on. Where another process is at work nothing is said: that run's turn will, when it comes.

    Raises:
        MismatchError: names the first, and both numbers.
    """
    for job in jobs:
        if (owner := owner_in(job.folder)) is not None and owner.alive:
            continue
        if not job.ready:
            check_begun(job.folder, devices)
        said = read_provenance(job.folder).get("environment") if job.found == job.folder else None
        spent = int(said.get("devices", 1)) if isinstance(said, dict) else devices
        if spent != devices:
            raise MismatchError(
                f"{job.folder}: holds a run of --devices {spent}, and {OTHER_BITS}; spend with --devices {spent}, or "
                "move it away to train this one"
            )
