"""`--devices N`: the processes that share one run. torch starts them, and this waits for them.

The command itself only starts and watches: rank 0, which prints and writes, is a process of its own like the others. A
command that was started N times by torchrun is a rank already.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TYPE_CHECKING, cast

from ticketctl.cli.devices import check, resolve
from ticketctl.cli.output import note
from ticketctl.cli.signals import Stop
from ticketctl.errors import ResourceError, UnavailableError, UsageError

if TYPE_CHECKING:
    import torch

    from ticketctl.train.ranks import Ranks

SIGNALS = (signal.SIGTERM, signal.SIGINT)

GRACE = 20.0
"""Seconds that the others have to end by themselves after one rank has: rank 0 may be writing a checkpoint."""

ORDERLY = (0, 75, 130)
"""Exit codes of a rank that ended when all did."""

SIZE, RANK, LOCAL, BY = "WORLD_SIZE", "RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"
"""As torchrun names them."""


def is_rank(devices: int) -> bool:
    """Whether this process is one of the ranks that `--devices` asks for; else it is to start them.

    Raises:
        UsageError: torchrun has started another number of processes, or on several machines.
    """
    started = int(os.environ.get(SIZE, "1")) if RANK in os.environ and BY in os.environ else 1
    if started > 1 and started != devices:
        raise UsageError(
            f"--devices {devices}: torchrun has started {started} processes; say --devices {started}"
        )
    if started > 1 and os.environ.get("LOCAL_WORLD_SIZE", str(started)) != str(started):
        raise UsageError(
            f"--devices {devices}: torchrun has started some of them elsewhere; all must be on one machine"
        )
    return started > 1


def device_of(name: str, devices: int, rank: int) -> torch.device:
    """What a rank computes on: the GPU of its number, or the CPU.

    Raises:
        UsageError: one GPU of several is named.
        UnavailableError: there are not so many GPUs.
    """
    if check(name).startswith("cuda:"):
        raise UsageError(
            f"--device {name} is one GPU; with --devices {devices} say --device cuda: 0 to {devices - 1}"
        )
    found = resolve(name)
    if found.type == "cpu":
        return found
    import torch

    if torch.cuda.device_count() < devices:
        raise UnavailableError(f"--devices {devices}: this machine has {torch.cuda.device_count()} GPUs")
    return torch.device("cuda", rank)


def words_of(devices: int) -> list[str]:
    """The words of a command line that say it."""
    return ["--devices", str(devices)] if devices > 1 else []


def timed_alone(devices: int) -> str:
    """What a dry run says of the time of several devices."""
    alone = "each timed alone, with its part of the batch"
    return f"devices     {devices}, {alone}: at least that long, what they tell one another is not counted"


@contextmanager
def sharing(devices: int, device: str, stop: Stop) -> Iterator[Ranks | None]:
    """This process among its ranks; None where it works alone. All but rank 0 say nothing.

    Raises:
        UsageError, UnavailableError: as `device_of`.
        LostRankError: the others cannot be reached, or are gone.
        StoppedError: they are gone because all were asked to stop.
    """
    if devices == 1:
        yield None
        return
    from ticketctl.train.ranks import LostRankError, joined

    if int(os.environ[RANK]):
        _silence()
    try:
        with joined(device_of(device, devices, int(os.environ[LOCAL]))) as ranks:
            yield ranks
    except LostRankError:
        stop.leave()
        raise


def _silence() -> None:
    if not os.environ.get("TICKETCTL_DEBUG"):
        sink = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(sink, number)


# ------------------------------------------------------------------------------------------------------- starting them


def start(devices: int, device: str, method: str | None = None) -> int:
    """Run this very command as so many ranks; the exit code of the whole.

    Args:
        devices: 2 or more.
        device: as it was typed.
        method: how torch starts processes; None: forked on a CPU, where that is safe and saves each of them seconds of
            importing; spawned for GPUs.

    Raises:
        UsageError, UnavailableError: as `device_of`.
        ResourceError: a rank died.
    """
    kind = device_of(device, devices, 0).type
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # the stubs do not export it

    method = method or ("fork" if kind == "cpu" and sys.platform == "linux" else "spawn")
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        processes = _begun(devices, port, method)
        # only now: threads of torch would not survive a fork, and ranks that knock before wait at the open door
        own = os.dup(door.fileno())
        store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=own)
        failed = _watch(processes)
        del store
    return _outcome([process.exitcode or 0 for process in processes], failed)


def _begun(devices: int, port: int, method: str) -> Sequence[BaseProcess]:
    """The ranks under way; signals go to all of them."""
    from torch.multiprocessing.spawn import start_processes

    sys.stdout.flush()  # or every rank would have what is still to be written
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until everybody knows what to do with them
    try:
        words = (devices, port, sys.argv)
        context = start_processes(_rank, words, devices, join=False, start_method=method)
        for number in SIGNALS:
            signal.signal(number, _passing(context.processes))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return list(context.processes)


def _rank(rank: int, devices: int, port: int, argv: Sequence[str]) -> None:
    """A rank's whole life; its environment is as torchrun makes it."""
    numbers = {RANK: rank, LOCAL: rank, SIZE: devices, "LOCAL_WORLD_SIZE": devices, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in numbers.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True", BY: "ticketctl"})
    if "lo" in (name for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nothing is heard outside this machine
    os.setsid()  # Ctrl-C reaches the command alone, which passes it on
    sys.argv = list(argv)
    if rank:
        _silence()
    from ticketctl.cli.app import guarded

    code = guarded(_typed)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # what torch would tear down may wait for a rank that is gone


def _typed() -> object:
    """The command, from when it can be stopped."""
    from ticketctl.cli.app import app

    Stop("stopped at once").install()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return app(standalone_mode=False)


def _passing(processes: Sequence[BaseProcess]) -> Callable[[int, FrameType | None], None]:
    """A handler that passes a signal on to all ranks."""

    def passed(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.pid is not None:
                with suppress(OSError):
                    os.kill(process.pid, number)

    return passed


def _watch(processes: Sequence[BaseProcess]) -> int:
    """Wait for all ranks; the first that ended other than well, or 0.

    After that one, and after rank 0, the others have `GRACE` seconds: they can only wait for it.
    """
    left = {process.sentinel: rank for rank, process in enumerate(processes)}
    failed: int | None = None
    end: float | None = None
    while left:
        for sentinel in wait(list(left), None if end is None else max(0.0, end - time.monotonic())):
            rank = left.pop(cast(int, sentinel))
            processes[rank].join()
            failed = rank if failed is None and processes[rank].exitcode not in ORDERLY else failed
            if end is None and (rank == 0 or failed is not None):
                end = time.monotonic() + GRACE
        if end is not None and time.monotonic() >= end:
            for rank in left.values():
                processes[rank].kill()
    return failed or 0


def _outcome(codes: Sequence[int], failed: int) -> int:
    """The exit code of the whole: that of rank 0, unless it ended for the sake of another, which is then named.

    Args:
        codes: of all ranks; below 0 the signal that ended one.
        failed: the first rank that ended other than well.

    Raises:
        ResourceError: a rank was ended by a signal.
    """
    lost = ResourceError.exit_code
    if codes[0] >= 0 and (codes[0] != lost or failed == 0):
        return codes[0]
    if codes[failed] < 0:
        name = signal.Signals(-codes[failed]).name
        raise ResourceError(
            f"rank {failed} of {len(codes)} was ended by {name}; the same command goes on from the last checkpoint"
        )
    note(f"ticketctl: rank {failed} ended with exit code {codes[failed]}; TICKETCTL_DEBUG=1 lets it say why")
    return codes[failed]
