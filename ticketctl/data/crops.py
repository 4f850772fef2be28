"""Where an image is cut at random: torchvision's RandomResizedCrop, from one random word of the image.

A word is spread into as many as the search for a box needs by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), so a
box depends on the word and the image's size alone, not on other images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_TRIES = 10


@dataclass(frozen=True)
class Crop:
    """What boxes may be: their share of the image's area, and width over height, both from ... to."""

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)


class Box(NamedTuple):
    """Pixels of an image: first row and column, how many, and whether they are mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def box_of(word: int, height: int, width: int, crop: Crop) -> Box:
    """The box of an image (Szegedy et al. 2015; torchvision's `RandomResizedCrop.get_params`).

    Ten times an area uniform in `scale` and a ratio log-uniform in `ratio` are drawn; the first box that fits lies
    anywhere. Where none fits, it is the largest in the middle whose ratio is allowed. Half of all are mirrored.

    Args:
        word: 64 random bits.
        height: of the image, in pixels.
        width: of the image.
        crop: what is allowed.
    """
    words = _Words(word)
    flip = words.uniform() < 0.5
    lowest, highest = (math.log(end) for end in crop.ratio)
    for _ in range(_TRIES):
        area = height * width * words.between(*crop.scale)
        ratio = math.exp(words.between(lowest, highest))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return Box(words.below(height - high + 1), words.below(width - wide + 1), high, wide, flip)
    wide, high = _largest(height, width, crop.ratio)
    return Box((height - high) // 2, (width - wide) // 2, high, wide, flip)


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Width and height of the largest box of an allowed ratio."""
    if width / height < ratio[0]:
        return width, max(1, round(width / ratio[0]))
    if width / height > ratio[1]:
        return max(1, round(height * ratio[1])), height
    return width, height


class _Words:
    """Random numbers of one image, one after the other."""

    def __init__(self, word: int) -> None:
        self._at = word

    def uniform(self) -> float:
        """In [0, 1), 53 bits."""
        self._at = (self._at + _STEP) & _MASK
        mixed = ((self._at ^ (self._at >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.uniform()

    def below(self, count: int) -> int:
        """0 ... count - 1."""
        return min(count - 1, int(self.uniform() * count))
