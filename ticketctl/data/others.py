"""Images that are not of a data set, to see whether a net tells them from its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._class_folder import ClassFolder, class_folder
from ticketctl.data._sources import stat_identity
from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds

NOISE = "noise"
"""The name of the set that every net can be shown."""
KIN = {
    "cifar10": ("cifar100",),
    "cifar100": ("cifar10",),
    "mnist": ("fashion-mnist", "kmnist"),
    "fashion-mnist": ("mnist", "kmnist"),
    "kmnist": ("mnist", "fashion-mnist"),
}
"""For each data set, those of the same form whose test images are shown to its nets."""
NO_LABEL = -1


def unlabelled(images: NDArray[np.uint8]) -> Split:
    """Images [N, C, H, W] of no class."""
    return Split(images, np.full(len(images), NO_LABEL, dtype=np.int64))


def noise(shape: tuple[int, int, int], numbers: NDArray[np.int64], seeds: Seeds) -> Split:
    """Gaussian noise: pixels clip(N(0, 1/4), -1, 1) / 2 + 1/2 of full white (the released code of paper 004).

    Args:
        shape: channels, height, width.
        numbers: int64 [N], which of them; an image depends on its number alone.
        seeds: the stream `noise`.

    Returns:
        uint8 [N, C, H, W], without labels.
    """
    size = int(np.prod(shape))
    images = np.empty((len(numbers), *shape), dtype=np.uint8)
    for place, number in enumerate(numbers.tolist()):
        values = np.clip(0.5 * _normal(seeds.raw("noise", number, count=2 * size), size), -1, 1)
        images[place] = np.rint(255 * (values / 2 + 0.5)).astype(np.uint8).reshape(shape)
    return unlabelled(images)


def _normal(raw: NDArray[np.uint64], size: int) -> NDArray[np.float64]:
    """`size` normal numbers of 2 * size random words (Box and Muller 1958)."""
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    found: NDArray[np.float64] = np.sqrt(-2 * np.log(uniform[:size])) * np.cos(2 * np.pi * uniform[size:])
    return found


@dataclass(frozen=True)
class Strangers:
    """A user's images DIR/CLASS/IMAGE, as ImageNet-O is published; CLASS says where a net may take them to belong."""

    folder: Path
    shape: tuple[int, int, int]
    """Channels, height, width that they are brought to."""
    poll: Callable[[], None] = lambda: None

    @cached_property
    def _listed(self) -> ClassFolder:
        return class_folder(self.folder)

    def __len__(self) -> int:
        return len(self._listed.rows)

    @property
    def classes(self) -> list[str]:
        """The names of the folders, sorted."""
        return sorted({label for label, _ in self._listed.rows})

    @property
    def fingerprint(self) -> str:
        """Of the files' names, sizes and times."""
        return stat_identity(self.folder, [file for _, file in self._listed.rows])

    def read(self, places: NDArray[np.int64]) -> Split:
        """The images at `places`, in the order of classes and file names, without labels.

        Raises:
            UnavailableError: an image is damaged.
            UsageError: an image is of another form.
        """
        return unlabelled(self._listed.images(places, self.shape, self.poll))


def among(theirs: Iterable[str], own: Sequence[str]) -> list[int] | None:
    """Which of a net's classes are meant by class folders of other images, ascending; None: they are not some of them.

    ImageNet-O was picked against 200 classes of ImageNet, whose folders it has: there a net is asked about these
    classes and their test images alone (Natural Adversarial Examples, Hendrycks et al. 2021).

    Args:
        theirs: the folders' names.
        own: the names of the net's classes, in the order of its logits.
    """
    wanted = {*theirs}
    return [place for place, name in enumerate(own) if name in wanted] if wanted < {*own} else None
