"""What torch has once for a whole process, where several jobs may be threads of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

ALONE = threading.RLock()
"""Held by whoever captures a CUDA graph, during which nobody may empty torch's cache of memory, or borrows torch's own
random generators. Everything else that a job needs is its own."""


@contextmanager
def borrowed_generators(devices: Sequence[int] = ()) -> Iterator[None]:
    """For code that takes numbers from torch's own generators: they are given back as they were.

    Args:
        devices: numbers of the GPUs whose generators are meant, beside the CPU's.
    """
    with ALONE, torch.random.fork_rng(devices=list(devices)):
        yield
