"""Corrupted images: the 19 corruptions of CIFAR-10-C in 5 severities, made here or read from a user's folder.

Made by the constants of the paper's released CIFAR code (Hendrycks and Dietterich 2019), each image from random
numbers of its own. The released code sets no seed, so that its files can be recognised and not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from ticketctl.data._sources import read_whole
from ticketctl.data.corruptions import blur, digital, noise, photographs, spatter, weather
from ticketctl.data.corruptions.constants import LEVELS, Level
from ticketctl.data.corruptions.numbers import Bytes, Numbers
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError, near_miss
from ticketctl.seeds import Seeds
from ticketctl.store.documents import canonical_json

SEVERITIES = 5
STANDARD = tuple(LEVELS)[:15]
"""The 15 of mCE, in the paper's order."""
EXTRA = tuple(LEVELS)[15:]
"""The 4 that the paper offers for validation."""
SMALLEST = 8
"""Pixels of a side."""
_VERSION = 1
"""Counts changes in what pixels come out."""
_BLOCK = 1 << 16
"""Pixels of the images that are worked on at a time."""
_MAX_FILE = 64 << 20

Maker = Callable[[Bytes, Level, Numbers, float], Bytes]
_MAKERS: dict[str, Maker] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter.spatter,
    "saturate": digital.saturate,
}


class Stamp(NamedTuple):
    """Where corrupted images come from, and why that is said of them ("" if there is nothing to say)."""

    kind: Literal["official", "modified", "generated", "folder"]
    reason: str = ""


class Corrupted(Protocol):
    """The corrupted versions of one list of images."""

    @property
    def count(self) -> int:
        """How many images there are of each corruption and severity; places run from 0 to count - 1."""

    def names(self) -> tuple[str, ...]:
        """The corruptions that are there, standard ones first."""

    def severities(self, name: str) -> tuple[int, ...]:
        """The severities of a corruption that are there, of 1 to 5."""

    def missing(self) -> tuple[str, ...]:
        """Standard corruptions that are not there, as `fog`, and single severities, as `fog/3`."""

    def read(self, name: str, severity: int, places: NDArray[np.int64]) -> Split:
        """The images at these places, and their labels."""

    def stamp(self, name: str) -> Stamp:
        """What a corruption's images are."""

    def fingerprint(self, name: str) -> str:
        """Names their content: of equal fingerprints the images are equal."""


def corrupt(
    images: NDArray[np.uint8],
    name: str,
    severity: int,
    places: NDArray[np.int64],
    seeds: Seeds,
    poll: Callable[[], None] = lambda: None,
    frost: Path | None = None,
) -> NDArray[np.uint8]:
    """Corrupted copies of images.

    Args:
        images: uint8 [N, C, H, H], C being 1 or 3. Grey images are made three equal channels, of which the first is
            kept (so `saturate` changes nothing). For H other than 32 all lengths in pixels are scaled by H / 32.
        name: one of `STANDARD` and `EXTRA`.
        severity: 1 to 5.
        places: int64 [N], each image's place in its data set: its random numbers depend on nothing else.
        seeds: the stream `corrupt`.
        poll: called for each block of images; may raise.
        frost: folder with the photographs of frost; None: a texture of our own.

    Returns:
        uint8 [N, C, H, H].

    Raises:
        UsageError: no such corruption or severity; images that are not square, or too small.
        UnavailableError: a photograph is missing or damaged.
    """
    _check(images.shape, name, severity)
    pieces = _pieces(images.shape[-1], seeds, frost) if name == "frost" else []
    return _corrupted(images, name, severity, places, seeds, poll, pieces)


def _corrupted(
    images: NDArray[np.uint8],
    name: str,
    severity: int,
    places: NDArray[np.int64],
    seeds: Seeds,
    poll: Callable[[], None],
    pieces: list[Bytes],
) -> NDArray[np.uint8]:
    """`pieces` are what frost is made of."""
    make = _MAKERS[name] if name != "frost" else partial(_frost, pieces)
    found = np.empty(images.shape, dtype=np.uint8)
    block = max(1, _BLOCK // images.shape[-1] ** 2)
    for start in range(0, len(images), block):
        poll()
        some = np.asarray(images[start : start + block])
        colour = some if some.shape[1] == 3 else np.repeat(some, 3, axis=1)
        numbers = Numbers(seeds, name, severity, places[start : start + block])
        made = make(colour, LEVELS[name][severity - 1], numbers, images.shape[-1] / 32)
        found[start : start + block] = made[:, : some.shape[1]]
    return found


def stamp(shape: tuple[int, int, int], name: str, frost: Path | None) -> Stamp:
    """What images that `corrupt` makes are: "generated", or "modified" with the reasons.

    Args:
        shape: channels, height, width.
        name: the corruption.
        frost: the folder of photographs, if there is one.
    """
    reasons = []
    if shape[1] != 32:
        reasons.append(f"lengths scaled by {shape[1]}/32")
    if shape[0] == 1:
        reasons.append("first of three equal channels")
    if name == "frost" and frost is None:
        reasons.append("a texture of our own in the place of the photographs")
    return Stamp("modified" if reasons else "generated", "; ".join(reasons))


@dataclass(frozen=True)
class Generated:
    """All 19 corruptions of `base`, made when they are asked for."""

    base: Split
    identity: str
    """The fingerprint of the images of `base`."""
    seeds: Seeds
    frost: Path | None = None
    poll: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def count(self) -> int:
        """Images of `base`."""
        return len(self.base)

    def names(self) -> tuple[str, ...]:
        """All 19."""
        return STANDARD + EXTRA

    def severities(self, name: str) -> tuple[int, ...]:
        """All 5."""
        return tuple(range(1, SEVERITIES + 1))

    def missing(self) -> tuple[str, ...]:
        """None."""
        return ()

    def read(self, name: str, severity: int, places: NDArray[np.int64]) -> Split:
        """See `corrupt`."""
        clean = self.base.images[places]
        _check(clean.shape, name, severity)
        pieces = self._frosty if name == "frost" else []
        images = _corrupted(clean, name, severity, places, self.seeds, self.poll, pieces)
        return Split(images, np.asarray(self.base.labels[places]))

    @cached_property
    def _frosty(self) -> list[Bytes]:
        """What frost is made of: images are read piece by piece, and it is the same for all."""
        return _pieces(self.base.images.shape[-1], self.seeds, self.frost)

    def stamp(self, name: str) -> Stamp:
        """See `stamp`."""
        _, channels, high, wide = self.base.images.shape
        return stamp((channels, high, wide), name, self.frost)

    def fingerprint(self, name: str) -> str:
        """Of the images, the seed, this code, the photographs and what writes and reads JPEG."""
        files = _photographs(self.frost) if name == "frost" and self.frost else []
        rows = [_VERSION, name, self.identity, self.seeds.of("corrupt"), files]
        if name == "jpeg_compression":
            rows.append(_jpeg())
        return f"generated:{hashlib.sha256(canonical_json(rows)).hexdigest()}"


def _photographs(folder: Path) -> list[str]:
    return [hashlib.sha256(read_whole(folder / name, _MAX_FILE)).hexdigest() for name in photographs.FILES]


def _jpeg() -> list[str]:
    """Versions of Pillow and of its libjpeg: others round otherwise."""
    found = [PIL.__version__, features.version_codec("jpg"), features.version_feature("libjpeg_turbo")]
    return [str(version) for version in found]


def _pieces(size: int, seeds: Seeds, folder: Path | None) -> list[Bytes]:
    return photographs.photographs(folder, size) if folder else photographs.textures(size, seeds)


def _frost(pieces: list[Bytes], images: Bytes, level: Level, numbers: Numbers, scale: float) -> Bytes:
    return weather.frost(images, level, numbers, pieces)


def _check(shape: tuple[int, ...], name: str, severity: int) -> None:
    if name not in LEVELS:
        raise UsageError(f"no corruption named {name!r}; {near_miss(name, LEVELS)}")
    if severity not in range(1, SEVERITIES + 1):
        raise UsageError(f"severity {severity} of {name}: there are 1 to {SEVERITIES}")
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3] or shape[2] < SMALLEST:
        takes = f"grey or colour images that are square and have {SMALLEST} pixels or more a side"
        raise UsageError(f"{name} takes {takes}, not {list(shape[1:])}")
