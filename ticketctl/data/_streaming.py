"""A folder of images as a data set that stays in its files: what names it, and its scale.

To digest all of ImageNet takes longer than to train on it for an epoch. Such a set goes by the names, classes, order
and sizes in bytes of all of its files, and by the decoded pixels of some hundred of them, spread evenly: so a decoder
that differs in a bit makes another set, and a newer version that does not makes the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._crew import Crew
from ticketctl.data._decode import Decoder, decoder
from ticketctl.data._index import PLAIN, Index, index_of
from ticketctl.data._measure import scale
from ticketctl.data._sources import stat_identity
from ticketctl.data.sets import Decoded, Source, Split
from ticketctl.data.stream import Streamed, View
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import read_bytes, sha256, write_atomic

SAMPLE = {"train": 512, "test": 128}
"""Images of each split that are decoded to name the set; mean and deviation are of those of `train`."""
_SAMPLING = 1
"""Counts changes in what is sampled and how."""


def read_streamed(root: Path, view: View, source: Source) -> tuple[Decoded, Index]:
    """The folder's splits, their images in their files, and the list of these.

    Args:
        root: the folder.
        view: the form of the images.
        source: whose cache keeps the list of files, whose reporter is told, and which says how many threads decode.

    Raises:
        UnavailableError, UsageError: as `index_of`.
        UsageError: images of different sizes, and none that they are brought to.
    """
    index = index_of(root, source.cache, source.reporter, source.workers)
    _check_sizes(index, view)
    chosen, crew = decoder(), Crew(source.workers)
    parts = {"train": slice(0, index.train), "test": slice(index.train, None)}
    images = {name: Streamed(index, part, view, chosen, crew) for name, part in parts.items()}
    _told(index, chosen, images, source)
    about = _sampled(index, images, view, chosen, source)
    splits = {name: Split(_as_array(images[name]), index.labels[part]) for name, part in parts.items()}
    decoded = Decoded(
        splits["train"],
        splits["test"],
        index.classes,
        augment="none" if index.channels == 1 else "crop-flip",
        scale=(tuple(about["mean"]), tuple(about["std"])),
        fingerprint=about["fingerprint"],
    )
    return decoded, index


def _as_array(images: Streamed) -> NDArray[np.uint8]:
    """It is none, but has of one what is asked of a split's images."""
    return cast("NDArray[np.uint8]", images)


def _check_sizes(index: Index, view: View) -> None:
    if view.size is not None:
        return
    odd = np.flatnonzero((index.heights != index.heights[0]) | (index.widths != index.widths[0]))
    if len(odd):
        first, other = (
            f"{index.names[place]} is {index.widths[place]}x{index.heights[place]}" for place in (0, odd[0])
        )
        advice = "make them one size, or give the option size=N to have them N x N"
        raise UsageError(f"{index.root}: {first}, but {other}; {advice}")


def _told(index: Index, chosen: Decoder, images: dict[str, Streamed], source: Source) -> None:
    counts = f"{len(images['train']):,} + {len(images['test']):,} images"
    threads = f"{images['train'].crew.workers} thread{'s' * (images['train'].crew.workers > 1)}"
    source.reporter.note(f"streaming {counts} from {index.root}: {chosen.name}, {threads}")
    slow = int(((index.kinds & PLAIN) == 0).sum())
    if slow and chosen.fast is not None:
        source.reporter.note(f"{slow:,} of these files are CMYK or no JPEG: Pillow decodes them")


def _sampled(
    index: Index, images: dict[str, Streamed], view: View, chosen: Decoder, source: Source
) -> dict[str, Any]:
    """Fingerprint, mean and deviation: from the cache, while decoder and sampled files are the same."""
    places = {name: spread(len(one), SAMPLE[name]) for name, one in images.items()}
    files = [index.names[row] for name, one in images.items() for row in one.rows[places[name]]]
    marks = [
        _SAMPLING,
        index.digest,
        view.resize,
        view.size,
        chosen.name,
        stat_identity(index.root, files),
    ]
    path = source.cache / "data" / f"sample-{sha256(canonical_json(marks))[:16]}.json"
    try:
        found = parse_json(read_bytes(path, limit=1 << 16), where=str(path), code="E_FORMAT", canonical=True)
        return dict(found)
    except ArtifactError:
        pass
    pixels = {}
    for name, one in images.items():
        source.reporter.alive()
        pixels[name] = one[places[name]]
    mean, std = scale(pixels["train"])
    found = {"fingerprint": _fingerprint(index, images, pixels), "mean": list(mean), "std": list(std)}
    write_atomic(path, canonical_json(found))
    return found


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` places, evenly spread."""
    few = min(count, most)
    return np.arange(few, dtype=np.int64) * count // few


def _fingerprint(index: Index, images: dict[str, Streamed], pixels: dict[str, NDArray[np.uint8]]) -> str:
    """`streamed:` and a SHA-256 over both splits, as `_measure.fingerprint`, of sampled pixels, after all names.

    Each adds its shape as text, its labels (little-endian int64), the sizes in bytes of its files (likewise), their
    names (each ended by a zero byte), and the sampled pixels.
    """
    digest = hashlib.sha256()
    for name, one in images.items():
        digest.update(f"{name} {'x'.join(map(str, one.shape))}\n".encode())
        for column in (index.labels, index.sizes):
            digest.update(np.ascontiguousarray(column[one.rows], dtype="<i8").data)
        for row in one.rows.tolist():
            digest.update(index.names[row].partition("/")[2].encode() + b"\0")
        digest.update(np.ascontiguousarray(pixels[name]).data)
    return f"streamed:{digest.hexdigest()}"
