"""A Slurm of one node, as whoever runs the tests, in a temporary folder: its own keys, ports and files, on loopback.

Nothing outside the folder is touched. `Node` knows the environment in which sbatch, squeue, scontrol and scancel speak
to it. Two CPUs are told, whatever the machine has, so that at most two tasks run at once.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
WITHIN = 60.0
"""Seconds in which the daemons have to answer."""
LIFETIME = 6
"""Seconds that a credential is good for, and so that Slurm holds back a task that was requeued (usually 120). One that
was begun again sooner, by force, would be killed with `Job credential revoked`: slurmd counts in whole seconds."""

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket,cred_expire={lifetime}
CredType=cred/munge
SlurmctldPort={control}
SlurmdPort={node}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/{track}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,defer_batch
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=8
ReturnToService=2
JobRequeue=1
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES PriorityTier=1 GraceTime={grace} MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={host} PriorityTier=9 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Node:
    """A running Slurm; leaves nothing running."""

    place: Path
    """A folder with a short name (a socket's path has 107 bytes at most)."""
    grace: int = 0
    """Seconds between the signal to a preempted task and its end."""
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """In which Slurm's commands find this one."""
        return {**os.environ, "SLURM_CONF": str(self.place / "slurm.conf"), "PATH": _path()}

    def __enter__(self) -> Node:
        for name in ("state", "spool"):
            (self.place / name).mkdir()
        user = pwd.getpwuid(os.geteuid()).pw_name
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], user=user, place=self.place, grace=self.grace,
            control=_free_port(), node=_free_port(), track="linuxproc" if os.geteuid() == 0 else "pgid",
            lifetime=LIFETIME,
        )  # fmt: skip
        (self.place / "slurm.conf").write_text(text)
        try:
            self._munge()
            self._begin("slurmctld", "-D", "-c")
            self._begin("slurmd", "-D")
            self._until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _munge(self) -> None:
        self.place.chmod(0o755)
        key = self.place / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = [f"--{name}-file={self.place}/munge.{name}" for name in ("pid", "log", "seed", "key")]
        socket_file = self.place / "munge.socket"
        self._begin("munged", "--foreground", "--force", f"--socket={socket_file}", *files)
        _wait(socket_file.exists, "munged's socket")

    def _begin(self, *command: str) -> None:
        with open(self.place / f"{command[0]}.out", "wb") as out:
            self.daemons.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
                )
            )

    def _until_up(self) -> None:
        def idle() -> bool:
            found = self.command("sinfo", "--noheader", "--format=%t", check=False)
            return "idle" in found.split()

        _wait(idle, f"an idle node (see {self.place}/slurmctld.log)")

    def command(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def queue(self) -> dict[str, str]:
        """State of every task that is queued or running."""
        said = self.command("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return {line.split()[0]: line.split()[1] for line in said}

    def tell(self, name: str) -> str:
        """The end of a daemon's log."""
        with suppress(OSError):
            return (self.place / name).read_text(errors="replace")[-4000:]
        return ""

    def close(self) -> None:
        """End all jobs, then the daemons."""
        if len(self.daemons) == 3:
            self.command("scancel", "--full", f"--user={os.geteuid()}", check=False)
            with suppress(TimeoutError, RuntimeError):
                _wait(lambda: not self.queue(), "the jobs' end", 20.0)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _wait(ready, what: str, seconds: float = WITHIN) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)


def until(node: Node, names: Sequence[str], states: Sequence[str], seconds: float = 120.0) -> None:
    """Wait until all these tasks are in one of the states; a task that is over has the state ""."""

    def there() -> bool:
        queue = node.queue()
        return all(queue.get(name, "") in states for name in names)

    _wait(there, f"{names} to be {states}", seconds)
