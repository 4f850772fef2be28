"""A set of images that a net under audit is shown, and which of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import scaling_of
from ticketctl.stages.subject import Subject
from ticketctl.train.feed import Images
from ticketctl.train.predict import batch_on

PIECE = 64 << 20
"""Bytes of images that are made, read and held at a time, about."""


@dataclass(frozen=True)
class Source:
    """A set of images: how they are had, and which they are."""

    pieces: Callable[[], Iterable[Images]]
    """All of them, in order: piece by piece, for there may be more than memory holds; of the net's own sets, one."""
    count: int
    name: str
    """Of the data set that they are of."""
    fingerprint: str
    split: str
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """What else they depend on: plain JSON."""
    places: NDArray[np.int64] | None = None
    """int64 [count], which of the split they are, ascending; None: all."""

    def images(self) -> Images:
        """One of the net's own sets."""
        (found,) = self.pieces()
        return found


@dataclass
class Shelf:
    """Images that several nets of one command are shown, so that they are made once; as many as there is room for."""

    room: int = 1 << 30
    """Bytes."""
    held: dict[Hashable, Split] = field(default_factory=dict)

    def get(self, key: Hashable, make: Callable[[], Split]) -> Split:
        """What `key` stands for, as it lies here or as `make` makes it."""
        if key in self.held:
            return self.held[key]
        found = make()
        if found.images.nbytes <= self.room:
            self.room -= found.images.nbytes
            self.held[key] = found
        return found


def chosen(count: int, most: int | None, seeds: Seeds, *position: str) -> NDArray[np.int64] | None:
    """Which of `count` images are shown: int64 [most], ascending, drawn without replacement; None: all."""
    if most is None or most >= count:
        return None
    return np.sort(seeds.order("subset", "audit", *position, count=count)[:most])


def picked(images: Images, places: NDArray[np.int64] | None) -> Images:
    """Those of the images; None: all."""
    return images if places is None else images.pick(places)


def images_of(split: Split, subject: Subject) -> Images:
    """Images as the net of `subject` takes them, on its device."""
    setting = subject.setting
    place = setting.bench.place.device
    return Images(split, None, scaling_of(setting.recipe, setting.data.shape[0], place), place)


def in_pieces(
    read: Callable[[NDArray[np.int64]], Split], places: NDArray[np.int64], subject: Subject
) -> Iterator[Images]:
    """The images that `read` finds at `places`, as the net takes them; pieces are of whole batches.

    Args:
        read: of some of the places; called for one piece after another.
        places: int64 [N].
        subject: the net.
    """
    batch = batch_on(subject.setting.bench.place.device)
    size = max(1, PIECE // (batch * int(np.prod(subject.setting.data.shape)))) * batch
    for start in range(0, len(places), size):
        yield images_of(read(places[start : start + size]), subject)
