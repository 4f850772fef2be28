"""What the layouts of segmented sets have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Concept:
    """What can be seen in an image: "red", of the category "color"."""

    name: str
    category: str


@dataclass(frozen=True)
class Planes:
    """Where an image shows what: a bool mask [height, width] by the place of its concept."""

    size: tuple[int, int]
    """Height and width."""
    masks: Mapping[int, NDArray[np.bool_]]


@dataclass(frozen=True)
class Layout:
    """A set that was looked over; its masks are read one by one."""

    concepts: tuple[Concept, ...]
    images: Sequence[str]
    """Their files."""
    planes: Callable[[int], Planes]
    """Of the image at a place."""
