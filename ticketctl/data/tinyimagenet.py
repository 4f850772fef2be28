"""TinyImageNet: 200 classes of ImageNet at 64x64, each 500 train and 50 validation images, which are `test`.

Read from tiny-imagenet-200.zip, or its unpacked folder, as distributed: train/WNID/images/*.JPEG,
val/images/*.JPEG, val/val_annotations.txt. It is not fetched. Classes are the sorted WordNet ids; train
images come class by class in the order of their file names, test images in the order of
val_annotations.txt. Its few grey images become colour.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from ticketctl.data._images import Rows, decode_splits
from ticketctl.data._members import FolderMembers, Members, ZipMembers
from ticketctl.data._sources import place, stat_identity
from ticketctl.data.sets import Decoded, Found, Source
from ticketctl.errors import UnavailableError

NAMES = {"tinyimagenet": "TinyImageNet: 100,000 + 10,000 colour 64x64, tinyimagenet:PATH (folder or zip)"}
FORMS = {"tinyimagenet": ((3, 64, 64), 200)}

ARCHIVE = "tiny-imagenet-200"
COUNTS = (100_000, 10_000)
_ANNOTATIONS = "val/val_annotations.txt"
_TRAIN = re.compile(r"train/(n\d{8})/images/[^/]+\.JPEG")
_VAL = re.compile(r"([A-Za-z0-9_]+\.JPEG)\t(n\d{8})(\t.*)?")


def find(name: str, source: Source) -> Found:
    """Folder and zip go by names, sizes and times."""
    path = _root(place(name, source))
    if path.is_file():
        return Found(
            stat_identity(path.parent, [path.name]), lambda: _read(ZipMembers(path, f"{ARCHIVE}/"), source)
        )
    members = FolderMembers(path)
    identity = stat_identity(path, [file for file in members.names if file.startswith(("train/", "val/"))])
    return Found(identity, partial(_read, members, source))


def _root(path: Path) -> Path:
    """The zip, or the folder that has `train` and `val`."""
    candidates = [path, path / ARCHIVE, path / f"{ARCHIVE}.zip"]
    for candidate in candidates:
        if candidate.is_file() or (candidate / _ANNOTATIONS).is_file():
            return candidate
    raise UnavailableError(
        f"{path}: neither {ARCHIVE}.zip nor {_ANNOTATIONS} is there; fetch the zip from "
        f"https://cs231n.stanford.edu/{ARCHIVE}.zip and write --data tinyimagenet:PATH"
    )


def _read(members: Members, source: Source) -> Decoded:
    train = [(found[1], name) for name in members.names if (found := _TRAIN.fullmatch(name))]
    test = _annotated(members)
    if (len(train), len(test)) != COUNTS:
        seen = f"{len(train)} train and {len(test)} val images"
        raise UnavailableError(f"{members.where}: {seen}, but TinyImageNet has {COUNTS[0]} and {COUNTS[1]}")
    strange = sorted({label for label, _ in test} - {label for label, _ in train})
    if strange:
        raise UnavailableError(f"{members.where}: {_ANNOTATIONS}: {strange[0]} has no train images")
    return decode_splits(members, train, test, source.reporter, colour=True)


def _annotated(members: Members) -> Rows:
    """The validation images with their classes, from the list beside them."""
    if _ANNOTATIONS not in members.names:
        raise UnavailableError(f"{members.where}: {_ANNOTATIONS} is missing")
    text = members.read(_ANNOTATIONS).decode("utf-8", errors="replace")
    found = [_VAL.fullmatch(line) for line in text.splitlines() if line]
    rows = [(line[2], f"val/images/{line[1]}") for line in found if line]
    if (
        len(rows) != len(found)
        or len(set(rows)) != len(rows)
        or not {n for _, n in rows} <= set(members.names)
    ):
        raise UnavailableError(f"{members.where}: {_ANNOTATIONS} does not fit the images in val/images")
    return rows
