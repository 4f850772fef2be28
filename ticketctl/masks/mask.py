"""A mask: which weights a ticket keeps. Named boolean tensors in a fixed order, never changed after they are
made.

The order of the names is part of the value: with C order inside each tensor it makes the *flat order* that
breaks ties (`ticketctl.masks.select`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mask:
    """Kept weights by state_dict name: `keep[name]` is bool, on the CPU, of the weight's shape; True is kept.

    The tensors are taken over, not copied; whoever holds them must not write to them.

    Raises:
        ValueError: no layer, or a layer without weights.
        TypeError: a value that is not a bool tensor on the CPU.
    """

    keep: Mapping[str, torch.Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", {name: _checked(name, keep) for name, keep in self.keep.items()})
        if not self.keep:
            raise ValueError("a mask needs at least one layer")

    @classmethod
    def full(cls, shapes: Mapping[str, torch.Size]) -> Mask:
        """The dense mask over weights of these shapes, in the order of `shapes`."""
        return cls({name: torch.ones(tuple(shape), dtype=torch.bool) for name, shape in shapes.items()})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.bool_]]) -> Mask:
        """The mask with the content of these boolean arrays, which are copied.

        Raises:
            TypeError: an array that is not boolean; a 0/1 array is refused rather than guessed at.
        """
        for name, array in arrays.items():
            if array.dtype != np.bool_:
                raise TypeError(f"mask {name!r}: a bool array is needed, not {array.dtype}")
        return cls({name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()})

    def to_arrays(self) -> dict[str, NDArray[np.bool_]]:
        """Boolean arrays of the weights' shapes, in C order, that share no memory with this mask."""
        return {name: np.array(keep.numpy(), order="C") for name, keep in self.keep.items()}

    @cached_property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(kept for kept, _ in self.layers().values())

    @cached_property
    def size(self) -> int:
        """Number of weights the mask speaks about, kept or not: the prunable set."""
        return sum(keep.numel() for keep in self.keep.values())

    @property
    def density(self) -> Fraction:
        """Kept / prunable, in [0, 1], exactly."""
        return Fraction(self.kept, self.size)

    def layers(self) -> dict[str, tuple[int, int]]:
        """(kept, size) of each layer, in the mask's order."""
        return {name: (int(keep.count_nonzero()), keep.numel()) for name, keep in self.keep.items()}

    def shapes(self) -> dict[str, torch.Size]:
        """The shape of each layer's weight, in the mask's order."""
        return {name: keep.shape for name, keep in self.keep.items()}

    def __le__(self, other: Mask) -> bool:
        """Whether every weight kept here is kept in `other`."""
        return all(not bool((keep & ~wide).any()) for keep, wide in self._beside(other))

    def __and__(self, other: Mask) -> Mask:
        """The weights kept in both."""
        pairs = zip(self.keep, self._beside(other), strict=True)
        return Mask({name: keep & wide for name, (keep, wide) in pairs})

    def equal(self, other: Mask) -> bool:
        """Whether both have the same names, shapes and kept weights; the order of names is not compared."""
        return self.shapes() == other.shapes() and all(
            torch.equal(keep, twin) for keep, twin in self._beside(other)
        )

    def _beside(self, other: Mask) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if self.shapes() != other.shapes():
            raise ValueError(
                "two masks over different weights: " + _difference(self.shapes(), other.shapes())
            )
        return [(keep, other.keep[name]) for name, keep in self.keep.items()]


def _checked(name: str, keep: torch.Tensor) -> torch.Tensor:
    if not isinstance(keep, torch.Tensor) or keep.dtype != torch.bool or keep.device.type != "cpu":
        got = f"{keep.dtype} on {keep.device}" if isinstance(keep, torch.Tensor) else type(keep).__name__
        raise TypeError(f"mask {name!r}: a bool tensor on the CPU is needed, not {got}")
    if keep.numel() == 0:
        raise ValueError(f"mask {name!r} has no weights: its shape is {tuple(keep.shape)}")
    return keep


def _difference(ours: Mapping[str, torch.Size], theirs: Mapping[str, torch.Size]) -> str:
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            here, there = (tuple(side[name]) if name in side else "absent" for side in (ours, theirs))
            return f"{name!r} is {here} in one and {there} in the other"
    return "none"
