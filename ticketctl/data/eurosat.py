"""EuroSAT (RGB): 27,000 Sentinel-2 images, 64x64, ten kinds of land use.

There is no official split: of each class, in the order of its sorted file names, every fifth image (position
% 5 == 4) is test, 5,400 in all. Read from EuroSAT.zip or its unpacked folder `2750` in `--data-dir`, else
fetched.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from ticketctl.data._images import decode_all
from ticketctl.data._members import FolderMembers, Members, ZipMembers
from ticketctl.data._sources import Remote, first_file, no_target, obtain, say_where, stat_identity
from ticketctl.data.fetch import digest
from ticketctl.data.sets import Decoded, Found, Source, Split
from ticketctl.errors import UnavailableError

NAMES = {"eurosat": "EuroSAT (RGB): 27,000 satellite images 64x64, ten classes, fixed 80/20 split"}
FORMS = {"eurosat": ((3, 64, 64), 10)}

# address and MD5 as torchvision.datasets.EuroSAT has them
REMOTE = Remote(
    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
    "md5:c8fa014336c82ac7804f0398fcb19387",
)
COUNT = 27_000
_INNER = "2750"
_NAME = re.compile(r"([A-Za-z]+)/\1_\d+\.jpg")


def find(name: str, source: Source) -> Found:
    """The zip has one identity wherever it lies; an unpacked folder goes by names, sizes and times."""
    no_target(name, source)
    root = _folder(source.folder)
    if root is None:
        say_where(name, source, source.folder and first_file(_places(source.folder), REMOTE.name))
        return Found(REMOTE.checksum, partial(_read_zip, name, source))
    members = FolderMembers(root)
    identity = stat_identity(root, filter(_NAME.fullmatch, members.names))
    return Found(identity, partial(_read, members, source))


def _folder(folder: Path | None) -> Path | None:
    """The unpacked folder of classes, unless the zip lies there too."""
    if folder is None or first_file(_places(folder), REMOTE.name):
        return None
    roots = [place / inner for place in _places(folder) for inner in (".", _INNER)]
    return next((root for root in roots if (root / "AnnualCrop").is_dir()), None)


def _places(folder: Path) -> list[Path]:
    return [folder, folder / "eurosat", folder / "EuroSAT"]


def _read_zip(name: str, source: Source) -> Decoded:
    path = first_file(_places(source.folder), REMOTE.name) if source.folder else None
    if path and digest(path, REMOTE.checksum) != REMOTE.checksum:
        raise UnavailableError(f"{path}: not the published file (its MD5 differs); without it, it is fetched")
    return _read(ZipMembers(path or obtain(REMOTE, name, source), f"{_INNER}/"), source)


def _read(members: Members, source: Source) -> Decoded:
    rows = [(name.partition("/")[0], name) for name in members.names if _NAME.fullmatch(name)]
    if len(rows) != COUNT:
        raise UnavailableError(f"{members.where}: {len(rows)} of EuroSAT's {COUNT} images are there")
    source.reporter.note(f"decoding {COUNT} images in {members.where}")
    classes = sorted({label for label, _ in rows})
    images = decode_all(members, [name for _, name in rows], colour=True, tick=source.reporter.alive)
    labels = np.array([classes.index(label) for label, _ in rows], dtype=np.int64)
    positions = [position for _, group in groupby(labels) for position, _ in enumerate(group)]
    test = np.array(positions) % 5 == 4
    return Decoded(
        train=Split(images[~test], labels[~test]),
        test=Split(images[test], labels[test]),
        classes=tuple(classes),
        augment="crop-flip",
    )
