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

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "iou": self.iou}


def compare(first: Keep, second: Keep) -> list[Overlap]:
    """Every layer, then `all`.

    Raises:
        UsageError: the masks are of different nets.
    """
    for name in first.keys() | second.keys():
        if name not in first or name not in second or first[name].shape != second[name].shape:
            raise UsageError(f"these masks are of different nets: {name} is not the same in both")
    layers = [
        Overlap(name, keep.size, int(keep.sum()), int(second[name].sum()), int((keep & second[name]).sum()))
        for name, keep in first.items()
    ]
    total = [sum(getattr(layer, part) for layer in layers) for part in ("size", "first", "second", "both")]
    return [*layers, Overlap("all", *total)]
