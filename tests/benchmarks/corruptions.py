"""What corrupting images costs: milliseconds an image of 32 x 32 pixels, and all 19 x 5 sets of 10,000 images.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.corruptions [--images 256] [--repeats 3] [--json FILE]

CPU seconds of one thread, the least of the repeats, which take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from ticketctl.data.corrupted import EXTRA, SEVERITIES, STANDARD, corrupt
from ticketctl.seeds import Seeds

ALL = 10_000
LIMIT = 480.0
"""Seconds, for all."""


def measure(images: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds an image, by corruption and severity."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    places = np.arange(images)
    found = {name: [float("inf")] * SEVERITIES for name in STANDARD + EXTRA}
    for _ in range(repeats):
        for name, least in found.items():
            for severity in range(1, SEVERITIES + 1):
                began = time.process_time()
                corrupt(pixels, name, severity, places, Seeds(0))
                spent = 1e3 * (time.process_time() - began) / images
                least[severity - 1] = min(least[severity - 1], spent)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = measure(chosen.images, chosen.repeats)
    print("ms an image, severities 1 to 5")
    for name, times in found.items():
        print(f"{name:18}", *(f"{value:7.3f}" for value in times))
    total = sum(map(sum, found.values())) * ALL / 1e3
    print(f"all of {ALL} images: {total:.0f} s of CPU time, {total / LIMIT:.2f} of the {LIMIT:.0f} s allowed")
    if chosen.json:
        chosen.json.write_text(json.dumps({"ms": found, "seconds": total}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
