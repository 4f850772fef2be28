"""How much two masks of one net agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ticketctl.artifacts.masks import Keep
from ticketctl.errors import UsageError


@dataclass(frozen=True)
class Overlap:
    """Kept weights of two masks in one layer (or, named `all`, in the whole net)."""

    name: str
    size: int
    first: int
    second: int
    both: int

    @property
    def iou(self) -> float:
        """Intersection over union in [0, 1]; two empty layers agree: 1."""
        union = self.first + self.second - self.both
        return self.both / union if union else 1.0

    @property
    def hamming(self) -> float:
        """Share of the weights, in [0, 1], that one keeps and the other does not; 0 of a layer without weights."""
        return (self.first + self.second - 2 * self.both) / self.size if self.size else 0.0

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "iou": self.iou, "hamming": self.hamming}


def compare(first: Keep, second: Keep) -> list[Overlap]:
    """Every layer, then `all`.

    Raises:
        UsageError: the masks are of different nets.
    """
    if apart := difference(first, second):
        raise UsageError(f"these masks are of different nets: {apart}")
    layers = [
        Overlap(name, keep.size, int(keep.sum()), int(second[name].sum()), int((keep & second[name]).sum()))
        for name, keep in first.items()
    ]
    total = [sum(getattr(layer, part) for layer in layers) for part in ("size", "first", "second", "both")]
    return [*layers, Overlap("all", *total)]


def difference(first: Keep, second: Keep) -> str:
    """The first layer that only one of them has, or has in another shape; nothing if they are of one net."""
    for name in [*first, *second]:
        if name not in first or name not in second:
            has, lacks = ("first", "second") if name in first else ("second", "first")
            return f"the {has} has {name}, the {lacks} has not"
        if first[name].shape != second[name].shape:
            return f"{name} is {_shape(first[name].shape)} in the first and {_shape(second[name].shape)} in the second"
    return ""


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
