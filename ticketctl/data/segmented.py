"""Images with the places of concepts in them, from a folder of the user's; nothing is fetched.

Your own set is

    images/NAME.png (jpg, bmp, webp)
    masks/NAME.png    numbers of concepts, 0 for none: grey of 8 or 16 bits, or a palette
    masks/NAME.npz    or, where concepts overlap: one bool array [concepts, height, width], in the order of the list
    concepts.json     [{"id": 1, "name": "red", "category": "color"}, ...], ids from 1

and Broden (Bau et al. 2017) is read in the layout of NetDissect, recognised by its index.csv: see `_broden.py`. All
masks of a set share one size. Images are squeezed to the size that the net takes, whatever their shape was, so that
masks stay over what they show.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data._broden import read_broden
from ticketctl.data._images import SUFFIXES, decode_all
from ticketctl.data._members import MAX_FILE, FolderMembers
from ticketctl.data._planes import Concept, Layout, Planes
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.store.documents import canonical_json, parse_json

LIMIT = 4 << 30
"""Bytes that the images, and the masks, may take in memory."""
CONCEPTS = "concepts.json"
MAX_ID = (1 << 16) - 1
MAX_NAME = 100


@dataclass(frozen=True)
class Segmented:
    """Images, and a row of bits for every concept in every image that shows it."""

    images: NDArray[np.uint8]
    """[N, C, H, W], as the net takes them."""
    concepts: tuple[Concept, ...]
    size: tuple[int, int]
    """Height and width of the masks."""
    image: NDArray[np.int64]
    """[R], which image a row is of, ascending."""
    concept: NDArray[np.int64]
    """[R], which concept."""
    bits: NDArray[np.uint64]
    """[R, words], see `packed`."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """A digest of all of it."""
        words = [[concept.name, concept.category] for concept in self.concepts]
        found = hashlib.sha256(canonical_json([self.images.shape, self.size, words]))
        for array in (self.images, self.image, self.concept, self.bits):
            found.update(np.ascontiguousarray(array).data)
        return f"sha256:{found.hexdigest()}"


def packed(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Bools [k, P] as bits [k, ceil(P / 64)], zeros behind the last."""
    found = np.zeros((len(masks), -(-masks.shape[1] // 64) * 8), np.uint8)
    found[:, : -(-masks.shape[1] // 8)] = np.packbits(masks, axis=1)
    return found.view(np.uint64)


def read_segmented(
    folder: Path, *, shape: tuple[int, int, int], most: int = 0, tick: Callable[[], None] = lambda: None
) -> Segmented:
    """The set in `folder`.

    Args:
        folder: as said above, or Broden's.
        shape: channels (1 or 3), height and width of the images that the net takes.
        most: images at most, spread evenly over the set; 0: all.
        tick: called for every image; may raise.

    Raises:
        UsageError: `folder` is none, or the set does not fit in memory.
        UnavailableError: a file that is missing or not sound, or says what cannot be.
        ArtifactError: concepts.json is no sound JSON.
    """
    members = members_of(folder)
    layout = read_broden(members) if "index.csv" in members.names else _own(members)
    count = min(most or len(layout.images), len(layout.images))
    places = np.arange(count) * len(layout.images) // count
    _check_room(count * int(np.prod(shape)), folder, "images", count)
    images = np.empty((count, *shape), np.uint8)
    rows = _Rows(folder, count)
    for number, place in enumerate(places.tolist()):
        tick()
        images[number] = _squeezed(members, layout.images[place], shape)
        rows.add(number, layout.images[place], layout.planes(place))
    return Segmented(images, layout.concepts, *rows.found())


def members_of(folder: Path) -> FolderMembers:
    """The files of a set; UsageError if `folder` is none."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder; it should have images/, masks/ and {CONCEPTS}, or be Broden's"
        )
    return FolderMembers(folder)


class _Rows:
    """The rows, image by image."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count, self.bytes = folder, count, 0
        self.size: tuple[int, int] | None = None
        self.first = ""
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]] = []

    def add(self, number: int, name: str, planes: Planes) -> None:
        """Those of one image."""
        if self.size is None:
            self.size, self.first = planes.size, name
        if planes.size != self.size:
            sizes = f"the masks of {self.first} are {_by(self.size)}, but those of {name} {_by(planes.size)}"
            raise UnavailableError(f"{self.folder}: {sizes}; make them one size")
        shown = {concept: mask for concept, mask in sorted(planes.masks.items()) if mask.any()}
        if not shown:
            return
        bits = packed(np.stack([mask.reshape(-1) for mask in shown.values()]))
        self.bytes += bits.nbytes
        _check_room(self.bytes, self.folder, "masks", self.count)
        self.parts.append((np.full(len(shown), number), np.array([*shown]), bits))

    def found(self) -> tuple[tuple[int, int], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """Size, images, concepts, bits."""
        if not self.parts or self.size is None:
            raise UnavailableError(f"{self.folder}: no concept is shown in any image")
        image, concept, bits = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        return self.size, image, concept, bits


def _check_room(size: int, folder: Path, what: str, count: int) -> None:
    if size > LIMIT:
        raise UsageError(
            f"{folder}: the {what} of {count} images take more than {LIMIT >> 30} GiB; take fewer images"
        )


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _squeezed(members: FolderMembers, name: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    channels, height, width = shape
    found = decode_all(members, [name], colour=channels == 3)[0]
    image = Image.fromarray(found[0] if len(found) == 1 else np.ascontiguousarray(found.transpose(1, 2, 0)))
    image = image.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


# ----------------------------------------------------------------------------------------------- a set of one's own


def _own(members: FolderMembers) -> Layout:
    numbers, concepts = _concepts(members)
    images = _by_stem(members, "images", SUFFIXES)
    masks = _by_stem(members, "masks", (".png", ".npz"))
    for one, others, what in ((images, masks, "mask"), (masks, images, "image")):
        alone = next((name for stem, name in one.items() if stem not in others), None)
        if alone is not None:
            raise UnavailableError(f"{members.where}: {alone} has no {what} of its name")
    if not images:
        raise UnavailableError(f"{members.where}: no images in images/*.{{png,jpg,bmp,webp}}")
    stems = sorted(images)

    def planes(place: int) -> Planes:
        name = masks[stems[place]]
        if name.endswith(".npz"):
            return _stack(members, name, len(concepts))
        return _index_map(members, name, numbers)

    return Layout(concepts, [images[stem] for stem in stems], planes)


def _by_stem(members: FolderMembers, part: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Members of a folder by their name without its ending."""
    found: dict[str, str] = {}
    for name in members.names:
        if name.startswith(f"{part}/") and name.lower().endswith(suffixes):
            stem = name.removeprefix(f"{part}/").rpartition(".")[0]
            if stem in found:
                raise UnavailableError(
                    f"{members.where}: both {found[stem]} and {name}; one of a name is needed"
                )
            found[stem] = name
    return found


def _concepts(members: FolderMembers) -> tuple[dict[int, int], tuple[Concept, ...]]:
    """The place of each id, and the concepts in the order of the list."""
    where = f"{members.where / CONCEPTS}"
    if CONCEPTS not in members.names:
        raise UnavailableError(f"{members.where}: there is neither {CONCEPTS} nor Broden's index.csv")
    listed = parse_json(members.read(CONCEPTS), where=where, code="E_FORMAT")
    if not isinstance(listed, list) or not listed:
        raise UnavailableError(f'{where}: must be a list of {{"id": 1, "name": "red", "category": "color"}}')
    numbers: dict[int, int] = {}
    concepts: dict[str, Concept] = {}
    for place, entry in enumerate(listed):
        fault = _fault(entry)
        if not fault and (entry["id"] in numbers or entry["name"] in concepts):
            fault = f"the id {entry['id']} or the name {entry['name']!r} stands twice"
        if fault:
            raise UnavailableError(f"{where}: entry {place + 1}: {fault}")
        numbers[entry["id"]] = place
        concepts[entry["name"]] = Concept(entry["name"], entry["category"])
    return numbers, tuple(concepts.values())


def _fault(entry: Any) -> str:
    if not isinstance(entry, Mapping) or set(entry) != {"id", "name", "category"}:
        return "needs id, name and category, and nothing else"
    if type(entry["id"]) is not int or not 1 <= entry["id"] <= MAX_ID:
        return f"the id must be a whole number from 1 to {MAX_ID}, not {str(entry['id'])[:50]}"
    for key in ("name", "category"):
        if not isinstance(entry[key], str) or not _is_name(entry[key]):
            return f"the {key} must be 1 to {MAX_NAME} printable characters"
    return ""


def _is_name(text: str) -> bool:
    """Whether a concept may be called so."""
    return 1 <= len(text) <= MAX_NAME and text.isprintable()


def _index_map(members: FolderMembers, name: str, numbers: Mapping[int, int]) -> Planes:
    where = f"{members.where}: {name}"
    try:
        image = Image.open(io.BytesIO(members.read(name)), formats=("PNG",))
        if image.width * image.height > MAX_FILE:
            raise UnavailableError(f"{where}: {image.width}x{image.height} pixels are more than {MAX_FILE}")
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise UnavailableError(f"{where}: not a sound image: {str(error)[:100]}") from None
    if image.mode not in ("L", "P") and not image.mode.startswith("I"):
        raise UnavailableError(f"{where}: is {image.mode}; a mask is grey of 8 or 16 bits, or has a palette")
    values = np.asarray(image).astype(np.int64)
    known = np.unique(values)
    strange = next((int(value) for value in known if value != 0 and int(value) not in numbers), None)
    if strange is not None:
        raise UnavailableError(f"{where}: has the number {strange}, which {CONCEPTS} does not list")
    return Planes(
        (image.height, image.width), {numbers[int(value)]: values == value for value in known if value != 0}
    )


def _stack(members: FolderMembers, name: str, count: int) -> Planes:
    where = f"{members.where}: {name}"
    try:
        found = _lone_array(members.read(name))
    except (
        zipfile.BadZipFile, zlib.error, tokenize.TokenError, OSError, EOFError, RuntimeError, ValueError, OverflowError,
        TypeError, MemoryError, struct.error,
    ) as error:  # fmt: skip
        raise UnavailableError(f"{where}: not a sound .npz: {str(error)[:100]}") from None
    if found.dtype != np.bool_ or found.ndim != 3 or len(found) != count or not found.size:
        given = f"{found.dtype}{list(found.shape)}"
        raise UnavailableError(f"{where}: {given}; a bool array [{count}, height, width] is needed")
    _, height, width = found.shape
    return Planes((height, width), dict(enumerate(found)))


def _lone_array(data: bytes) -> NDArray[Any]:
    """The array of an .npz that has one; nothing is unpickled, and no more unpacked than `MAX_FILE`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if len(infos) != 1:
            raise ValueError(f"{len(infos)} arrays in it, and not one")
        if infos[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("packed otherwise than numpy does")
        with archive.open(infos[0]) as file:
            raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise ValueError(f"unpacks to more than {MAX_FILE} bytes")
    return npy.read_array(io.BytesIO(raw), allow_pickle=False)
