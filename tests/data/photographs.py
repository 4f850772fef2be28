"""A small folder of pictures of many sizes, as ImageNet lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01440764", "n01443537", "n02102040")


def photograph(numbers: np.random.Generator, width: int, height: int) -> Image.Image:
    """Soft blobs with noise: neither flat nor pure noise, so that a shift by a pixel shows."""
    blobs = Image.fromarray(numbers.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int64)
    return Image.fromarray(np.clip(smooth + numbers.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8))


def fill(
    root: Path, train: int = 6, test: int = 3, *, odd: bool = True, least: int = 40, most: int = 90
) -> Path:
    """`train` and `test` JPEGs for each class below `root`; where `odd`, in the first class some of other kinds."""
    numbers = np.random.default_rng(3)
    for part, count in (("train", train), ("val", test)):
        for label in CLASSES:
            folder = root / part / label
            folder.mkdir(parents=True)
            for place in range(count):
                width, height = numbers.integers(least, most, 2).tolist()
                photograph(numbers, width, height).save(folder / f"{label}_{place}.JPEG", quality=90)
    if odd:
        folder = root / "train" / CLASSES[0]
        picture = photograph(numbers, 61, 47)
        picture.save(folder / "a.png")
        picture.convert("L").save(folder / "grey.jpg")
        picture.convert("P").save(folder / "palette.png")
        picture.convert("CMYK").save(folder / "cmyk.jpg")
        picture.save(folder / "progressive.jpg", progressive=True, subsampling=0)
    return root
