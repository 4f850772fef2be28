"""Sparse, then dense again, once or in cycles, in one training (dense-sparse-dense).

The dense training before it is the draw's. A sparse phase holds the ticket's mask for the recipe's epochs on its
schedule; a dense phase trains all weights for as many, those that come back from 0, at a constant rate a tenth of the
last sparse one. Han et al. 2017; one cycle is paper 002's re-dense at a tenth of its rate.

Choices: every sparse phase runs the recipe's schedule from its beginning, warm-up included (Han et al. speak of one
cycle alone); momentum is fresh at each change; a later sparse phase is held to the ticket's mask again, or to as many
of the largest |w| at that time. With `end = "sparse"` one more sparse phase follows the last dense one. The training
is as long as all its phases, and a training that begins at a rewind point has that much less of its first phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ticketctl.errors import UsageError
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
        self.parts = 2 * params.cycles + (params.end == "sparse")

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": "dsd", **asdict(self.params)}

    def plan(self, train: TrainSpec) -> TrainSpec:
        """As long as all phases."""
        self.train = train
        return train.model_copy(update={"epochs": train.epochs * self.parts})

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
