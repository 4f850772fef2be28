"""Capturing a step as one CUDA graph, in a process that may be at several trainings, each on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from ticketctl.nets.torch_wide import ALONE

WARM_UP = 3
"""Steps before a capture, as the libraries choose and set up what they use; they leave no trace."""


def captured(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """The step as a graph; it was run some times, and captured once.

    Raises:
        RuntimeError: it cannot be captured; the current stream may be another then.
    """
    with ALONE:
        stream = _own_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        return _recorded(step, stream)


def _recorded(step: Callable[[], None], stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        # of this thread alone: others go on meanwhile
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            step()
    except RuntimeError:
        # torch (2.11 at least) leaves its allocator waiting for the end of a capture that failed, and then refuses to
        # empty its cache, which every later capture of this process begins with
        with suppress(RuntimeError):  # it has been ended
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
            torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
        raise
    return graph


def _own_stream() -> torch.cuda.Stream:
    """A stream to capture on: the one that work runs on, unless that is the default, on which nothing can be captured.

    Where several trainings share a process each runs on a stream of its own, and a new one could be another's: torch
    hands out the same 32 in turns.
    """
    current = torch.cuda.current_stream()
    return torch.cuda.Stream() if current == torch.cuda.default_stream() else current


def moved_alike(before: Tensor, replayed: Tensor, eager: Tensor) -> bool:
    """Whether a replay moved a tensor as an eager step from the same state did, within a twentieth."""
    ours, theirs = (after.double() - before.double() for after in (replayed, eager))
    return bool((ours - theirs).norm() <= 0.05 * theirs.norm() + 1e-7 * before.double().norm())
