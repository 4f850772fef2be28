"""Any data set laid out as PATH/{train, test or val}/CLASS/IMAGE, as for torchvision's ImageFolder.

Images come class by class, classes and files in the order of their names. All share one size, or the option `size`
makes them square, of what is left when the shorter side was brought to `resize` pixels. One channel if every image is
grey (mode L), else three. Where the names of all training images are different numbers (`train/cat/00042.jpg`), each is
the image's position in the order in which the set was published: what belongs to single images, as human labels, is
then found by it.

A folder that decoded would take more than `STREAM_FROM` bytes, or is to be cut anew in each epoch, stays in its files:
the option `stream` says always or never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._images import SUFFIXES, Rows, decode_splits, headed
from ticketctl.data._index import listing_identity
from ticketctl.data._members import FolderMembers
from ticketctl.data._sources import place, stat_identity
from ticketctl.data._streaming import read_streamed
from ticketctl.data.sets import Decoded, Found, Source
from ticketctl.data.stream import View
from ticketctl.errors import UnavailableError, UsageError

NAMES = {"imagefolder": "your own images: imagefolder:PATH with PATH/{train,test}/CLASS/*.png"}

OPTIONS = ("size", "resize", "stream")
READING = ("stream",)
"""Options that say how a folder is read, and not what its images are."""
STREAM_FROM = 32 << 30
"""Bytes of decoded images above which they are not held decoded unless that is asked for."""

_DIGITS = 18
"""Of a number that int64 holds."""


def find(name: str, source: Source) -> Found:
    """The folder goes by its files' names, sizes and times."""
    root = place(name, source)
    if not root.is_dir():
        raise UsageError(f"{name}: {root} is not a folder")
    view, stream = _view(source.options or {}), (source.options or {}).get("stream")
    if stream == "always":
        return _streamed(root, view, source)
    members = FolderMembers(root)
    train = _rows(members, "train")
    test = _rows(members, "test") or _rows(members, "val")
    if not train or not test:
        raise UnavailableError(
            f"{root}: no images in {'train' if not train else 'test or val'}/CLASS/*.{{png,jpg,bmp,webp}}"
        )
    if stream is None and _decoded_bytes(members, train + test, view) > STREAM_FROM:
        return _streamed(root, view, source)
    identity = stat_identity(root, [file for _, file in train + test])
    if positions(train) is not None:
        identity = f"numbered {identity}"  # copies kept before positions were have none
    return Found(identity, partial(_read, members, train, test, view, source))


def _view(options: Mapping[str, Any]) -> View:
    """The form that options ask for."""
    found = View(options.get("resize"), options.get("size"))
    for name, value in (("size", found.size), ("resize", found.resize)):
        if value is not None and (type(value) is not int or not 1 <= value <= 1024):
            raise UsageError(f"option {name}={value!r}: a whole number of pixels from 1 to 1024 is needed")
    if found.resize is not None and (found.size is None or found.resize < found.size):
        raise UsageError(f"option resize={found.resize}: needs a size that is no larger, not {found.size}")
    return found


def _decoded_bytes(members: FolderMembers, rows: Rows, view: View) -> int:
    """About: as if all images had the size of the first, in colour; 0 where that cannot be told."""
    if view.size is not None:
        return 3 * view.size**2 * len(rows)
    try:
        with open(members.where / rows[0][1], "rb") as file:
            first = headed(file, rows[0][1])
            return 3 * first.width * first.height * len(rows)
    except (OSError, UnavailableError):
        return 0


def _streamed(root: Path, view: View, source: Source) -> Found:
    """The folder as a set that stays in its files; nothing of it is kept decoded."""

    def read() -> Decoded:
        found, index = read_streamed(root, view, source)
        rows = [("", name) for name in index.names[: index.train]]
        return replace(found, train=replace(found.train, positions=positions(rows)))

    return Found(listing_identity(root), read, keep=False)


def _rows(members: FolderMembers, part: str) -> Rows:
    """(class, name) of each image of a part."""
    paths = [name.split("/") for name in members.names if name.lower().endswith(SUFFIXES)]
    return sorted((path[1], "/".join(path)) for path in paths if len(path) == 3 and path[0] == part)


def _read(
    members: FolderMembers,
    train: Rows,
    test: Rows,
    view: View,
    source: Source,
) -> Decoded:
    strange = sorted({label for label, _ in test} - {label for label, _ in train})
    if strange:
        raise UsageError(f"{members.where}: class {strange[0]!r} has test images and no train images")
    found = decode_splits(members, train, test, source.reporter, size=view.size, resize=view.resize)
    return replace(found, train=replace(found.train, positions=positions(train)))


def positions(rows: Rows) -> NDArray[np.int64] | None:
    """The numbers that the images are called by, int64 [N]; None where a name is no number, or two are the same."""
    numbers = []
    for _, file in rows:
        name = file.rpartition("/")[2].rpartition(".")[0]
        if not (name.isascii() and name.isdigit() and len(name) <= _DIGITS):
            return None
        numbers.append(int(name))
    found = np.array(numbers, dtype=np.int64)
    return found if len(np.unique(found)) == len(found) else None
