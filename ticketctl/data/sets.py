"""What every data set is once it is loaded: two splits of uint8 images, their names and their scale."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.progress import Reporter


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] and labels int64 [N]; either may be memory-mapped, and images may be a `Streamed`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    positions: NDArray[np.int64] | None = None
    """Where each image stands in the order in which the set was published, int64 [N]; None: at its own index."""
    clean: NDArray[np.int64] | None = None
    """The data set's own labels, int64 [N], where `labels` are others that a training is given; None: `labels` are."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSet:
    """A loaded data set; `fingerprint` names its content.

    `mean` and `std` are per channel, of pixels scaled to [0, 1]. `augment` is the augmentation its literature
    trains with: "none" or "crop-flip".
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    augment: str

    @property
    def streamed(self) -> bool:
        """Whether images stay in their files (`data.stream`) and are no arrays."""
        return not isinstance(self.train.images, np.ndarray)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)


@dataclass(frozen=True)
class Source:
    """Where data may come from: the user's folder, our cache, the network unless `offline`.

    `target` is what followed the colon of the name (`imagefolder:PATH`), or None.
    """

    cache: Path
    reporter: Reporter
    folder: Path | None = None
    offline: bool = False
    target: str | None = None
    options: dict[str, Any] | None = None
    workers: int = 1
    """Threads that may decode."""

    @property
    def place(self) -> Path | None:
        """The file or folder that was named, links followed; None: the set is one that is published."""
        named = self.target if self.target is not None else self.folder
        return None if named is None else Path(os.path.realpath(os.path.expanduser(named)))


@dataclass(frozen=True)
class Decoded:
    """What a plug-in reads: both splits, and `scale` (mean, std) where it is known; else it is measured."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    augment: str
    scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    fingerprint: str | None = None
    """Of a set whose pixels are not all at hand; None: it is taken of them."""


@dataclass(frozen=True)
class Found:
    """A source looked up but not read: what a plug-in's `find(name, source)` returns, at once and offline.

    `identity` names the content: equal identity and options, equal pixels. `read` decodes it, and fetches
    what is missing. With `keep` the result is kept decoded in the cache, and `read` is not called again.
    """

    identity: str
    read: Callable[[], Decoded]
    keep: bool = True
