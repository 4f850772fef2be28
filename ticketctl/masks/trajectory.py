"""The masks that a training passes through, kept small while it runs.

A mask that moves is written down as what changed since the one before: the exclusive or of both, a bit per weight,
compressed. For ResNet-18 at a tenth of its weights that is 0.4 MB when 15 % of them move at once, and half of it when
5 % do. Whoever records may leave masks out between the first and the newest: of 256 masks of that net, no more than
0.36 GB can ever come, however often it moves and however much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.masks.mask import Mask

PREFIX = "trajectory."
_LEVEL = 3


@dataclass(frozen=True)
class Trajectory:
    """T masks over the same weights, the first of them the initial one."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of each layer, in flat order."""
    step: NDArray[np.int64]
    """Optimizer steps of the schedule that were done when each became the mask, shape [T], rising."""
    changes: tuple[bytes, ...]
    """For each mask, packed bits of its exclusive or with the one before (the first: with nothing), zstd."""

    def masks(self) -> Iterator[dict[str, NDArray[np.bool_]]]:
        """All of them in order, by layer; True is kept."""
        now = np.zeros(-(-sum(map(math.prod, self.shapes.values())) // 8), dtype=np.uint8)
        for change in self.changes:
            now = now ^ _unpacked(change)
            yield self._layers(now)

    def _layers(self, packed: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])
        flat = np.unpackbits(packed, count=int(ends[-1]), bitorder="little").view(np.bool_)
        parts = np.split(flat, ends[:-1])
        return {name: part.reshape(self.shapes[name]) for name, part in zip(self.shapes, parts, strict=True)}

    @classmethod
    def of_tensors(
        cls, shapes: Mapping[str, torch.Size], tensors: Mapping[str, torch.Tensor]
    ) -> Trajectory | None:
        """What `Recorder.tensors` gave of masks of these shapes; None if it is not among them."""
        if PREFIX + "step" not in tensors:
            return None
        plain = {name: tuple(shape) for name, shape in shapes.items()}
        step, changes = tensors[PREFIX + "step"].numpy(), _changes(tensors)
        if PREFIX + "newest" in tensors:
            newest, last = (tensors[PREFIX + name].numpy() for name in ("newest", "last"))
            step = np.append(step, tensors[PREFIX + "newest.step"].numpy())
            changes = (*changes, _packed(newest ^ last))
        return cls(plain, step, changes)


@dataclass
class Recorder:
    """Writes down masks as they come; its `tensors` are all that must survive a kill."""

    step: list[int] = field(default_factory=list)
    changes: list[bytes] = field(default_factory=list)
    last: NDArray[np.uint8] | None = None
    """Packed bits of the last mask of `changes`, over all layers in flat order."""
    newest: tuple[int, NDArray[np.uint8]] | None = None
    """Step and packed bits of a mask after it that was not to be kept, unless it is the end."""

    def see(self, step: int, mask: Mask, *, keep: bool = True) -> None:
        """Write `mask` down as the one that stands once `step` steps are done; if not `keep`, until the next one."""
        packed = packed_bits(mask)
        if not keep:
            self.newest = (step, packed)
            return
        before = np.zeros_like(packed) if self.last is None else self.last
        self.changes.append(_packed(packed ^ before))
        self.step.append(step)
        self.last, self.newest = packed, None

    def tensors(self) -> dict[str, torch.Tensor]:
        """As named tensors, for a hook's `state`; nothing, if no mask was seen."""
        if self.last is None:
            return {}
        ends = np.cumsum([len(change) for change in self.changes])
        data = np.frombuffer(b"".join(self.changes), dtype=np.uint8).copy()
        found = {
            PREFIX + "step": torch.tensor(self.step, dtype=torch.int64),
            PREFIX + "ends": torch.from_numpy(ends.astype(np.int64)),
            PREFIX + "changes": torch.from_numpy(data),
            PREFIX + "last": torch.from_numpy(self.last.copy()),
        }
        if self.newest is not None:
            found[PREFIX + "newest.step"] = torch.tensor([self.newest[0]], dtype=torch.int64)
            found[PREFIX + "newest"] = torch.from_numpy(self.newest[1].copy())
        return found

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave."""
        if PREFIX + "step" in tensors:
            self.step = [int(step) for step in tensors[PREFIX + "step"]]
            self.changes = list(_changes(tensors))
            self.last = tensors[PREFIX + "last"].numpy().copy()
        if PREFIX + "newest" in tensors:
            newest = tensors[PREFIX + "newest"].numpy().copy()
            self.newest = (int(tensors[PREFIX + "newest.step"]), newest)


def packed_bits(mask: Mask) -> NDArray[np.uint8]:
    """The mask as bits over all layers in flat order, eight to a byte, the lowest first; shape [ceil(N / 8)]."""
    flat = np.concatenate([keep.contiguous().numpy().reshape(-1) for keep in mask.keep.values()])
    return np.packbits(flat, bitorder="little")


def is_recorded(number: int, of: int, most: int) -> bool:
    """Whether change `number` (1 to `of`) of a mask is among the `most` evenly spaced ones, which have the last."""
    return number * min(most, of) // of > (number - 1) * min(most, of) // of


def _changes(tensors: Mapping[str, torch.Tensor]) -> tuple[bytes, ...]:
    data = tensors[PREFIX + "changes"].numpy()
    return tuple(part.tobytes() for part in np.split(data, tensors[PREFIX + "ends"].numpy()[:-1]))


def _packed(bits: NDArray[np.uint8]) -> bytes:
    from numcodecs import zstd

    return bytes(zstd.compress(bits.tobytes(), _LEVEL))


def _unpacked(data: bytes) -> NDArray[np.uint8]:
    from numcodecs import zstd

    return np.frombuffer(zstd.decompress(data), dtype=np.uint8)
