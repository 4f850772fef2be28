"""What of a sweep is in Slurm's queue: by the ids that were kept when it was submitted, and by `squeue`. No torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketctl.errors import ArtifactError, ResourceError, UnavailableError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic

FOLDER = "slurm"
"""In the folder of the sweep."""
PATIENCE = 60
"""Seconds that a command of Slurm has."""
_LIMIT = 4 << 20


@dataclass(frozen=True)
class Submitted:
    """An array that was submitted once."""

    name: str
    """As Slurm knows it; ids alone are used again after some millions."""
    tasks: Mapping[str, tuple[str, ...]]
    """By Slurm's id of a task (`12_3`; `12` where the array is a single job): ids of the plan's jobs."""
    after: tuple[str, ...] = ()
    """Arrays that have to be over before."""

    @property
    def array(self) -> str:
        """Its id."""
        return next(iter(self.tasks)).partition("_")[0]

    def holds(self, names: Iterable[str]) -> bool:
        """Whether it does any of these jobs."""
        wanted = set(names)
        return any(not wanted.isdisjoint(jobs) for jobs in self.tasks.values())


def remember(folder: Path, found: Submitted) -> None:
    """Write down what was submitted: a file of its own for each array.

    Args:
        folder: of the sweep's Slurm files.
        found: the array.
    """
    make_folder(folder)
    tasks = {name: list(jobs) for name, jobs in found.tasks.items()}
    record = {"name": found.name, "tasks": tasks, "after": list(found.after)}
    write_atomic(folder / f"array-{found.array}.json", canonical_json(record))


def remembered(folder: Path) -> list[Submitted]:
    """All that was submitted; damaged files are as if they were not there."""
    found = []
    for path in sorted(folder.glob("array-*.json")):
        with suppress(ArtifactError, ResourceError, KeyError, TypeError, ValueError, AttributeError):
            said = parse_json(read_bytes(path, limit=_LIMIT), where=str(path))
            tasks = {str(name): tuple(map(str, jobs)) for name, jobs in said["tasks"].items()}
            if tasks:
                found.append(Submitted(str(said["name"]), tasks, tuple(map(str, said["after"]))))
    return found


def has_slurm() -> bool:
    """Whether jobs can be submitted from here."""
    return all(shutil.which(name) for name in ("sbatch", "srun", "squeue"))


def need_slurm() -> None:
    """Refuse where there is none.

    Raises:
        UnavailableError: no sbatch here.
    """
    if not has_slurm():
        raise UnavailableError(
            "no Slurm here (sbatch, srun and squeue are wanted): run this on a login node of the cluster; "
            "--dry-run prints the scripts anywhere"
        )


def queued(known: Sequence[Submitted]) -> dict[str, str]:
    """State of those tasks that are queued or running, as Slurm calls it, by task id.

    Raises:
        UnavailableError: Slurm does not answer.
    """
    if not known:
        return {}
    said = ask("squeue", "--noheader", "--array", f"--user={os.geteuid()}", "--format=%i|%j|%T")
    names = {name: one.name for one in known for name in one.tasks}
    found = {}
    for line in said.splitlines():
        task, _, rest = line.strip().partition("|")
        name, _, state = rest.rpartition("|")
        task = task if task in names else task.partition("_")[0]
        if names.get(task) == name:
            found[task] = state
    return found


def ask(*command: str) -> str:
    """What a command of Slurm says.

    Raises:
        UnavailableError: it fails, or takes longer than a minute.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]}: no answer from Slurm: {error}") from None
    if done.returncode:
        raise UnavailableError(f"{command[0]}: {' '.join(done.stderr.split())[:300] or 'failed'}")
    return done.stdout


# ------------------------------------------------------------------------------------------------- inside of a task


def own_id(environ: Mapping[str, str] | None = None) -> str:
    """This task's id, or "" outside Slurm.

    Of an array it is `<array>_<index>`: one task of each array has the array's own id as its second one, and that id
    alone would mean all of them.
    """
    around: Mapping[str, Any] = os.environ if environ is None else environ
    array, index = around.get("SLURM_ARRAY_JOB_ID", ""), around.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{index}" if array and index else str(around.get("SLURM_JOB_ID", ""))


def queue_again(task: str) -> bool:
    """Have Slurm queue this task again, if it believes that it runs; answers with whether it does so for us.

    Where Slurm itself is ending the task (cancelled, requeued or preempted without grace, out of time) it is no longer
    `RUNNING`, and is left to Slurm. Within the grace time of a preemption it still is: a task that left then of itself
    would count as completed, and never be queued again.
    """
    try:
        if ask("squeue", "--noheader", f"--jobs={task}", "--format=%T").strip() != "RUNNING":
            return False
        ask("scontrol", "requeue", task)
    except UnavailableError:
        return False
    return True
