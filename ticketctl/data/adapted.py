"""A data set in the form that the net of another takes: of its size, and grey or in colour as it wants them.

Images are resized by Pillow's bilinear filter with antialiasing, channel by channel, whole, not cut. It calculates in
integers and rounds to uint8, so the bytes are the same on every machine; images of the right size stay as they are.
Colour becomes grey by the luma of ITU-R 601, before it is resized; grey becomes colour by repetition, after. Mean and
deviation are measured anew, over the training images in the new form.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data._cache import read_kept, waiting, write_kept
from ticketctl.data._measure import fingerprint, scale
from ticketctl.data.sets import DataSet, Split
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.progress import Reporter
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import make_folder, sha256

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in units of 2^-16: 0.299, 0.587 and 0.114, as Pillow has them."""
KEPT = 16 << 20
"""Bytes of images, before or after, from which on they are kept in the cache, mapped; fewer are made each time."""
PIECE = 1024
"""Images that are worked on at a time."""
_ADAPTING = 1
"""Counts changes in how images are made, so that no kept copy outlives them."""

Form = tuple[int, int, int]
"""Channels, height, width."""


def adapted(data: DataSet, form: Form, *, cache: Path, reporter: Reporter) -> DataSet:
    """The data set with images of `form`; the set itself, where it has that form.

    Args:
        data: any.
        form: channels, height, width.
        cache: where large ones are kept.
        reporter: told that work is going on; may raise to stop.

    Raises:
        UsageError: from so many channels there is no way to so many.
        ResourceError: the cache cannot be written.
    """
    if data.shape == form:
        return data
    check_channels(data.name, data.shape[0], form[0])
    count = len(data.train) + len(data.test)
    if count * max(prod(data.shape), prod(form)) < KEPT:
        return _made(data, form, reporter)
    key = sha256(canonical_json([_ADAPTING, data.fingerprint, list(form)]))[:16]
    path = cache / "data" / f"adapted-{key}.safetensors"
    try:
        return read_kept(path, data.name)
    except ArtifactError:  # not there, or damaged
        make_folder(path.parent)
    with waiting(path.parent, reporter):
        try:
            return read_kept(path, data.name)  # made by the process we waited for
        except ArtifactError:
            reporter.note(f"{data.name}: making its images {told(form)}")
            write_kept(path, _made(data, form, reporter))
    return read_kept(path, data.name)


def told(form: Form) -> str:
    """In words: 32 x 32, colour."""
    colour = {1: "grey", 3: "colour"}.get(form[0], f"{form[0]} channels")
    return f"{form[1]} x {form[2]}, {colour}"


def check_channels(name: str, has: int, wanted: int) -> None:
    """Refuse what is neither grey nor colour, where it is not what is wanted.

    Raises:
        UsageError: says both.
    """
    if has != wanted and {has, wanted} != {1, 3}:
        raise UsageError(
            f"{name}: images of {has} channels, and the net takes {wanted}; grey (1) and colour (3) alone can be "
            "turned into each other"
        )


def _made(data: DataSet, form: Form, reporter: Reporter) -> DataSet:
    train, test = (_split(one, form, reporter) for one in (data.train, data.test))
    mean, std = scale(train.images)
    return replace(data, train=train, test=test, mean=mean, std=std, fingerprint=fingerprint(train, test))


def _split(split: Split, form: Form, reporter: Reporter) -> Split:
    images = np.empty((len(split), *form), dtype=np.uint8)
    for start in range(0, len(split), PIECE):
        reporter.alive()
        images[start : start + PIECE] = changed(split.images[start : start + PIECE], form)
    return replace(split, images=images)


def changed(images: NDArray[np.uint8], form: Form) -> NDArray[np.uint8]:
    """Images uint8 [N, C, H, W] in another form: uint8 [N, *form]."""
    if images.shape[1] == 3 and form[0] == 1:
        images = grey(images)
    found = resized(images, form[1], form[2])
    return np.repeat(found, form[0], axis=1) if found.shape[1] < form[0] else found


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma, uint8 [N, 1, H, W], of colour images uint8 [N, 3, H, W]: rounded, as Pillow's."""
    weights = np.array(LUMA, dtype=np.uint32).reshape(1, 3, 1, 1)
    total = (images * weights).sum(1, keepdims=True, dtype=np.uint32)
    found: NDArray[np.uint8] = ((total + (1 << 15)) >> 16).astype(np.uint8)
    return found


def resized(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Images uint8 [N, C, H, W] of another size: uint8 [N, C, height, width]."""
    if images.shape[2:] == (height, width):
        return images
    planes = np.ascontiguousarray(images).reshape(-1, *images.shape[2:])
    found = np.empty((len(planes), height, width), dtype=np.uint8)
    for place, plane in enumerate(planes):
        found[place] = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
    return found.reshape(*images.shape[:2], height, width)
