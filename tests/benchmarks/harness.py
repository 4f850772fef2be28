"""Ratios on a shared machine: variants take turns, CPU seconds of one thread are counted, medians are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ticketctl.stages.benchmark_peak import Product, best_rate
from ticketctl.stages.benchmark_turns import Stopwatch, Timing, in_turns

__all__ = ["Timing", "matmul_peak", "take_turns"]


def take_turns(variants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """CPU seconds of a call: each variant runs once to warm up, then all of them `rounds` times, in turn."""
    for run in variants.values():
        run()
    laps = in_turns(variants, lambda done: done < rounds, Stopwatch())
    return {name: Timing.of(lap.work for lap in one) for name, one in laps.items()}


def matmul_peak(dtype: torch.dtype, size: int = 1024, repeats: int = 8) -> float:
    """FLOP per CPU second of a square product, the best of three."""
    return best_rate(Product(size, dtype, torch.device("cpu")), Stopwatch(), repeats)
