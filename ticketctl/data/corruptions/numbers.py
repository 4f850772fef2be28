"""Random numbers of each image, by its place in the data set: whichever images are made, it gets the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.seeds import Seeds

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """The stream `corrupt` of n images under one corruption and severity."""

    seeds: Seeds
    name: str
    severity: int
    places: Whole
    """[n], each image's place in its data set."""

    def words(self, what: str, count: int) -> Words:
        """Random words for the purpose `what`, uint64 [n, count]."""
        found = np.empty((len(self.places), count), dtype=np.uint64)
        for index, place in enumerate(self.places.tolist()):
            found[index] = self.seeds.raw("corrupt", self.name, self.severity, place, what, count=count)
        return found

    def uniform(self, what: str, *shape: int) -> Floats:
        """Uniform numbers in [0, 1), float64 [n, *shape]."""
        return _unit(self.words(what, int(np.prod(shape)))).reshape(-1, *shape)

    def normal(self, what: str, *shape: int) -> Floats:
        """Standard normal numbers, float64 [n, *shape], two of each two words (Box and Muller 1958)."""
        size = int(np.prod(shape))
        half = -(-size // 2)
        uniform = _unit(self.words(what, 2 * half))
        length = np.sqrt(-2 * np.log1p(-uniform[:, :half]))
        turn = 2 * np.pi * uniform[:, half:]
        both = np.concatenate([length * np.cos(turn), length * np.sin(turn)], axis=1)
        return both[:, :size].reshape(-1, *shape)


def _unit(words: Words) -> Floats:
    found: Floats = (words >> np.uint64(11)).astype(np.float64) / (1 << 53)
    return found


def grey_levels(values: Floats) -> Bytes:
    """Floats to uint8: clipped to [0, 255], then cut to whole levels downwards."""
    return np.clip(values, 0, 255).astype(np.uint8)
