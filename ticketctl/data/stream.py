"""Images that stay in their files and are decoded batch by batch: for sets that are too large to be held decoded.

To the rest a `Streamed` is the array uint8 [N, C, H, W] that other sets have: it has that shape, and indexing it with
a slice or with places decodes those images, in evaluation form. `Supply` decodes ahead of who asks for batches.

Memory: a supply of depth d holds at most d + 1 batches of uint8 pixels, and each thread one decoded image beside them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data._crew import Batch, Crew
from ticketctl.data._decode import Decoder, Pixels, centre
from ticketctl.data._index import PLAIN, Index
from ticketctl.data._members import MAX_FILE
from ticketctl.data._sources import read_whole
from ticketctl.data.crops import Crop, box_of
from ticketctl.errors import UnavailableError

Places = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """How files become images: their shorter side `resize` pixels, of which the centre `size` x `size` is taken.

    None: as they are, all of one size.
    """

    resize: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Wanted:
    """A batch: the images at `places` [B], cut by `crop` with the random `words` uint64 [B], or in evaluation form."""

    places: Places
    words: NDArray[np.uint64] | None = None
    crop: Crop | None = None

    def __len__(self) -> int:
        return len(self.places)

    def same(self, other: Wanted) -> bool:
        """Whether both are the same pixels."""
        if self.crop != other.crop or (self.words is None) != (other.words is None):
            return False
        words = self.words is None or other.words is None or np.array_equal(self.words, other.words)
        return words and np.array_equal(self.places, other.places)


class Streamed:
    """The images of one split, in their files.

    Args:
        index: of the folder.
        part: which of its images.
        view: their form.
        decoder: what reads them.
        crew: the threads that do.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, index: Index, part: slice, view: View, decoder: Decoder, crew: Crew) -> None:
        self.index, self.view, self.decoder, self.crew = index, view, decoder, crew
        self.rows = np.arange(len(index.names), dtype=np.int64)[part]
        sides = (view.size, view.size) if view.size else (int(index.heights[0]), int(index.widths[0]))
        self.shape: tuple[int, int, int, int] = (len(self.rows), index.channels, *sides)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Numbers, were all images decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    nbytes = size

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """The images at one place, a slice or int64 [n], in evaluation form: uint8 [C, H, W] or [n, C, H, W].

        Raises:
            UnavailableError: one is damaged.
        """
        places = np.arange(len(self), dtype=np.int64)[key]
        if places.ndim == 0:
            found: NDArray[np.uint8] = self[places[None]][0]
            return found
        return self.begin(Wanted(places)).result().transpose(0, 3, 1, 2)

    def begin(self, wanted: Wanted) -> Batch:
        """Have a batch decoded: uint8 [B, H, W, C]."""
        _, channels, high, wide = self.shape
        out = np.empty((len(wanted), high, wide, channels), dtype=np.uint8)
        places, words, crop = self.rows[wanted.places], wanted.words, wanted.crop

        def fill(row: int) -> None:
            pixels = self._decoded(int(places[row]))
            if crop is None or words is None:
                out[row] = self._centred(pixels)
            else:
                box = box_of(int(words[row]), pixels.shape[0], pixels.shape[1], crop)
                out[row] = self.decoder.cut(pixels, box, high)

        return self.crew.begin(fill, out)

    def _decoded(self, place: int) -> Pixels:
        index, path = self.index, self.index.path(place)
        data = read_whole(path, MAX_FILE)
        if len(data) != index.sizes[place]:
            index.kept.unlink(missing_ok=True)
            seen = f"{len(data):,} bytes, and had {int(index.sizes[place]):,}"
            raise UnavailableError(
                f"{path}: has {seen} when the folder was looked at: it is another data set now"
            )
        plain = bool(index.kinds[place] & PLAIN)
        return self.decoder.pixels(data, self.shape[1], plain, str(path))

    def _centred(self, pixels: Pixels) -> Pixels:
        if self.view.size is None:
            return pixels
        return centre(pixels, self.view.resize or self.view.size, self.view.size)


class Supply:
    """Batches of one user, decoded ahead of the asking.

    Args:
        images: what batches are of.
        depth: batches at most that are decoded beside the one that was asked for.
    """

    def __init__(self, images: Streamed, depth: int) -> None:
        self.images, self.depth = images, depth
        self._held: deque[tuple[Wanted, Batch]] = deque()

    def take(self, wanted: Wanted, then: Sequence[Wanted] = ()) -> NDArray[np.uint8]:
        """The batch, uint8 [B, H, W, C]; what comes `then` is begun, as far as the depth goes.

        What was begun and is not next in the end costs time alone: it is dropped.

        Raises:
            UnavailableError: an image cannot be read.
        """
        while self._held and not self._held[0][0].same(wanted):
            self._held.popleft()[1].dropped = True
        batch = self._held.popleft()[1] if self._held else self.images.begin(wanted)
        for place, following in enumerate(then[: self.depth]):
            if place < len(self._held) and not self._held[place][0].same(following):
                self.drop(place)
            if place >= len(self._held):
                self._held.append((following, self.images.begin(following)))
        self.drop(min(len(then), self.depth))
        return batch.result()

    def drop(self, since: int = 0) -> None:
        """Forget what was begun, from a place in the queue on."""
        while len(self._held) > since:
            self._held.pop()[1].dropped = True
