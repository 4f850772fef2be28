"""A net whose weights are moved about in place, and what it says there to some images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.train.exam import Value
from ticketctl.train.path import state_of
from ticketctl.train.predict import batch_on, right_of
from ticketctl.train.recalibrate import recalibrate
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import Statistics
from ticketctl.train.terrain import End, Terrain

HELD = 256 << 20
"""Bytes of normalised images that are kept from place to place."""

Parts = Sequence[Tensor]
"""A tensor for each parameter of the net, of its shape, on its device, in the order of `named_parameters`."""


@dataclass(frozen=True)
class Said:
    """What a net says to N images: their cross-entropies float64 [N], and which answers are right, bool [N].

    A net far from where it was trained may give logits that are not finite: such an image is wrong, its loss infinite.
    """

    losses: NDArray[np.float64]
    right: NDArray[np.bool_]

    @property
    def loss(self) -> float:
        """Their mean; infinite as soon as one is."""
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float:
        """In [0, 1]."""
        return float(self.right.mean())


def scored(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies float64 [N], their softmax in float64, and right or wrong, bool [N], of logits [N, K]."""
    losses = nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    return losses.where(logits.isfinite().all(1), torch.inf), right_of(logits, labels)


def gathered(scores: Sequence[tuple[Tensor, Tensor]]) -> Said:
    """What `scored` said of one batch after the other."""
    losses, right = (torch.cat([score[part] for score in scores]).cpu().numpy() for part in (0, 1))
    return Said(losses, right)


class Shown:
    """Images `places` int64 [N] of a set, normalised once where they have room."""

    def __init__(self, net: Specimen, name: str, places: NDArray[np.int64]) -> None:
        self.net, self.images = net, net.images[name]
        index = torch.from_numpy(places).to(net.device)
        self.parts = index.split(batch_on(net.device))
        each = self.images.take(index[:1]).numel() * 4
        self.inputs = [self._inputs(part) for part in self.parts] if each * len(index) <= HELD else None

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @torch.no_grad()
    def said(self) -> Said:
        """To them, by the net as it now stands, in evaluation mode."""
        scores = []
        for number, part in enumerate(self.parts):
            self.net.poll()
            logits = self.net.model(self.inputs[number] if self.inputs else self._inputs(part))
            scores.append(scored(logits, self.images.labels[part]))
        return gathered(scores)

    def _inputs(self, part: Tensor) -> Tensor:
        return self.net.scaling(self.images.take(part))


class Site:
    """The parameters of a specimen's net, to be moved in place; everything is put back when the site is left.

    No copy of the net is made, and none of a place: one pass over the parameters moves all of them.
    """

    def __init__(self, net: Specimen) -> None:
        self.net = net
        named = dict(net.model.named_parameters())
        self.names, self.values = tuple(named), list[Tensor](named.values())
        self.start = [value.detach().clone() for value in self.values]
        self.statistics = Statistics(net.model)
        self.statistics.remember()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.put(self.start)
        self.statistics.restore()

    @torch.no_grad()
    def put(self, parts: Parts) -> None:
        """The net's parameters are now `parts`."""
        torch._foreach_copy_(self.values, list(parts))

    @torch.no_grad()
    def move(self, *moves: tuple[float, Parts]) -> None:
        """They are where the net was found, plus so much of each direction."""
        self.put(self.start)
        for far, direction in moves:
            torch._foreach_add_(self.values, list(direction), alpha=far)

    def recalibrate(self, count: int) -> None:
        """BatchNorm's statistics are now those of `count` training images, evenly spaced (0: of all)."""
        images = self.net.images["train"]
        most = min(count, len(images)) or None
        recalibrate(self.net.model, images, count=most, poll=self.net.poll)

    def parts(self, end: End) -> list[Tensor]:
        """The parameters of an end, pruned weights 0, on the net's device and in its tensors' layouts.

        Raises:
            UsageError: it is not of the net's architecture.
        """
        state = state_of(end, self.net.model)
        return [
            torch.empty_like(value).copy_(state[name])
            for name, value in zip(self.names, self.start, strict=True)
        ]


def mean_of(values: NDArray[Any]) -> Value:
    """Of single examples [N], with its standard error; without one where a value is not finite."""
    if np.isfinite(values).all():
        return Value.mean(values)
    with np.errstate(invalid="ignore"):
        return Value(float(np.mean(values)), None, len(values))


def alone(terrain: Terrain, curve: str) -> Specimen:
    """The one net that a landscape is about.

    Raises:
        UsageError: there are more.
    """
    if len(terrain.ends) > 1:
        raise UsageError(f"{curve} is about one net; {len(terrain.ends)} are given: ask for one at a time")
    return terrain.specimen


def set_of(sizes: Mapping[str, Any], name: str) -> str:
    """The set that is meant among those there are: where none were held out, `test` takes the place of `val`.

    Args:
        sizes: of each set, or the sets themselves.
        name: that was asked for.
    """
    return "test" if name == "val" and not sizes.get("val") else name


def count_of(sizes: Mapping[str, int], name: str, most: int) -> int:
    """How many images `most` of that set are; 0: all."""
    size = sizes[set_of(sizes, name)]
    return min(most or size, size)


def chosen(terrain: Terrain, name: str, most: int) -> tuple[str, NDArray[np.int64]]:
    """Which set is meant, and places of `most` of its images, drawn by the seed (0: all), int64 [N], ascending."""
    net = terrain.specimen
    found = set_of(net.images, name)
    return found, net.drawn(found, most, terrain.seeds, "landscape")


def grid_of(span: float, points: int) -> NDArray[np.float64]:
    """`points` (odd) equal steps from -span to span, 0 exactly among them, [points]."""
    half = points // 2
    found: NDArray[np.float64] = span * np.arange(-half, half + 1) / half
    return found


def check_grid(curve: str, points: int, span: float) -> None:
    """Refuse a grid without its centre.

    Raises:
        UsageError: an even number of points, fewer than 3, or a span that is no positive number.
    """
    if points < 3 or points % 2 == 0:
        raise UsageError(
            f"curves.{curve}.points = {points} must be odd, 3 or more, so that the net itself is there"
        )
    if not 0 < span < np.inf:
        raise UsageError(f"curves.{curve}.span = {span} must be above 0")


def check_counts(curve: str, **counts: int) -> None:
    """Refuse numbers of images below 0, by key."""
    for key, count in counts.items():
        if count < 0:
            raise UsageError(f"curves.{curve}.{key} = {count} must be 0 (all) or more")
