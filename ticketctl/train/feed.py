"""The training images, resident on the device as uint8, cut into augmented and normalised batches there.

Those of a streamed set (`data.stream`) are decoded, and cut, in threads while the device is at the batches before.

What an image looks like in an epoch depends on (seed, epoch, its index) and on nothing else: not on the batch it
falls into, not on the device, not on where a training was resumed.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.data.crops import Crop
from ticketctl.data.sets import Split
from ticketctl.data.stream import Streamed, Supply, Wanted
from ticketctl.seeds import Seeds
from ticketctl.train.windows import Windows


@dataclass(frozen=True)
class Scaling:
    """Pixels to inputs: x * scale + offset, per channel, shape [1, C, 1, 1]."""

    scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Scaling:
        """(x / 255 - mean) / std."""
        centre = torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)
        spread = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)
        return cls((1 / (255 * spread)).float().to(device), (-centre / spread).float().to(device))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float32 inputs, channels last. Those of pixels that are floats already may be asked for their gradient."""
        if pixels.is_floating_point():
            inputs = torch.addcmul(self.offset, pixels.float(), self.scale)
            return inputs.contiguous(memory_format=torch.channels_last)
        inputs = pixels.contiguous(memory_format=torch.channels_last).float()
        if inputs.is_cuda:  # one kernel less for each of the two
            return torch.addcmul(self.offset, inputs, self.scale, out=inputs)
        return torch.addcmul(
            self._like(self.offset, inputs), inputs, self._like(self.scale, inputs), out=inputs
        )

    @staticmethod
    def _like(values: Tensor, inputs: Tensor) -> Tensor:
        """As large as one image: to go over three channels at a time is slow."""
        return values.expand(1, *inputs.shape[1:]).contiguous(memory_format=torch.channels_last)


TABLE_BYTES = 512 << 20
"""Images that are never augmented are kept as normalised floats up to this size: one lookup instead of arithmetic."""

AHEAD = 2
"""Batches of a streamed set that are decoded beside the one that is trained on: at 1024 images of 224 pixels 0.3 GB."""


class Images:
    """A split's images and labels, in order."""

    def __init__(
        self,
        split: Split,
        index: NDArray[np.int64] | None,
        scaling: Scaling,
        device: torch.device,
        *,
        resident: bool = True,
    ) -> None:
        """`index` picks images out of the split. Not resident: pixels stay on disk, and come batch by batch, as those
        of a streamed set do in any case."""
        self.source, self.rows, self.positions = split.images, index, split.positions
        rows = slice(None) if index is None else index
        self.labels = torch.from_numpy(np.array(split.labels[rows])).to(device)
        self.true = None if split.clean is None else torch.from_numpy(np.array(split.clean[rows])).to(device)
        self.size = (int(split.images.shape[2]), int(split.images.shape[3]))
        self.streamed = split.images if isinstance(split.images, Streamed) else None
        self.scaling, self.resident = scaling, resident and self.streamed is None
        self.supply = Supply(self.streamed, 1) if self.streamed is not None else None
        self.latest = len(self)
        """The first image of the batch that was asked for last."""
        if self.resident:
            self.pixels = torch.from_numpy(np.array(split.images[rows])).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clean(self) -> Tensor:
        """The data set's own labels, int64 [N], whichever labels a training is given."""
        return self.labels if self.true is None else self.true

    @property
    def published(self) -> NDArray[np.int64]:
        """Where each image stands in the order in which its data set was published, int64 [N]."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        return rows if self.positions is None else self.positions[rows]

    def pick(self, places: NDArray[np.int64]) -> Images:
        """Those of these images that are at `places` int64 [n], in that order."""
        found, index = copy(self), torch.from_numpy(places).to(self.labels.device)
        found.rows = places if self.rows is None else self.rows[places]
        found.supply = Supply(self.streamed, 1) if self.streamed is not None else None
        found.labels = self.labels.index_select(0, index)
        found.true = None if self.true is None else self.true.index_select(0, index)
        if self.resident:
            found.pixels = self.pixels.index_select(0, index)
        return found

    def take(self, index: Tensor) -> Tensor:
        """The pixels of the images `index` [B], uint8 [B, C, H, W] on the device."""
        if self.resident:
            return self.pixels.index_select(0, index)
        return self._read(index.cpu().numpy())

    def batch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of images start..stop-1."""
        stop = min(stop, len(self))
        if self.resident:
            return self.scaling(self.pixels[start:stop]), self.labels[start:stop]
        stride = start - self.latest if start > self.latest else stop - start
        self.latest = start  # whoever takes every second batch will go on so
        then = np.arange(len(self))[start + stride : stop + stride]
        return self.scaling(self._read(np.arange(start, stop), then)), self.labels[start:stop]

    def place(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the images `index` [B] lie in their split."""
        return index if self.rows is None else self.rows[index]

    def _read(self, index: NDArray[np.int64], then: NDArray[np.int64] | None = None) -> Tensor:
        """Of a streamed set with those that are likely to be asked for next."""
        if self.supply is None:
            return self.upload(np.array(self.source[self.place(index)]))
        following = [] if then is None or len(then) == 0 else [Wanted(self.place(then))]
        return self.upload(self.supply.take(Wanted(self.place(index)), following).transpose(0, 3, 1, 2))

    def upload(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels on the device, which may still be on their way."""
        found = torch.from_numpy(pixels)
        if self.supply is not None and self.labels.is_cuda:
            found = found.pin_memory()  # else the copy would wait for what the device is at
        return found.to(self.labels.device, non_blocking=True)


class Feed:
    """Shuffled, augmented batches of the training images."""

    def __init__(
        self, images: Images, *, batch: int, padding: int | None, drop_last: bool, crop: Crop | None = None
    ) -> None:
        """`padding`: zero pixels around an image before its random crop, with random flips; `crop`: of a streamed set
        random boxes and flips instead; both None: no augmentation."""
        self.images, self.batch_size, self.padding, self.crop = images, batch, padding, crop
        self.augments = padding is not None or crop is not None
        self.steps_per_epoch = len(images) // batch if drop_last else -(-len(images) // batch)
        if padding is not None and images.resident:
            self.windows = Windows(images.pixels, padding)
        self.table = _table(images) if padding is None and images.resident else None
        device = images.labels.device
        # one row each for order, flip, rows and columns to cut off: refilled every epoch, at addresses that stay
        self.order = torch.zeros(len(images), dtype=torch.int64, device=device)
        self.flip, self.down, self.right = torch.zeros((3, len(images)), dtype=torch.int64, device=device)
        self.corner = torch.zeros(len(images), dtype=torch.int64, device=device)
        """Of resident images, where this epoch's crop of each begins in the windows."""
        self.supply = Supply(images.streamed, AHEAD) if images.streamed is not None else None
        self.plan = _Plan(np.zeros(len(images), dtype=np.int64), None)

    def __len__(self) -> int:
        return len(self.images)

    def begin_epoch(self, seeds: Seeds, epoch: int) -> None:
        """Set the order and the augmentation of `epoch` (0-based)."""
        if self.order.is_cuda and self.images.resident:
            self.order.copy_(_order_on(self.order.device, seeds.raw("order", epoch, count=len(self))))
        else:
            self.plan = _Plan(seeds.order("order", epoch, count=len(self)), None)
            self.order.copy_(torch.from_numpy(self.plan.order))
        if not self.augments:
            return
        words = seeds.raw("augment", epoch, count=len(self))
        if self.padding is None:
            self.plan = _Plan(self.plan.order, words)
            return
        for held, part in zip((self.flip, self.down, self.right), crops(words, self.padding), strict=True):
            held.copy_(torch.from_numpy(part))
        if self.images.resident:
            every = torch.arange(len(self), device=self.corner.device)
            self.corner.copy_(self.windows.corners(every, self.flip, self.down, self.right))

    def batch(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs [B, C, H, W] float32, labels [B], indices [B] of step `position` of this epoch."""
        return self.gather(self.rows(position))

    def rows(self, position: int) -> Tensor:
        """Indices [B] of the images of step `position` of this epoch."""
        return self.order[position * self.batch_size : (position + 1) * self.batch_size]

    def newest(self, step: int, count: int) -> Tensor:
        """Indices [count] of the images presented last when `step` steps are done; the epoch is the table's."""
        order = self.order[: ((step - 1) % self.steps_per_epoch + 1) * self.batch_size]
        return order[len(order) - count :]

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, labels and indices of the images `index` [B], as they look in this epoch."""
        labels = self.images.labels.index_select(0, index)
        if self.table is not None:
            return self.table.index_select(0, index).permute(0, 3, 1, 2), labels, index
        return self.images.scaling(self._pixels(index)), labels, index

    def _pixels(self, index: Tensor) -> Tensor:
        if self.padding is None:
            return self._taken(index)
        if self.images.resident:
            return self.windows.at(self.corner.index_select(0, index))
        windows, place = self._apart(index, self.padding)
        return windows.cut(place, self.flip[index], self.down[index], self.right[index])

    def _apart(self, index: Tensor, padding: int) -> tuple[Windows, Tensor]:
        return Windows(self._taken(index), padding), torch.arange(len(index), device=index.device)

    def _taken(self, index: Tensor) -> Tensor:
        """Pixels before padding; of a streamed set, those of the steps that follow are begun."""
        if self.supply is None:
            return self.images.take(index)
        if (
            index.untyped_storage().data_ptr() == self.order.untyped_storage().data_ptr()
            and index.is_contiguous()
        ):
            # part of the order, which is known here too: what the device is at need not be waited for
            start = index.storage_offset()
            last = max(start + 1, self.steps_per_epoch * self.batch_size)
            starts = range(start, last, self.batch_size)[: AHEAD + 1]
            here, *then = [self._wanted(self.plan.order[at : at + len(index)]) for at in starts]
            pixels = self.supply.take(here, then)
        else:
            pixels = self.supply.take(self._wanted(index.cpu().numpy()))
        return self.images.upload(pixels.transpose(0, 3, 1, 2))

    def _wanted(self, index: NDArray[np.int64]) -> Wanted:
        words = None if self.plan.words is None else self.plan.words[index]
        return Wanted(self.images.place(index), words, self.crop)


@dataclass(frozen=True)
class _Plan:
    """An epoch where batches are decoded: the order [N], and a random word [N] of each image that is cut."""

    order: NDArray[np.int64]
    words: NDArray[np.uint64] | None


def _table(images: Images) -> Tensor | None:
    """All images [N, H, W, C] as the net takes them, the same bits as batch by batch; None where that is too large.

    Rows of this layout are copied whole, and seen from [B, C, H, W] they are channels last; a lookup in a
    channels-last tensor itself would answer in the other layout.
    """
    if images.pixels.numel() * 4 > TABLE_BYTES:
        return None
    count, channels, height, width = images.pixels.shape
    inputs = torch.empty((count, height, width, channels), device=images.pixels.device)
    for start in range(0, len(images), 1024):
        inputs[start : start + 1024] = images.scaling(images.pixels[start : start + 1024]).permute(0, 2, 3, 1)
    return inputs


def _order_on(device: torch.device, words: NDArray[np.uint64]) -> Tensor:
    """`Seeds.order` of these words [N], sorted on the device: a GPU would wait 5 ms for a CPU to sort 50,000.

    The highest bit is turned over, so that signed numbers sort as unsigned ones.
    """
    signed = (words ^ np.uint64(1 << 63)).view(np.int64)
    return torch.from_numpy(signed).to(device).argsort(stable=True)


def crops(
    raw: NDArray[np.uint64], padding: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Flip (0 or 1), rows and columns to cut off (0..2*padding), each [N], from one random word per image.

    The flip is the lowest bit; the offsets are the next two 24-bit fields scaled down, whose deviation from uniform
    is under 1e-6.
    """
    span = np.uint64(2 * padding + 1)
    field = np.uint64((1 << 24) - 1)
    flip = raw & np.uint64(1)
    down = ((raw >> np.uint64(8)) & field) * span >> np.uint64(24)
    right = ((raw >> np.uint64(32)) & field) * span >> np.uint64(24)
    return flip.astype(np.int64), down.astype(np.int64), right.astype(np.int64)
