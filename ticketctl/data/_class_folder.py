"""A folder CLASS/IMAGE, read image by image: ImageNet-C has one of each severity, and ImageNet-O is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._images import SUFFIXES, Rows, decode_all
from ticketctl.data._members import FolderMembers
from ticketctl.errors import UnavailableError, UsageError


@dataclass(frozen=True)
class ClassFolder:
    """The images below a folder, in the order of classes and file names."""

    members: FolderMembers
    rows: Rows
    """Class and file of each image."""

    def images(
        self, places: NDArray[np.int64], shape: tuple[int, int, int], poll: Callable[[], None]
    ) -> NDArray[np.uint8]:
        """The images at `places` in this shape: shrunk and cut to it where it is square, uint8 [n, C, H, W].

        Raises:
            UnavailableError: an image is damaged.
            UsageError: an image is of another form.
        """
        channels, high, wide = shape
        names, size = [self.rows[place][1] for place in places], high if high == wide else None
        found = decode_all(self.members, names, size=size, colour=channels == 3, tick=poll)
        if found.shape[1:] != shape:
            raise UsageError(f"{self.members.where}: images of {list(found.shape[1:])}, not {list(shape)}")
        return found


def class_folder(root: Path) -> ClassFolder:
    """List a folder.

    Raises:
        UnavailableError: there are no images in it.
    """
    members = FolderMembers(root)
    paths = [name.split("/") for name in members.names if name.lower().endswith(SUFFIXES)]
    rows = sorted((path[0], "/".join(path)) for path in paths if len(path) == 2)
    if not rows:
        raise UnavailableError(f"{root}: no images in CLASS/*.JPEG")
    return ClassFolder(members, rows)
