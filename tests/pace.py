"""What a piece of work costs, as a multiple of a reference in the same run: no test knows how fast its machine is."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

ROWS = [{"name": f"row {number}", "values": [number / 7] * 8} for number in range(2_000)]


def reference() -> float:
    """Processor seconds for writing and reading the same JSON five times: about 0.1 where the figures were taken."""
    begun = process_time()
    for _ in range(5):
        json.loads(json.dumps(ROWS))
    return process_time() - begun


def times_reference(work: Callable[[], object]) -> float:
    """How many references `work` takes of the processor; the reference is done before and after it."""
    before = reference()
    begun = process_time()
    work()
    took = process_time() - begun
    return 2 * took / (before + reference())


def times_importing_torch(
    argv: Sequence[str], folder: Path
) -> tuple[float, subprocess.CompletedProcess[str]]:
    """A Python command's processor time over that of `import torch`, and what it said."""

    def took(words: Sequence[str]) -> tuple[float, subprocess.CompletedProcess[str]]:
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=True
        )
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime, done

    torch, _ = took(["-c", "import torch"])
    ours, said = took(argv)
    return ours / torch, said
