"""A sweep killed again and again, in whatever way, ends in the bytes of one that nobody disturbed.

`python -m tests.sweep_marathon FOLDER --kills 20` prints one JSON object: how many kills there were, of which kind, how
long it took, and how many of the files of the undisturbed sweep are there byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

GRID = """
title = "{draws} draws, {spends} spends"
seeds = "0-{last}"
dense = false

[axes]
model = "lenet-300-100"
data = "digits"
method = ["random", "er", "mag-init", "snip"]
density = "0.1"
spend = ["train.lr=0.02", "train.lr=0.03"]

[sets]
"train.epochs" = {epochs}
"train.batch" = 128
"""
OWN = {".jobs", ".sweeps"}
"""Folders that tell of executions, and hold no artifact."""
VARY = {"provenance.json", ".lock"}


def grid(seeds: int, epochs: int) -> str:
    """Four methods, so many seeds, two spends of each draw."""
    return GRID.format(draws=4 * seeds, spends=8 * seeds, last=seeds - 1, epochs=epochs)


def files(workspace: Path) -> dict[str, str]:
    """Digests of all files that are a function of the plan."""
    found = {}
    for path in sorted(workspace.rglob("*")):
        parts = path.relative_to(workspace).parts
        if path.is_file() and not OWN.intersection(parts) and path.name not in VARY:
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


IN_LANES = """
from ticketctl.__main__ import main
from ticketctl.stages import pools
if __name__ == "__main__":
    slots_of = pools.slots_of
    pools.slots_of = lambda devices, each, cores, **_: slots_of(devices, each, cores, streams=True)
    main()
"""
"""The program, whose jobs are lanes of one process on a CPU too."""


def command(plan: Path, workspace: Path, workers: int, *, lanes: bool = False) -> list[str]:
    """The sweep, quiet."""
    start = ["-m", "ticketctl"]
    if lanes:
        start = [str(plan.parent / "in_lanes.py")]
        Path(start[0]).write_text(IN_LANES)
    words = ["sweep", str(plan), "--workspace", str(workspace), "--workers", str(workers), "--device", "cpu"]
    return [sys.executable, *start, *words, "--quiet"]


def undisturbed(argv: list[str], workspace: Path) -> tuple[float, float]:
    """Seconds until a first job was done, and until all were."""
    begun, first = time.monotonic(), 0.0
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        states = workspace.glob(".jobs/*/state.json")
        if not first and any(b'"kind":"done"' in path.read_bytes() for path in states):
            first = time.monotonic() - begun
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"the undisturbed sweep left with {process.returncode}")
    return first, time.monotonic() - begun


def killed(argv: list[str], wait: float, how: str) -> int | None:
    """Run for so many seconds, then kill; None: it had ended before."""
    process = subprocess.Popen(
        argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        _kill(process.pid, how)
        return process.wait(120)
    return None


def _kill(pid: int, how: str) -> None:
    if how == "worker":
        for child in _children(pid):
            os.kill(child, signal.SIGKILL)
        time.sleep(1)
        os.kill(pid, signal.SIGKILL)
    elif how == "all":
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, {"driver": signal.SIGKILL, "term": signal.SIGTERM, "ctrl-c": signal.SIGINT}[how])


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lanes", action="store_true", help="what is killed does its jobs in lanes of one process"
    )
    typed = parser.parse_args()
    plan, chance = typed.folder / "grid.toml", random.Random(typed.seed)
    typed.folder.mkdir(parents=True, exist_ok=True)
    plan.write_text(grid(typed.seeds, typed.epochs))
    first, whole = undisturbed(command(plan, typed.folder / "whole", typed.workers), typed.folder / "whole")
    ways, hurt = Counter[str](), command(plan, typed.folder / "hurt", typed.workers, lanes=typed.lanes)
    while sum(ways.values()) < typed.kills:
        how = chance.choice(["driver", "all", "worker", "term", "ctrl-c"])
        if killed(hurt, chance.uniform(0.3, 1.3) * first, how) is None:
            break
        ways[how] += 1
    last = subprocess.run(hurt, check=False, stdout=subprocess.DEVNULL)
    wanted, found = files(typed.folder / "whole"), files(typed.folder / "hurt")
    same = sum(found.get(name) == digest for name, digest in wanted.items())
    jobs = len(list((typed.folder / "whole" / ".jobs").glob("*/state.json")))
    print(json.dumps({
        "jobs": jobs, "kills": sum(ways.values()), "ways": dict(ways),
        "exit": last.returncode, "files": len(wanted), "identical": same, "beside": len(found.keys() - wanted.keys()),
        "seconds": round(whole, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
