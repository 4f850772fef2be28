"""CIFAR-10 and CIFAR-100 from their binary archives; the pickled ones are never read.

A record is its labels, one byte (CIFAR-10) or two (CIFAR-100: coarse, fine; fine is used), and 3,072 pixels,
three planes of 32 rows. The archive, or the folder unpacked from it, is looked for in `--data-dir`, else the
archive is fetched.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

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
    "cifar10": "CIFAR-10: 50,000 + 10,000 colour 32x32, ten classes",
    "cifar100": "CIFAR-100: 50,000 + 10,000 colour 32x32, a hundred classes",
}

_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """Where a set's records are: `records` in each train and test file, in the archive's one `folder`."""

    remote: Remote
    folder: str
    pickled: str
    train: tuple[str, ...]
    test: str
    records: tuple[int, int]
    labels: int
    classes: tuple[str, ...]
    scale: tuple[tuple[float, ...], tuple[float, ...]]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file that is read."""
        record = self.labels + _PIXELS
        return dict.fromkeys(self.train, self.records[0] * record) | {self.test: self.records[1] * record}


# the checksums are those that TensorFlow Datasets and others record; mean and std are measured over the train
# split (a std of .2023 .1994 .2010, often seen for CIFAR-10, is the mean over images of each one's own std)
LAYOUTS = {
    "cifar10": Layout(
        remote=Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
        ),
        folder="cifar-10-batches-bin",
        pickled="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        records=(10_000, 10_000),
        labels=1,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        scale=((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ),
    "cifar100": Layout(
        remote=Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
        folder="cifar-100-binary",
        pickled="cifar-100-python",
        train=("train.bin",),
        test="test.bin",
        records=(50_000, 10_000),
        labels=2,
        classes=tuple(_CIFAR100_CLASSES.split()),
        scale=((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    ),
}
FORMS = {name: ((3, 32, 32), len(layout.classes)) for name, layout in LAYOUTS.items()}
_LIMIT = 256 << 20


def find(name: str, source: Source) -> Found:
    """The archive has one identity wherever it lies; an unpacked folder goes by names, sizes and times."""
    no_target(name, source)
    layout = LAYOUTS[name]
    places = [source.folder, source.folder / name] if source.folder else []
    archive = first_file(places, layout.remote.name)
    roots = [root for place in places for root in (place / layout.folder, place)]
    unpacked = None if archive else first_file(roots, layout.test)
    if unpacked:
        root = unpacked.parent
        return Found(stat_identity(root, layout.sizes()), lambda: _decode(layout, _unpacked(root, layout)))
    if not archive and any((place / layout.pickled).is_dir() for place in places):
        source.reporter.note(f"{layout.pickled} in {source.folder} is not read: a pickle can run code")
    say_where(name, source, archive)
    return Found(layout.remote.checksum, partial(_read_archive, name, archive, source))


def _read_archive(name: str, archive: Path | None, source: Source) -> Decoded:
    layout = LAYOUTS[name]
    path = archive or obtain(layout.remote, name, source)
    data = read_whole(path, _LIMIT)
    if not matches(data, layout.remote.checksum):
        raise UnavailableError(f"{path}: not the published file (its SHA-256 differs)")
    wanted = {f"{layout.folder}/{file}": size for file, size in layout.sizes().items()}
    members = read_members(data, wanted, path)
    return _decode(layout, {name.rpartition("/")[2]: content for name, content in members.items()})


def read_members(data: bytes, wanted: Mapping[str, int], path: Path) -> dict[str, bytes]:
    """The members of a packed tar archive that have exactly the `wanted` names and sizes, in memory.

    Raises:
        UnavailableError: damaged, or one of them is missing, twice, of another size, or not a regular file.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as archive:
            for member in archive:
                if member.name not in wanted:
                    continue
                file = archive.extractfile(member) if member.isreg() else None
                if file is None or member.size != wanted[member.name] or member.name in found:
                    raise UnavailableError(f"{path}: {member.name} is not as it should be")
                found[member.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UnavailableError(f"{path}: not a sound archive: {error}") from None
    missing = [name for name in wanted if len(found.get(name, b"")) != wanted[name]]
    if missing:
        raise UnavailableError(f"{path}: {missing[0]} is not in it, or cut short")
    return found


def _unpacked(root: Path, layout: Layout) -> dict[str, bytes]:
    contents = {}
    for file, size in layout.sizes().items():
        contents[file] = read_whole(root / file, size)
        if len(contents[file]) != size:
            raise UnavailableError(f"{root / file}: {len(contents[file])} bytes, but it should have {size}")
    return contents


def _decode(layout: Layout, contents: Mapping[str, bytes]) -> Decoded:
    train = _split(b"".join(contents[file] for file in layout.train), layout)
    test = _split(contents[layout.test], layout)
    return Decoded(train, test, layout.classes, augment="crop-flip", scale=layout.scale)


def _split(data: bytes, layout: Layout) -> Split:
    records = np.frombuffer(data, np.uint8).reshape(-1, layout.labels + _PIXELS)
    images = records[:, layout.labels :].reshape(-1, 3, 32, 32)
    return Split(images, records[:, layout.labels - 1].astype(np.int64))
