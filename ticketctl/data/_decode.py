"""The bytes of one image file to pixels, and cuts of these, in any thread.

JPEGs in plain RGB or grey are decoded by torchvision where its decoder is there, and random crops are resized by
torch's kernel for uint8, which is several times as fast as Pillow's and rounds otherwise in a pixel of some hundred.
All else is Pillow's: other formats, CMYK, what torchvision refuses, and every centre, so that a net is tested on the
pixels that it is tested on where the data set is held decoded. PNG too: at some damaged ones torchvision 0.29 crashes.
No call here uses more than the thread it is made in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data._images import headed, loaded, square
from ticketctl.data.crops import Box

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
"""[H, W, C]."""

_MODES = {1: 1, 3: 3}
"""torchvision's ImageReadMode by channels: GRAY, RGB."""


@dataclass(frozen=True)
class Decoder:
    """How files become pixels; what differs in a bit has another `name`."""

    name: str
    fast: Callable[[bytes, int], Pixels] | None
    """Of a plain JPEG, and channels; None: Pillow does all."""

    def pixels(self, data: bytes, channels: int, plain: bool, where: str) -> Pixels:
        """The image in a file.

        Args:
            data: the file.
            channels: 1 or 3; grey files become colour by repetition.
            plain: whether it is a JPEG in RGB or grey.
            where: its name.

        Raises:
            UnavailableError: it is damaged.
        """
        if self.fast is not None and plain:
            with suppress(RuntimeError):  # then Pillow finds it sound, or says in words what is wrong
                return self.fast(data, channels)
        image = loaded(headed(BytesIO(data), where), where)
        found = np.asarray(image if channels == 1 else image.convert("RGB"))
        return found[:, :, None] if channels == 1 else found

    def cut(self, pixels: Pixels, box: Box, size: int) -> Pixels:
        """The box, `size` x `size`: bilinear, antialiased, as torchvision's `resized_crop`; then mirrored or not."""
        part = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
        found = _resized(part, size) if self.fast is None else _resized_by_torch(part, size)
        return found[:, ::-1] if box.flip else found


def centre(pixels: Pixels, resize: int, size: int) -> Pixels:
    """torchvision's Resize(resize) and CenterCrop(size) of an image, by Pillow: [size, size, C]."""
    found = np.asarray(square(_image(pixels), size, resize))
    return found[:, :, None] if found.ndim == 2 else found


def decoder() -> Decoder:
    """torchvision's, with Pillow beside it, where it does what it should; else Pillow's alone."""
    pillow = f"pillow {version('pillow')}"
    fast = _torchvision()
    if fast is None:
        return Decoder(pillow, None)
    return Decoder(f"torchvision {version('torchvision')}, torch {version('torch')}, {pillow}", fast)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _resized(part: Pixels, size: int) -> Pixels:
    found = np.asarray(_image(part).resize((size, size), Image.Resampling.BILINEAR))
    return found[:, :, None] if found.ndim == 2 else found


def _resized_by_torch(part: Pixels, size: int) -> Pixels:
    import torch

    # dense in one piece, its kernel copies nothing more, and so wakes no other thread
    image = torch.from_numpy(np.array(part, order="C")).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    pixels: Pixels = found[0].permute(1, 2, 0).numpy()
    return pixels


def _torchvision() -> Callable[[bytes, int], Pixels] | None:
    """Its decoder, called below the function that warns of its end at each call; None where it fails a trial."""
    try:
        import torch
        import torchvision  # noqa: F401  # registers it

        jpeg = torch.ops.image.decode_jpeg

        def decode(data: bytes, channels: int) -> Pixels:
            found = _called(jpeg, data, channels)
            pixels: Pixels = found.permute(1, 2, 0).numpy()
            return pixels

        return decode if _is_right(decode) else None
    except (ImportError, AttributeError, RuntimeError):
        return None


def _called(operator: Any, data: bytes, channels: int) -> torch.Tensor:
    import torch

    held = torch.from_numpy(np.frombuffer(bytearray(data), dtype=np.uint8))
    found: torch.Tensor = operator(held, _MODES[channels], False)  # no turning by what a camera noted
    return found


def _is_right(decode: Callable[[bytes, int], Pixels]) -> bool:
    """Whether a flat grey picture comes out as it went in."""
    picture, file = np.full((16, 24, 3), 128, dtype=np.uint8), BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    return np.array_equal(decode(file.getvalue(), 3), picture)
