"""What is asked of Slurm for each task of an array. Nothing here imports torch or submitit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from unicodedata import category

from ticketctl.errors import UsageError, near_miss
from ticketctl.stages.workers import THREADS

SIGNAL = 120
"""Seconds before the end of its time at which Slurm tells a task."""
LEAST = 5
"""Minutes that a task needs: Slurm may tell a minute early, and torch has to be loaded before anything is done."""
OURS = {
    "array": "--array-parallel", "dependency": "the plan", "error": "the sweep's folder", "job-name": "the plan",
    "output": "the sweep's folder", "open-mode": "requeueing", "partition": "--partition", "signal": "requeueing",
    "time": "--time", "mem": "--memory", "cpus-per-task": "--cpus", "gpus-per-node": "--gpus", "nodes": "a job has one",
    "ntasks": "a job has one", "ntasks-per-node": "a job has one", "requeue": "requeueing",
}  # fmt: skip
"""Options of sbatch that are settled elsewhere, and where."""
VALUED = (
    "account", "comment", "constraint", "cpus-per-gpu", "exclude", "gpus-per-task", "gres", "mail-type", "mail-user",
    "mem-per-cpu", "mem-per-gpu", "nodelist", "qos", "wckey",
)  # fmt: skip
"""Further ones that submitit knows, each with a value; sbatch has more, and says itself what it does not know."""
NEAR = 0.9
"""How alike a slip of the finger is to what was meant: `acount`; no two options of sbatch are but these."""

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)")
_KEY = re.compile(r"[a-z][a-z0-9-]*")
_PATTERN = re.compile(r"%[0-9]*[%AabJjNnstux]|\\")
_MEMORY = re.compile(r"[0-9]+[KMGTkmgt]?")


@dataclass(frozen=True)
class SlurmAsked:
    """One task's share of the cluster, and how many run at once."""

    partition: str = ""
    """"": the cluster's default."""
    minutes: int = 240
    """After which Slurm ends a task; it is queued again and goes on."""
    parallel: int = 256
    """Tasks of an array that run at once, at most."""
    gpus: int = 0
    cpus: int = 1
    memory: str = ""
    """As sbatch takes it: 8G. "": the cluster's default."""
    per_task: int = 1
    """Jobs of the plan that a task does."""
    per_gpu: int = 1
    """Jobs at a time on each of its GPUs."""
    streams: bool = False
    """Whether these are streams of one process, rather than processes."""
    options: Mapping[str, str | bool] | None = None
    """Further options of sbatch by their long names; True: those without a value."""
    setup: Sequence[str] = ()
    """Lines of shell before the work: `module load cuda`."""

    def parameters(self, name: str, dependency: str | None) -> dict[str, Any]:
        """For submitit's executor, in its names.

        Args:
            name: of the array.
            dependency: as sbatch takes it: `afterany:12:13`.
        """
        further: dict[str, Any] = {"requeue": True, **(self.options or {})}
        if self.memory:
            further["mem"] = self.memory
        return {
            "job_name": name, "partition": self.partition or None, "time": self.minutes, "nodes": 1,
            "ntasks_per_node": 1, "cpus_per_task": self.cpus, "gpus_per_node": self.gpus or None,
            "array_parallelism": self.parallel, "signal_delay_s": SIGNAL, "dependency": dependency, "wckey": None,
            "stderr_to_stdout": True, "setup": [*self.setup, *self._settle()], "additional_parameters": further,
            # since Slurm 22.05 a step does not have the cores of its job unless it asks for them
            "srun_args": [f"--cpus-per-task={self.cpus}"],
        }  # fmt: skip

    def _settle(self) -> list[str]:
        """Threads, before anything loads numpy; what happens on the node stays there."""
        threads = 1 if not self.gpus else max(1, self.cpus // (self.gpus * self.per_gpu))
        return [f"export {' '.join(f'{name}={threads}' for name in THREADS)}"]


def slurm_asked(
    device: str,
    *,
    partition: str = "",
    time: str = "240",
    array_parallel: int = 256,
    gpus: int | None = None,
    cpus: int | None = None,
    memory: str = "",
    per_task: int = 1,
    per_gpu: int = 1,
    streams: bool = False,
    options: Sequence[str] = (),
    setup: Sequence[str] = (),
) -> SlurmAsked:
    """What was typed, checked.

    Args:
        device: `auto`, `cpu` or `cuda`; of the nodes, not of this machine.
        partition: "": the cluster's default.
        time: minutes, or [D-]HH:MM:SS.
        array_parallel: tasks at once.
        gpus: for each task; None: 1, and none where the device is `cpu`.
        cpus: for each task; None: 1, beside a GPU 4.
        memory: for each task, as sbatch takes it.
        per_task: jobs that a task does.
        per_gpu: jobs at a time on a GPU.
        streams: whether these are streams of one process.
        options: `KEY=VALUE`, or `KEY`: further options of sbatch.
        setup: lines of shell.

    Raises:
        UsageError: something cannot be.
    """
    many = (0 if device == "cpu" else 1) if gpus is None else gpus
    _check_gpus(device, many, streams)
    _check_texts(partition, memory, setup)
    cores = (4 if many else 1) if cpus is None else cpus
    return SlurmAsked(
        partition, minutes_of(time), array_parallel, many, cores, memory, per_task, per_gpu, streams,
        dict(_pairs(options)), tuple(setup),
    )  # fmt: skip


def _check_gpus(device: str, many: int, streams: bool) -> None:
    if device == "cpu" and many:
        raise UsageError(f"--gpus {many}: --device cpu asks for none; leave one of them out")
    if streams and not many:
        raise UsageError("--streams: is for GPUs, of which none is asked; leave it out")
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Slurm chooses the GPU; write --device cuda")


def _check_texts(partition: str, memory: str, setup: Sequence[str]) -> None:
    check_line("--partition", partition)
    if memory and not _MEMORY.fullmatch(memory):
        raise UsageError(
            f"--memory {memory!r}: write a whole number with K, M, G or T, as 8G; alone it is megabytes"
        )
    for line in setup:
        check_line("--setup", line)
        if line.startswith("#SBATCH"):
            raise UsageError(f"--setup {line!r}: options of sbatch are given by --slurm KEY=VALUE")


def check_line(option: str, text: str) -> None:
    """Refuse what would not stay on its line of the script: what follows could be an option of sbatch.

    Raises:
        UsageError: a line's end or another control character.
    """
    if any(
        category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text
    ):  # a hard space may be of a folder's name
        raise UsageError(
            f"{option} {text!r}: this is one line of a script; leave out line ends and control characters"
        )


def check_workspace(path: str) -> None:
    """Refuse a folder that sbatch would not read as it is written: it holds the logs, whose names are patterns.

    Raises:
        UsageError: it would look elsewhere.
    """
    check_line("--workspace", path)
    if _PATTERN.search(path):
        raise UsageError(
            f"--workspace {path!r}: sbatch reads % and \\ in the name of a log as a pattern; name another folder"
        )


def minutes_of(text: str) -> int:
    """Minutes, rounded up, of `90`, `01:30:00` or `1-12:00:00`.

    Raises:
        UsageError: another form (sbatch reads 04:00 as four minutes, most people as four hours), or too few.
    """
    found = _TIME.fullmatch(text.strip())
    if text.strip().isdecimal():
        minutes = int(text)
    elif found:
        days, hours, rest, seconds = (
            int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds")
        )
        minutes = 60 * (24 * days + hours) + rest + (seconds > 0)
    else:
        raise UsageError(f"--time {text}: write minutes (240), or hours as 04:00:00, or days as 1-12:00:00")
    if minutes < LEAST:
        raise UsageError(
            f"--time {text}: Slurm tells a task {SIGNAL} s before its end, a minute early at times, so that "
            f"{LEAST} minutes is the least; a task that is stopped goes on where it was"
        )
    return minutes


def _pairs(options: Sequence[str]) -> list[tuple[str, str | bool]]:
    found: list[tuple[str, str | bool]] = []
    for text in options:
        check_line("--slurm", text)
        key, sign, value = text.removeprefix("--").partition("=")
        _check_key(text, key)
        if (sign and not value) or (not sign and key in VALUED):
            raise UsageError(f"--slurm {text!r}: {key} of what? Write {key}=VALUE")
        found.append((key, value if sign else True))
    return found


def _check_key(text: str, key: str) -> None:
    known = ("exclusive", *VALUED)
    if key in OURS:
        raise UsageError(f"--slurm {text}: {key} is settled by {OURS[key]}")
    slip = key not in known and get_close_matches(key, [*known, *OURS], 1, NEAR)
    if slip or not _KEY.fullmatch(key):
        raise UsageError(
            f"--slurm {text!r}: KEY=VALUE with a long option of sbatch; {near_miss(key, [*known, *OURS])}"
        )
