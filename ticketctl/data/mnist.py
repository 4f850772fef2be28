"""MNIST and the two sets that took its form: four IDX files, packed with gzip or not.

Looked for in `--data-dir` itself, in its `raw`, and where torchvision puts them (`MNIST/raw`), else fetched.
A packed file is accepted if it has its published MD5; an MNIST file also if its content has, so that files
packed anew pass. Unpacked Fashion-MNIST and KMNIST have no published MD5: their form is checked.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._sources import (
    Remote,
    first_file,
    matches,
    no_target,
    obtain,
    read_whole,
    say_where,
    stat_identity,
)
from ticketctl.data.sets import Decoded, Found, Source, Split
from ticketctl.errors import UnavailableError

NAMES = {
    "mnist": "MNIST: 60,000 + 10,000 grey 28x28 handwritten digits",
    "fashion-mnist": "Fashion-MNIST: 60,000 + 10,000 grey 28x28 pictures of clothing",
    "kmnist": "Kuzushiji-MNIST: 60,000 + 10,000 grey 28x28 cursive Japanese characters",
}

FILES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
"""The four files and their shapes, in the order of the checksums below."""

# torchvision.datasets.mnist has these MD5s; its addresses without https have the same hosts here with it
PACKED = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
UNPACKED = {
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    )
}
_ADDRESSES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "kmnist": "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
}
_FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
_CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}  # fmt: skip
FORMS = {name: ((1, 28, 28), len(classes)) for name, classes in _CLASSES.items()}


def find(name: str, source: Source) -> Found:
    """Published content has one identity wherever it lies; files without an MD5 go by name, size and time."""
    no_target(name, source)
    local = {file: _local(name, file, source.folder) for file in FILES}
    say_where(name, source, any(local.values()))
    unknown = [path for path in local.values() if path and path.suffix != ".gz" and name not in UNPACKED]
    identity = stat_identity(Path("/"), [str(path.resolve()) for path in unknown]) if unknown else "published"
    return Found(identity, partial(_read, name, local, source))


def parse_idx(data: bytes, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    """The unsigned bytes of an IDX file that must have this `shape`: magic, dimensions and length are
    checked.

    Raises:
        UnavailableError: anything else.
    """
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    if data[: len(header)] != header:
        raise UnavailableError(f"{where}: not an IDX file of unsigned bytes with the dimensions {shape}")
    if len(data) != len(header) + prod(shape):
        raise UnavailableError(f"{where}: {len(data)} bytes, but {shape} needs {len(header) + prod(shape)}")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _local(name: str, file: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    places = [folder, folder / "raw", folder / _FOLDERS[name] / "raw", folder / name]
    return first_file(places, f"{file}.gz") or first_file(places, file)


def _read(name: str, local: dict[str, Path | None], source: Source) -> Decoded:
    arrays = []
    for index, (file, shape) in enumerate(FILES.items()):
        remote = Remote(f"{_ADDRESSES[name]}{file}.gz", f"md5:{PACKED[name][index]}")
        path = local[file] or obtain(remote, name, source)
        arrays.append(parse_idx(_content(name, index, path, prod(shape) + 64), shape, str(path)))
    train_images, train_labels, test_images, test_labels = arrays
    return Decoded(
        train=Split(train_images[:, None], train_labels.astype(np.int64)),
        test=Split(test_images[:, None], test_labels.astype(np.int64)),
        classes=_CLASSES[name],
        augment="none",
    )


def _content(name: str, index: int, path: Path, limit: int) -> bytes:
    """The unpacked bytes of a file that is as published."""
    packed = path.suffix == ".gz"
    data = read_whole(
        path, limit + (1 << 16 if packed else 0)
    )  # gzip may add a little where it finds nothing
    sound = packed and matches(data, f"md5:{PACKED[name][index]}")
    content = _gunzip(data, limit, path) if packed else data
    if name in UNPACKED:
        sound = sound or matches(content, f"md5:{UNPACKED[name][index]}")
    elif not packed:
        sound = True  # nothing is published to compare with
    if not sound:
        raise UnavailableError(f"{path}: not the published file (its MD5 differs); without it, it is fetched")
    return content


def _gunzip(data: bytes, limit: int, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise UnavailableError(f"{path}: not a sound gzip file") from None
    if len(content) > limit:
        raise UnavailableError(f"{path}: unpacks to more than {limit} bytes")
    return content
