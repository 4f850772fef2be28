"""The yardstick of a device: how fast it multiplies square matrices."""

from __future__ import annotations

import math
import time

import torch

from ticketctl.stages.benchmark_turns import Stopwatch

CPU_SIZES, GPU_SIZES = (512, 1024, 2048), (4096, 8192)
"""Rows that are tried."""
DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


class Product:
    """A product of two square matrices of `size` rows."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        numbers = torch.Generator().manual_seed(0)
        self.size = size
        self.left, self.right = (
            torch.randn(size, size, generator=numbers).to(device, dtype) for _ in range(2)
        )

    @property
    def flop(self) -> float:
        """Of one product: a multiplication and an addition for each of size^3."""
        return 2.0 * self.size**3

    def __call__(self) -> None:
        """One product."""
        torch.mm(self.left, self.right)


def best_rate(product: Product, watch: Stopwatch, repeats: int = 8, laps: int = 3) -> float:
    """FLOP a second, the best of some laps of `repeats` products, after one that is not counted."""
    product()
    return max(product.flop / watch.lap(product, repeats).work for _ in range(laps))


def saturating(precision: str, device: torch.device, watch: Stopwatch, seconds: float = math.inf) -> Product:
    """The product of the size that is multiplied fastest.

    Args:
        precision: `bf16` or `f32`.
        device: where.
        watch: what is timed with.
        seconds: about how long it may take. The smallest size is always tried, larger ones as long as there is time.
    """
    began, rates = time.perf_counter(), dict[Product, float]()
    for size in GPU_SIZES if device.type == "cuda" else CPU_SIZES:
        # twice the rows or more, at the same rate, each of six calls or so
        wall = max((6 * 2.0 * size**3 / rate for rate in rates.values()), default=0.0)
        if rates and time.perf_counter() - began + wall > seconds:
            break
        product = Product(size, DTYPES[precision], device)
        rates[product] = best_rate(product, watch, watch.repeats(product, seconds / 10))
    return max(rates, key=lambda one: rates[one])
