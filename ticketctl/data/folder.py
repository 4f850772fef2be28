"""Any data set laid out as PATH/{train, test or val}/CLASS/IMAGE, as for torchvision's ImageFolder.

Images come class by class, classes and files in the order of their names. All share one size, or the option
`size` makes them square. One channel if every image is grey (mode L), else three. Where the names of all training
images are different numbers (`train/cat/00042.jpg`), each is the image's position in the order in which the set was
published: what belongs to single images, as human labels, is then found by it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._images import SUFFIXES, Rows, decode_splits
from ticketctl.data._members import FolderMembers
from ticketctl.data._sources import place, stat_identity
from ticketctl.data.sets import Decoded, Found, Source
from ticketctl.errors import UnavailableError, UsageError

NAMES = {"imagefolder": "your own images: imagefolder:PATH with PATH/{train,test}/CLASS/*.png"}

OPTIONS = ("size",)

_DIGITS = 18
"""Of a number that int64 holds."""


def find(name: str, source: Source) -> Found:
    """The folder goes by its files' names, sizes and times."""
    root = place(name, source)
    if not root.is_dir():
        raise UsageError(f"{name}: {root} is not a folder")
    size = (source.options or {}).get("size")
    if size is not None and (type(size) is not int or not 1 <= size <= 1024):
        raise UsageError(f"option size={size!r}: a whole number of pixels from 1 to 1024 is needed")
    members = FolderMembers(root)
    train = _rows(members, "train")
    test = _rows(members, "test") or _rows(members, "val")
    if not train or not test:
        raise UnavailableError(
            f"{root}: no images in {'train' if not train else 'test or val'}/CLASS/*.{{png,jpg,bmp,webp}}"
        )
    identity = stat_identity(root, [file for _, file in train + test])
    if positions(train) is not None:
        identity = f"numbered {identity}"  # copies kept before positions were have none
    return Found(identity, partial(_read, members, train, test, size, source))


def _rows(members: FolderMembers, part: str) -> Rows:
    """(class, name) of each image of a part."""
    paths = [name.split("/") for name in members.names if name.lower().endswith(SUFFIXES)]
    return sorted((path[1], "/".join(path)) for path in paths if len(path) == 3 and path[0] == part)


def _read(
    members: FolderMembers,
    train: Rows,
    test: Rows,
    size: int | None,
    source: Source,
) -> Decoded:
    strange = sorted({label for label, _ in test} - {label for label, _ in train})
    if strange:
        raise UsageError(f"{members.where}: class {strange[0]!r} has test images and no train images")
    found = decode_splits(members, train, test, source.reporter, size=size)
    return replace(found, train=replace(found.train, positions=positions(train)))


def positions(rows: Rows) -> NDArray[np.int64] | None:
    """The numbers that the images are called by, int64 [N]; None where a name is no number, or two are the same."""
    names = [name.rpartition("/")[2].rpartition(".")[0] for _, name in rows]
    if not all(name.isascii() and name.isdigit() and len(name) <= _DIGITS for name in names):
        return None
    found = np.array([int(name) for name in names], dtype=np.int64)
    return found if len(np.unique(found)) == len(found) else None
