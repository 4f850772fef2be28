"""Ratios on a shared machine: variants take turns, CPU seconds of one thread are counted, medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """CPU seconds of one call, over the rounds."""

    median: float
    least: float
    most: float


def take_turns(variants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """Run each variant once to warm up, then all of them `rounds` times, in turn."""
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return {name: Timing(statistics.median(one), min(one), max(one)) for name, one in seconds.items()}


def matmul_peak(dtype: torch.dtype, size: int = 1024, repeats: int = 8) -> float:
    """FLOP per CPU second of a square product, the best of three."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    left @ right
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        for _ in range(repeats):
            left @ right
        best = max(best, repeats * 2 * size**3 / (time.process_time() - began))
    return best
