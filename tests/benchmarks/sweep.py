"""What two processes bring: the same sweep on one and on two, taking turns, on a machine that does nothing else.

`python -m tests.benchmarks.sweep [--rounds 3] [--epochs 30] [--model lenet-300-100] [--json]`; each run is a whole
`ticketctl sweep`, from start to end, in a workspace of its own. Seconds of the clock count, for cores do; how busy the
machine was with others is told from /proc/stat.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRID = """
title = "two processes"
seeds = "0-7"
dense = false
[axes]
model = "{model}"
data = "digits"
method = "random"
density = "0.1"
[sets]
"train.epochs" = {epochs}
"""


def busy() -> tuple[float, float]:
    """Processor seconds of the machine so far, in all and at work."""
    words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    ticks = [int(word) / 100 for word in words]
    return sum(ticks[:8]), sum(ticks[:8]) - ticks[3] - ticks[4]


def own() -> float:
    """Processor seconds of the children of this process so far."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(grid: Path, workers: int) -> tuple[float, float]:
    """Of a whole sweep, and the share of the machine's cores that others took meanwhile."""
    with tempfile.TemporaryDirectory() as place:
        words = [
            "sweep",
            str(grid),
            "--workspace",
            place,
            "--workers",
            str(workers),
            "--device",
            "cpu",
            "--quiet",
        ]
        (_, before), mine, began = busy(), own(), time.perf_counter()
        run = [sys.executable, "-m", "ticketctl", *words]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - began
        foreign = busy()[1] - before - (own() - mine)
    return took, max(0.0, foreign) / took


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--model", default="lenet-300-100")
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        grid = Path(place) / "grid.toml"
        grid.write_text(GRID.format(model=typed.model, epochs=typed.epochs))
        for _ in range(typed.rounds):
            (one, beside), (two, beside_two) = seconds(grid, 1), seconds(grid, 2)
            rows.append({"one": one, "two": two, "ratio": one / two, "others": max(beside, beside_two)})
    found = {"rounds": rows, "ratio": statistics.median(row["ratio"] for row in rows)}
    if typed.json:
        print(json.dumps(found))
        return
    for row in rows:
        print(
            f"one {row['one']:6.1f} s, two {row['two']:6.1f} s: {row['ratio']:.2f}; "
            f"others took {row['others']:.2f} cores"
        )
    print(f"median {found['ratio']:.2f}")


if __name__ == "__main__":
    main()
