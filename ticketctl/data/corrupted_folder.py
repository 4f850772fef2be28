"""Corrupted images in a user's folder: the .npy files of CIFAR-10-C and its like, or ImageNet-C's tree of images.

CIFAR-10-C is `NAME.npy`, uint8 [5 N, H, W, C], severity s in rows (s - 1) N to s N - 1, and `labels.npy` [5 N]. Each
file is known by its MD5. ImageNet-C is NAME/SEVERITY/CLASS/IMAGE, read as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ticketctl.data._class_folder import ClassFolder, class_folder
from ticketctl.data._images import Rows
from ticketctl.data._sources import stat_identity
from ticketctl.data.corrupted import EXTRA, SEVERITIES, STANDARD, Corrupted, Stamp
from ticketctl.data.corruptions.known import PUBLISHED, TITLES
from ticketctl.data.sets import Split
from ticketctl.errors import UnavailableError, UsageError

_ALL = STANDARD + EXTRA
_LEVELS = tuple(range(1, SEVERITIES + 1))
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Clean:
    """The test images that a folder has corrupted versions of, as far as it is checked against them."""

    name: str
    """Of their data set, `cifar10`."""
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]


def opened(folder: Path, clean: Clean, poll: Callable[[], None] = lambda: None) -> Corrupted:
    """The corrupted images in `folder`, of either layout.

    Args:
        folder: the user's.
        clean: what they are of.
        poll: called between files and blocks of files; may raise.

    Raises:
        UnavailableError: there are none, or `labels.npy` is missing or damaged.
        UsageError: they are not of these test images, or a file leads out of the folder.
    """
    if any((folder / f"{name}.npy").exists() for name in _ALL):
        _check_labels(folder, clean)
        found = Arrays(folder, clean, poll)
        for name in found.names():  # before anything is measured
            found.array(name)
        return found
    if any((folder / name).is_dir() for name in _ALL):
        return Tree(folder, clean, poll)
    raise UnavailableError(f"{folder}: neither NAME.npy nor NAME/SEVERITY/CLASS/ is there, as NAME {_ALL[0]}")


class _Folder:
    """What both layouts have; which sets are there is found by `severities`."""

    def severities(self, name: str) -> tuple[int, ...]:
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """The corruptions of which any severity is there."""
        return tuple(name for name in _ALL if self.severities(name))

    def missing(self) -> tuple[str, ...]:
        """Standard corruptions that are not there at all, and single severities of those that are, as `fog/3`."""
        found: list[str] = []
        for name in STANDARD:
            there = self.severities(name)
            gone = [f"{name}/{level}" for level in _LEVELS if level not in there]
            found += gone if there else [name]
        return tuple(found)


@dataclass(frozen=True)
class Arrays(_Folder):
    """CIFAR-10-C, CIFAR-100-C, and others of their layout."""

    folder: Path
    clean: Clean
    poll: Callable[[], None] = field(default=lambda: None, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def count(self) -> int:
        """Test images."""
        return len(self.clean.labels)

    def severities(self, name: str) -> tuple[int, ...]:
        """All 5 or none: they are in one file."""
        return _LEVELS if (self.folder / f"{name}.npy").exists() else ()

    def read(self, name: str, severity: int, places: NDArray[np.int64]) -> Split:
        """The images at `places`; raises as `array`."""
        array = self.array(name)
        self.poll()
        images = array[(severity - 1) * self.count + places].transpose(0, 3, 1, 2)
        return Split(np.ascontiguousarray(images), self.clean.labels[places])

    def array(self, name: str) -> NDArray[np.uint8]:
        """All images of a corruption, uint8 [5 N, H, W, C], on disk.

        Raises:
            UnavailableError: no such file, or it is damaged.
            UsageError: its images are others than the test images' corrupted ones, or it leads out of the folder.
        """
        channels, high, wide = self.clean.shape
        array = _array(self.folder, name)
        wanted = (SEVERITIES * self.count, high, wide, channels)
        if array.dtype != np.uint8 or array.shape != wanted:
            seen = f"{array.dtype} {list(array.shape)}"
            raise UsageError(
                f"{self.folder / name}.npy: {seen}; for {self.clean.name} it is uint8 {list(wanted)}"
            )
        return array

    def stamp(self, name: str) -> Stamp:
        """`official` if the file is the one published for this data set, else `modified`."""
        found, known = self._digest(name), PUBLISHED.get(self.clean.name, {})
        if found == known.get(name):
            return Stamp("official")
        for other, files in PUBLISHED.items():
            for file in (file for file, digest in files.items() if digest == found):
                return Stamp("modified", f"it is {file}.npy of {TITLES[other]}")
        if not known:
            return Stamp("modified", f"no corrupted files of {self.clean.name} were published")
        return Stamp("modified", f"its MD5 is not that of {name}.npy of {TITLES[self.clean.name]}")

    def fingerprint(self, name: str) -> str:
        """The file's MD5."""
        return f"md5:{self._digest(name)}"

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            digest = hashlib.md5(usedforsecurity=False)
            with open(_inside(self.folder, name), "rb") as file:
                while block := file.read(_BLOCK):
                    self.poll()
                    digest.update(block)
            self._digests[name] = digest.hexdigest()
        return self._digests[name]


def _check_labels(folder: Path, clean: Clean) -> None:
    labels = _array(folder, "labels")
    wanted = np.tile(clean.labels, SEVERITIES)
    if labels.dtype.kind not in "iu" or labels.shape != wanted.shape:
        seen = f"{labels.dtype} {list(labels.shape)}"
        raise UsageError(
            f"{folder}/labels.npy: {seen}; for {clean.name} it is whole numbers {list(wanted.shape)}"
        )
    wrong = np.flatnonzero(labels != wanted)
    if len(wrong):
        first = f"row {wrong[0]} is {labels[wrong[0]]}, not {wanted[wrong[0]]}"
        raise UsageError(
            f"{folder}/labels.npy: not five times the labels of the test images of {clean.name}: {first}"
        )


def _inside(folder: Path, name: str) -> Path:
    path = (folder / f"{name}.npy").resolve()
    if folder.resolve() not in path.parents:
        raise UsageError(
            f"{folder}/{name}.npy: leads out of the folder, to {path}; put the file itself there"
        )
    if not path.is_file():
        raise UnavailableError(f"{folder}: there is no file {name}.npy")
    return path


def _array(folder: Path, name: str) -> NDArray[Any]:
    path = _inside(folder, name)
    try:
        return open_memmap(path, mode="r")
    except Exception as error:  # numpy raises whatever the header makes it stumble over
        raise UnavailableError(
            f"{folder}/{name}.npy: no array that can be read: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:100]


@dataclass(frozen=True)
class Tree(_Folder):
    """ImageNet-C: NAME/SEVERITY/CLASS/IMAGE, every set with the same images."""

    folder: Path
    clean: Clean
    poll: Callable[[], None] = field(default=lambda: None, compare=False)
    _identities: dict[str, str] = field(default_factory=dict, compare=False)
    _last: dict[str, ClassFolder] = field(default_factory=dict, compare=False)
    """The set that was listed last: it is read piece by piece."""

    @property
    def count(self) -> int:
        """Images of the first set."""
        return len(self._rows)

    @cached_property
    def _first(self) -> str:
        name = self.names()[0]
        return f"{name}/{self.severities(name)[0]}"

    @cached_property
    def _rows(self) -> Rows:
        return self._listed(self._first).rows

    def severities(self, name: str) -> tuple[int, ...]:
        """Those that have a folder."""
        return tuple(level for level in _LEVELS if (self.folder / name / str(level)).is_dir())

    def read(self, name: str, severity: int, places: NDArray[np.int64]) -> Split:
        """The images at `places`, in the order of classes and file names, as the size of the test images.

        Raises:
            UnavailableError: an image is damaged.
            UsageError: the images or classes are not those of the other sets, of the test images.
        """
        first, listed = self._rows, self._listed(f"{name}/{severity}")
        if listed.rows != first:
            raise UsageError(f"{self.folder}: {name}/{severity} has other images than {self._first}")
        number = {label: index for index, label in enumerate(self.clean.classes)}
        strange = next((label for label, _ in first if label not in number), None)
        if strange is not None:
            raise UsageError(f"{listed.members.where}: {strange} is no class of {self.clean.name}")
        images = listed.images(places, self.clean.shape, self.poll)
        return Split(images, np.array([number[first[place][0]] for place in places], dtype=np.int64))

    def stamp(self, name: str) -> Stamp:
        """`folder`: no checksums were published that single images could be held against."""
        return Stamp("folder", "images of a folder, read as they are")

    def fingerprint(self, name: str) -> str:
        """Of the files' names, sizes and times."""
        if name not in self._identities:
            sets = {level: self._listed(f"{name}/{level}").rows for level in self.severities(name)}
            files = [f"{level}/{file}" for level, rows in sets.items() for _, file in rows]
            self._identities[name] = stat_identity(self.folder / name, files)
        return self._identities[name]

    def _listed(self, place: str) -> ClassFolder:
        """The images of a set, by class and name."""
        if place not in self._last:
            self.poll()
            self._last.clear()
            self._last[place] = class_folder(self.folder / place)
        return self._last[place]
