"""The list of a folder's images: looked over once, kept in the cache, and taken from there while the folder stays.

A folder has stayed as it was while its class folders are the same and none of them was written to. That a file in one
was overwritten in place shows when it is read, if it has more or fewer bytes than before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._cache import waiting
from ticketctl.data._images import SUFFIXES, headed
from ticketctl.errors import ArtifactError, UnavailableError, UsageError
from ticketctl.progress import Reporter
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, sha256
from ticketctl.store.mapped import map_tensors, write_arrays

GREY, PLAIN = 1, 2
"""Bits of `Index.kinds`: mode L; a JPEG in plain RGB or grey, which torchvision decodes."""

_LISTING = 2
"""Counts changes in what is kept, so that no list outlives the code that made it."""
_KEY = "ticketctl.index"
_PIECE = 64
"""Files that a thread looks at in one go."""
_TOLD = 100_000
"""Files between two notes on how far it got."""

Rows = list[tuple[str, str]]
Header = tuple[int, int, int, int]
"""Bytes of a file, height and width in pixels, kind."""


@dataclass(frozen=True)
class Index:
    """The images of a folder, those to train on first, each part in the order of classes and file names."""

    root: Path
    kept: Path
    """Where the list lies."""
    names: tuple[str, ...]
    """Below `root`, with `/` between folders."""
    train: int
    """How many are to train on."""
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """Bytes of the files."""
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    kinds: NDArray[np.int64]
    digest: str = ""
    """Of all of this, but where it lies."""

    @property
    def channels(self) -> int:
        """1 if all images are grey, else 3."""
        return 1 if bool((self.kinds & GREY).all()) else 3

    def path(self, place: int) -> Path:
        """Where image `place` lies."""
        return self.root / self.names[place]


def index_of(root: Path, cache: Path, reporter: Reporter, workers: int) -> Index:
    """The list of PATH/{train, test or val}/CLASS/IMAGE, from the cache or made now.

    Args:
        root: PATH.
        cache: where lists are kept.
        reporter: told how far it got; may raise to stop.
        workers: threads that look at files.

    Raises:
        UnavailableError: no images, or a file whose header is no sound image's.
        UsageError: test images of a class that has none to train on.
        ResourceError: the cache cannot be written.
    """
    folders = _class_folders(root)
    key = sha256(canonical_json([_LISTING, str(root.resolve()), folders]))[:16]
    path = cache / "data" / f"index-{key}.safetensors"
    try:
        return _read(path, root)
    except ArtifactError:
        make_folder(path.parent)
    with waiting(path.parent, reporter):
        try:
            return _read(path, root)  # made by the process we waited for
        except ArtifactError:
            made = _made(root, path, reporter, workers)
        if _class_folders(root) == folders:  # else it was written to meanwhile
            write_arrays(path, _arrays(made), {_KEY: canonical_json(_about(made)).decode()})
    return made


def listing_identity(root: Path) -> str:
    """What `index_of` knows a folder again by: a digest of its class folders and of when each was written to.

    Raises:
        UnavailableError: there is none, or a folder cannot be listed.
    """
    if not (folders := _class_folders(root)):
        raise UnavailableError(f"{root}: no images in train/CLASS/*.{{png,jpg,bmp,webp}}")
    return f"folders:{sha256(canonical_json(folders))}"


def _class_folders(root: Path) -> list[list[Any]]:
    """Part, class and time of change of each class folder, sorted."""
    found = []
    for part in ("test", "train", "val"):
        if (root / part).is_dir():
            found += [[part, entry.name, entry.stat().st_mtime_ns] for entry in _entries(root / part, True)]
    return sorted(found)


def _entries(folder: Path, folders: bool) -> list[os.DirEntry[str]]:
    """What lies in a folder, links followed and hidden names left out, sorted.

    Raises:
        UnavailableError: it cannot be listed, or a name is not UTF-8.
    """
    try:
        with os.scandir(folder) as entries:
            found = [one for one in entries if one.name[0] != "." and one.is_dir() == folders]
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in found:
        if not entry.name.isascii():
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                raise UnavailableError(f"{folder}: the name {entry.name!r} is not UTF-8") from None
    return sorted(found, key=lambda one: one.name)


def _rows(root: Path, part: str, reporter: Reporter) -> Rows:
    """(class, name) of each image of a part."""
    found = []
    for label in _entries(root / part, True) if (root / part).is_dir() else []:
        reporter.alive()
        names = [one.name for one in _entries(root / part / label.name, False)]
        found += [
            (label.name, f"{part}/{label.name}/{name}") for name in names if name.lower().endswith(SUFFIXES)
        ]
    return found


def _made(root: Path, path: Path, reporter: Reporter, workers: int) -> Index:
    train = _rows(root, "train", reporter)
    test = _rows(root, "test", reporter) or _rows(root, "val", reporter)
    if not train or not test:
        where = "train" if not train else "test or val"
        raise UnavailableError(f"{root}: no images in {where}/CLASS/*.{{png,jpg,bmp,webp}}")
    classes = sorted({label for label, _ in train})
    strange = sorted({label for label, _ in test} - {*classes})
    if strange:
        raise UsageError(f"{root}: class {strange[0]!r} has test images and no train images")
    number = {label: place for place, label in enumerate(classes)}
    names = [name for _, name in train + test]
    reporter.note(f"looking at {len(names):,} images in {root}, once")
    headers = np.array([*_headers(root, names, reporter, workers)], dtype=np.int64)
    labels = np.array([number[label] for label, _ in train + test], dtype=np.int64)
    found = Index(root, path, tuple(names), len(train), tuple(classes), labels, *headers.T.copy())
    return replace(found, digest=_digest(found))


def _headers(root: Path, names: Sequence[str], reporter: Reporter, workers: int) -> Iterator[Header]:
    """Of each file, in order; the first that is no image ends it."""
    pool = ThreadPoolExecutor(workers)
    try:
        pieces = (names[start : start + _PIECE] for start in range(0, len(names), _PIECE))
        done = 0
        for found in pool.map(lambda piece: [_header(root / name) for name in piece], pieces):
            yield from found
            reporter.alive()
            done += len(found)
            if done // _TOLD != (done - len(found)) // _TOLD:
                reporter.note(f"looked at {done:,} of {len(names):,} images")
    finally:
        pool.shutdown(cancel_futures=True)


def _header(path: Path) -> Header:
    try:
        with open(path, "rb") as file:
            image = headed(file, str(path))
            grey = GREY if image.mode == "L" else 0
            plain = PLAIN if image.format == "JPEG" and image.mode in ("L", "RGB") else 0
            return os.fstat(file.fileno()).st_size, image.height, image.width, grey | plain
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}") from None


# ------------------------------------------------------------------------------------------------------ in the cache

_COLUMNS = ("labels", "sizes", "heights", "widths", "kinds")


def _arrays(index: Index) -> dict[str, NDArray[Any]]:
    names = np.frombuffer("\0".join(index.names).encode(), dtype=np.uint8)
    return {"names": names, **{name: getattr(index, name) for name in _COLUMNS}}


def _about(index: Index) -> dict[str, Any]:
    return {"train": index.train, "classes": list(index.classes), "sha256": index.digest}


def _digest(index: Index) -> str:
    arrays = [[name, sha256(array.tobytes())] for name, array in _arrays(index).items()]
    return sha256(canonical_json([index.train, list(index.classes), arrays]))


def _read(path: Path, root: Path) -> Index:
    """The list that is kept.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    tensors, metadata = map_tensors(path)
    arrays = {name: tensor.array() for name, tensor in tensors.items()}
    about = parse_json(metadata.get(_KEY, "").encode(), where=str(path), code="E_FORMAT", canonical=True)
    if {*arrays} != {"names", *_COLUMNS} or {*about} != {"train", "classes", "sha256"}:
        raise ArtifactError("E_FORMAT", f"{path}: no list of images")
    names = tuple(arrays.pop("names").tobytes().decode(errors="replace").split("\0"))
    found = Index(
        root, path, names, about["train"], tuple(about["classes"]), **arrays, digest=about["sha256"]
    )
    if found.digest != _digest(found):
        raise ArtifactError("E_FORMAT", f"{path}: not the list that was written")
    return found
