"""Sparse, then dense again, once or in cycles, in one training (dense-sparse-dense).

The dense training before it is the draw's. A sparse phase holds the ticket's mask for the recipe's epochs on its
schedule; a dense phase trains all weights for as many, those that come back from 0, at a constant rate a tenth of the
last sparse one. Han et al. 2017; one cycle is paper 002's re-dense at a tenth of its rate.

Choices: every sparse phase runs the recipe's schedule from its beginning, warm-up included (Han et al. speak of one
cycle alone); momentum is fresh at each change; a later sparse phase is held to the ticket's mask again, or to as many
of the largest |w| at that time. With `end = "sparse"` one more sparse phase follows the last dense one. The training
is as long as all its phases, and a training that begins at a rewind point has that much less of its first phase.
Distances are measured from the ticket's weights under its mask, with zeros elsewhere, for there the weights that come
back begin; so the full one does not count what was pruned, as that of a plain spend does. A run that ends sparse
keeps the masks of the way as its trajectory; one that ends dense has no mask for a trajectory to end in, and keeps them
in its record as `dsd.masks.…`, in the same form: step [n] after which each stood, and the zstd-packed xor of its bits
with those of the one before it, one after the other in `changes`, up to `ends` [n].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.masks.trajectory import PREFIX
from ticketctl.recipe import TrainSpec
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.schedule import learning_rates
from ticketctl.tweaks._phases import Kinds, Phases, last_rate

FACTS = {"changes": "mask", "cost": "2 * cycles trainings, one more to end sparse"}
EXCLUDES = {
    "pools": "it ends dense, or under a mask that is not the ladder's; its neighbours hold other weights",
    "swa": "it averages nets of one mask",
    "ema": "it averages nets of one mask",
}

LENGTH = True
RECORD = ("masks.step", "masks.ends", "masks.changes")

MASKS = "masks."
"""How the names of `masks.trajectory.Recorder` begin in the record."""

MOST = 100
"""Cycles."""

_KEY = "tweaks.dsd.lr"


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.dsd]`."""

    cycles: int = 1
    """Sparse phases that are followed by a dense one."""
    factor: float = 0.1
    """Rate of a dense phase, as a share of the last one before it."""
    lr: float | None = None
    """Rate of the dense phases instead."""
    mask: Literal["ticket", "magnitude"] = "ticket"
    """What later sparse phases keep: the ticket's weights, or as many of the largest."""
    end: Literal["dense", "sparse"] = "dense"
    """The last phase."""


def length(epochs: int, params: Params) -> int:
    """Epochs of all phases, each of them `epochs` long."""
    return epochs * (2 * params.cycles + (params.end == "sparse"))


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook that moves the mask.

    Raises:
        UsageError: a key is out of its range; the last sparse rate is 0; or the dense net is spent.
    """
    if not 1 <= params.cycles <= MOST:
        raise UsageError(f"tweaks.dsd.cycles = {params.cycles}; it is 1 to {MOST}")
    if not 0 < params.factor <= 1:
        raise UsageError(f"tweaks.dsd.factor = {params.factor:g}; it lies above 0 and at most at 1")
    if params.lr is not None and not 0 < params.lr < float("inf"):
        raise UsageError(f"{_KEY} = {params.lr:g}; a learning rate lies above 0")
    if params.lr is None:
        last_rate(kit.bench.train, kit.bench.feed.steps_per_epoch, _KEY)
    return Dsd(kit, params)


class Dsd(Phases):
    """Another course, and masks that come and go on it."""

    def __init__(self, kit: Kit, params: Params) -> None:
        super().__init__(kit, "dsd", params.mask, forget=True)
        self.params, self.train = params, kit.bench.train
        self.parts = length(1, params)

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": "dsd", **asdict(self.params)}

    def state(self) -> dict[str, Tensor]:
        """The masks so far: as `masks.…` if no trajectory is to hold them."""
        return self._named(super().state(), PREFIX, MASKS)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        super().restore(self._named(tensors, MASKS, PREFIX))

    def _named(self, tensors: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
        if self.params.end == "sparse":
            return dict(tensors)
        pairs = ((name.partition(old), value) for name, value in tensors.items())
        return {before + (new if found else "") + after: value for (before, found, after), value in pairs}

    def plan(self, train: TrainSpec) -> TrainSpec:
        """As long as all phases."""
        self.train = train
        return train.model_copy(update={"epochs": length(train.epochs, self.params)})

    def learning_rates(self, rates: Sequence[float], steps_per_epoch: int) -> Sequence[float]:
        """The recipe's own in sparse phases, a constant in dense ones."""
        sparse = learning_rates(self.train, steps_per_epoch)
        rate = self.params.lr
        if rate is None:
            rate = last_rate(self.train, steps_per_epoch, _KEY) * self.params.factor
        dense = [rate] * len(sparse)
        return [each for part in range(self.parts) for each in (dense if part % 2 else sparse)]

    def phases(self, epochs: int) -> Kinds:
        """As the base says."""
        length = epochs // self.parts
        return {part * length: part % 2 == 1 for part in range(self.parts)}
