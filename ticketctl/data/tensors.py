"""Arrays of your own in one safetensors file: train_images, train_labels, test_images, test_labels.

Images are uint8 [N, C, H, W], labels uint8, int32 or int64 [N] from 0; the largest label says how many
classes there are. The file is read into memory, and not kept a second time in the cache.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ticketctl.data._sources import place, read_whole, stat_identity
from ticketctl.data.sets import Decoded, Found, Source, Split
from ticketctl.errors import ArtifactError, UnavailableError
from ticketctl.store.tensors import Tensor, parse_tensors

NAMES = {"tensors": "your own arrays: tensors:FILE.safetensors with {train,test}_{images,labels}"}

_LIMIT = 16 << 30
_DTYPES = {"images": ("U8",), "labels": ("U8", "I32", "I64")}


def find(name: str, source: Source) -> Found:
    """The file goes by its name, size and time."""
    path = place(name, source)
    return Found(stat_identity(path.parent, [path.name]), partial(_read, path), keep=False)


def _read(path: Path) -> Decoded:
    try:
        tensors, _ = parse_tensors(read_whole(path, _LIMIT), where=str(path))
    except ArtifactError as error:
        raise UnavailableError(f"{error}; write it with safetensors.numpy.save_file") from None
    train, test = _split(tensors, "train", path), _split(tensors, "test", path)
    most = max(int(split.labels.max(initial=0)) for split in (train, test))
    return Decoded(
        train=train,
        test=test,
        classes=tuple(str(label) for label in range(most + 1)),
        augment="none" if train.images.shape[1:2] == (1,) else "crop-flip",
    )


def _split(tensors: dict[str, Tensor], part: str, path: Path) -> Split:
    for kind, dtypes in _DTYPES.items():
        tensor = tensors.get(f"{part}_{kind}")
        if tensor is None or tensor.dtype not in dtypes:
            raise UnavailableError(f"{path}: {part}_{kind} is missing or not {' or '.join(dtypes)}")
    return Split(tensors[f"{part}_images"].array(), tensors[f"{part}_labels"].array().astype(np.int64))
