"""What is computed from the pixels themselves: soundness, scale and fingerprint."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.sets import DataSet, Decoded, Split
from ticketctl.errors import UnavailableError

_CHUNK = 4096
"""Images counted at a time: bincount widens each pixel to eight bytes."""


def measured(name: str, decoded: Decoded) -> DataSet:
    """The data set `name` with what was `decoded`, checked and measured.

    Raises:
        UnavailableError: splits or labels that make no data set.
    """
    check(name, decoded.train, decoded.test, len(decoded.classes))
    mean, std = decoded.scale or scale(decoded.train.images)
    return DataSet(
        name=name,
        train=decoded.train,
        test=decoded.test,
        classes=decoded.classes,
        mean=mean,
        std=std,
        fingerprint=decoded.fingerprint or fingerprint(decoded.train, decoded.test),
        augment=decoded.augment,
    )


def check(name: str, train: Split, test: Split, classes: int) -> None:
    """Both splits hold uint8 images [N, C, H, W] of one shape and int64 labels [N] in 0 … classes - 1, N > 0.

    Raises:
        UnavailableError: says which split and what is wrong.
    """
    for part, split in (("train", train), ("test", test)):
        images, labels = split.images, split.labels
        if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64:
            raise UnavailableError(f"{name}: {part}: images are uint8 [N, C, H, W] and labels int64 [N]")
        if labels.shape != images.shape[:1] or 0 in images.shape:
            raise UnavailableError(f"{name}: {part}: {images.shape} images, {labels.shape} labels")
        if labels.min() < 0 or labels.max() >= classes:
            seen = f"{labels.min()} to {labels.max()}"
            raise UnavailableError(f"{name}: {part}: labels from {seen}, but there are {classes} classes")
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = f"train images are {train.images.shape[1:]}, test images {test.images.shape[1:]}"
        raise UnavailableError(f"{name}: {shapes} (C, H, W); they must be the same")


def fingerprint(train: Split, test: Split) -> str:
    """`sha256:` and the digest of train and test, one after the other.

    Each adds its shape as text (`train 1438x1x8x8` and a line feed), its labels (little-endian int64), its
    pixels.
    """
    digest = hashlib.sha256()
    for part, split in (("train", train), ("test", test)):
        digest.update(f"{part} {'x'.join(map(str, split.images.shape))}\n".encode())
        digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
        digest.update(np.ascontiguousarray(split.images).data)
    return f"sha256:{digest.hexdigest()}"


def scale(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation per channel of pixels / 255, to four decimals.

    Summed in integers, so exact before the rounding. A constant channel has std 1, by which one can divide.
    """
    rows = [_moments(images[:, channel]) for channel in range(images.shape[1])]
    return tuple(mean for mean, _ in rows), tuple(std for _, std in rows)


def _moments(channel: NDArray[np.uint8]) -> tuple[float, float]:
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(channel), _CHUNK):
        counts += np.bincount(channel[start : start + _CHUNK].reshape(-1), minlength=256)
    values = range(256)
    total = int(counts.sum())
    first = sum(value * int(count) for value, count in zip(values, counts, strict=True))
    second = sum(value * value * int(count) for value, count in zip(values, counts, strict=True))
    std = (total * second - first * first) ** 0.5 / total / 255
    return round(first / total / 255, 4), round(std, 4) or 1.0
