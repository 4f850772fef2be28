"""What a curve is handed: trained nets, and the images that losses between them, or about them, are measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State

Point = Mapping[str, NDArray[Any]]
"""What was measured at one place, by name: float64, float32, int64 or uint8 arrays."""
Make = Callable[[], Point]
Keep = Callable[[str, Make], Point]
"""The point of a name: as it was kept, or made now and kept. Equal names are equal points of one measurement."""


def unkept(name: str, make: Make) -> Point:
    """Nothing is kept: for tests, and for measurements that take a moment."""
    del name
    return {key: np.asarray(value) for key, value in make().items()}


@dataclass(frozen=True)
class End:
    """A net at an end of a path, or alone in its landscape."""

    name: str
    """Short, for tables and arrays: `0`, `twin-1`, `level-3`."""
    state: State
    """Weights and buffers, float32 on the CPU, as the net of `Terrain.specimen` has them by name."""
    mask: Mask | None
    """None: the net is dense."""


@dataclass(frozen=True)
class Terrain:
    """Nets of one architecture on one data set. Whoever measures leaves the specimen's net as it was found."""

    specimen: Specimen
    """The net, holding the first end; images `train` (unaugmented), `val` if any, `test`."""
    ends: tuple[End, ...]
    seeds: Seeds
    """Streams of the measurement: `landscape`, `perturb` …"""
    keep: Keep = field(default=unkept)
    """Long measurements go point by point, so that a stopped one goes on where it was."""
