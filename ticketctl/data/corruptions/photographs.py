"""What frost is made of: the photographs of a user's folder, or a texture of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ticketctl.data._images import decode_all
from ticketctl.data._members import FolderMembers
from ticketctl.data._sources import first_file
from ticketctl.data.corruptions.numbers import Bytes, Numbers
from ticketctl.data.corruptions.weather import plasma
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.seeds import Seeds

FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""Those that the released code draws from; it has a sixth that it never uses."""
_SHRUNK = 0.2
_CLOUDS = (("fine", 1.25), ("coarse", 1.6))
_TINT = np.array([0.80, 0.90, 1.0])[:, None, None]


def photographs(folder: Path, size: int) -> list[Bytes]:
    """The five photographs at 0.2 * size / 32 of their own size, uint8 [3, ., .].

    OpenCV's linear `resize` by 0.2 takes every fifth pixel; this takes the nearest one for any size.

    Raises:
        UnavailableError: one is missing or damaged.
        UsageError: one is too small.
    """
    missing = [name for name in FILES if first_file([folder], name) is None]
    if missing:
        raise UnavailableError(f"{folder}: no {', '.join(missing)}; the folder must have {', '.join(FILES)}")
    members = FolderMembers(folder)
    return [_shrunk(members, name, size) for name in FILES]


def _shrunk(members: FolderMembers, name: str, size: int) -> Bytes:
    photograph = decode_all(members, [name], colour=True)[0]
    factor = _SHRUNK * size / 32
    rows, columns = (
        np.minimum(((np.arange(round(side * factor)) + 0.5) / factor).astype(int), side - 1)
        for side in photograph.shape[1:]
    )
    if min(len(rows), len(columns)) <= size:
        least = int((size + 1) / factor) + 1
        raise UsageError(
            f"{members.where / name}: a photograph of frost needs at least {least} pixels each way"
        )
    found: Bytes = photograph[:, rows][:, :, columns]
    return found


def textures(size: int, seeds: Seeds) -> list[Bytes]:
    """Five textures of our own, uint8 [3, 4 S, 4 S] where S is the power of two at or above `size`.

    Crystals are the ridges of a rough plasma cloud, over a smoother and darker one, in a bluish white.
    """
    side = 4 << (size - 1).bit_length()
    numbers = Numbers(seeds, "frost", 0, np.arange(len(FILES)))
    fine, coarse = (plasma(numbers.uniform(name, side * side - 1), decay) for name, decay in _CLOUDS)
    ridges = 1 - np.abs(2 * fine - 1)
    light = 30 + 110 * coarse + 115 * ridges**4
    return [np.clip(one * _TINT, 0, 255).astype(np.uint8) for one in light]
