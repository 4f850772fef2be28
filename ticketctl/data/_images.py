"""Image files to one uint8 array."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data._members import Members
from ticketctl.data.sets import Decoded, Split
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.progress import Reporter

Rows = list[tuple[str, str]]
"""(class, member's name) of each image."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # Pillow knows many more, some of which start programs
_MAX_PIXELS = 1 << 26


def decode_splits(
    members: Members,
    train: Rows,
    test: Rows,
    reporter: Reporter,
    *,
    size: int | None = None,
    resize: int | None = None,
    colour: bool = False,
) -> Decoded:
    """Both splits, images in the order of their rows; the classes are the sorted labels of `train`.

    Raises:
        UsageError, UnavailableError: as `decode_all`.
    """
    reporter.note(f"decoding {len(train) + len(test)} images in {members.where}")
    names = [name for _, name in train + test]
    images = decode_all(members, names, size=size, resize=resize, colour=colour, tick=reporter.alive)
    classes = sorted({label for label, _ in train})
    number = {label: index for index, label in enumerate(classes)}
    labels = np.array([number[label] for label, _ in train + test], dtype=np.int64)
    return Decoded(
        train=Split(images[: len(train)], labels[: len(train)]),
        test=Split(images[len(train) :], labels[len(train) :]),
        classes=tuple(classes),
        augment="none" if images.shape[1] == 1 else "crop-flip",
    )


def decode_all(
    members: Members,
    names: Sequence[str],
    *,
    size: int | None = None,
    resize: int | None = None,
    colour: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> NDArray[np.uint8]:
    """The images `names`, in this order: uint8 [N, C, H, W].

    C is 1 if all images are grey (mode L) and `colour` is not asked for, else 3.

    Args:
        members: where they lie.
        names: their names; at least one.
        size: make each `size` x `size`: the shorter side to `resize` (bilinear), then the centre is cut out.
        resize: at least `size`; None: the same.
        colour: three channels in any case.
        tick: called for every image; may raise.

    Raises:
        UsageError: images of different sizes, and no `size`.
        UnavailableError: a file that is no sound image.
    """
    first = _opened(members, names[0], size, resize)
    grey = first.mode == "L" and not colour
    images = np.empty((len(names), 1 if grey else 3, first.height, first.width), dtype=np.uint8)
    for index, name in enumerate(names):
        tick()
        image = _opened(members, name, size, resize) if index else first
        if image.size != first.size:
            raise UsageError(_sizes(members, names[0], first, name, image))
        if images.shape[1] == 1 and image.mode != "L":
            images = np.repeat(images, 3, axis=1)  # what converting grey to colour does
        if images.shape[1] == 1:
            images[index, 0] = np.asarray(image)
        else:
            images[index] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return images


def _sizes(members: Members, one: str, first: Image.Image, other: str, image: Image.Image) -> str:
    sizes = f"{one} is {first.width}x{first.height}, but {other} is {image.width}x{image.height}"
    return f"{members.where}: {sizes}; make them one size, or give the option size=N to have them N x N"


def _opened(members: Members, name: str, size: int | None, resize: int | None = None) -> Image.Image:
    """The decoded image, still in its own mode."""
    where = f"{members.where}: {name}"
    image = loaded(headed(io.BytesIO(members.read(name)), where), where)
    return square(image, size, resize or size) if size else image


_FAULTS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def headed(file: IO[bytes], where: str) -> Image.Image:
    """The image in a file, as far as its header says: size and mode.

    Raises:
        UnavailableError: it is no image that is read here, or too large.
    """
    try:
        image = Image.open(file, formats=_FORMATS)
    except _FAULTS as error:
        raise UnavailableError(f"{where}: not a sound image: {str(error)[:100]}") from None
    if image.width * image.height > _MAX_PIXELS:
        raise UnavailableError(f"{where}: {image.width}x{image.height} pixels are more than {_MAX_PIXELS}")
    if image.mode.startswith(("I", "F")):
        raise UnavailableError(f"{where}: more than 8 bits per channel, which are not read")
    return image


def loaded(image: Image.Image, where: str) -> Image.Image:
    """The same image with its pixels.

    Raises:
        UnavailableError: they are damaged.
    """
    try:
        image.load()
    except _FAULTS as error:
        raise UnavailableError(f"{where}: not a sound image: {str(error)[:100]}") from None
    return image


def square(image: Image.Image, size: int, resize: int) -> Image.Image:
    """torchvision's Resize(resize) and CenterCrop(size)."""
    if image.mode != "L":
        image = image.convert("RGB")  # palettes cannot be blended
    short = min(image.size)
    width, height = (resize if side == short else int(resize * side / short) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
