"""Train all weights on from where the sparse training ended, the pruned ones from 0 (re-dense).

The net that the same spend without this tweak ends in, without its mask, for as many epochs again at a constant rate:
the last of the sparse course (0.001 on CIFAR, 0.1 on MNIST). Paper 002, section 3.3 and appendix A.1.

Choices: momentum starts fresh and BatchNorm's statistics are kept (the paper says nothing of either); no warm-up;
batches, order and augmentation are those of a course that begins at epoch 0. A rate of 0 leaves the net as it was,
its statistics too. The last rate is that of the recipe's schedule, whatever another tweak makes of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ticketctl.errors import UsageError
from ticketctl.recipe import TrainSpec
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._phases import last_rate

FACTS = {"changes": "course", "cost": "another training, all weights"}
EXCLUDES = {
    "acdc": "its last phase is held to a mask of its own, and the point of it is that this one stays",
    "dsd": "its dense phase is a re-dense already; end it sparse, or spend redense alone",
}
AFTER = True
DENSE = True
LENGTH = True
ZERO = {"lr": 0.0}

_KEY = "tweaks.redense.lr"


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.redense]`."""

    lr: float | None = None
    """Constant learning rate; none: that of the last sparse step. 0: nothing moves."""
    epochs: int | None = None
    """Length; none: as many as the sparse training's."""


def length(epochs: int, params: Params) -> int:
    """Epochs of the dense training after a sparse one of `epochs`."""
    return params.epochs or epochs


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of the dense training.

    Raises:
        UsageError: a key is out of its range, or the last rate is 0 and no other is given.
    """
    if params.lr is not None and not 0 <= params.lr < float("inf"):
        raise UsageError(f"{_KEY} = {params.lr:g}; a learning rate is 0 or more")
    if params.epochs is not None and params.epochs < 1:
        raise UsageError(f"tweaks.redense.epochs = {params.epochs}; it is 1 or more")
    per_epoch = kit.bench.feed.steps_per_epoch
    if params.lr is None:
        last_rate(kit.bench.train, per_epoch, _KEY)
    return Still(params, per_epoch) if params.lr == 0 else Redense(params, per_epoch)


class Redense(Hooks):
    """Another course."""

    def __init__(self, params: Params, steps_per_epoch: int) -> None:
        self.params, self.steps_per_epoch = params, steps_per_epoch

    def identity(self) -> dict[str, Any]:
        """As the base says; the course that the last rate is read from is in the training's own."""
        return {"tweak": "redense", **asdict(self.params)}

    def plan(self, train: TrainSpec) -> TrainSpec:
        """Constant, at the rate asked for or the last one of `train`."""
        rate = self.params.lr
        if rate is None:
            rate = last_rate(train, self.steps_per_epoch, _KEY)
        changed = {
            "schedule": "constant",
            "milestones": (),
            "warmup": "0",
            "lr": rate or train.lr,  # a course has a rate; where it is to be 0, no step is taken
            "epochs": length(train.epochs, self.params),
        }
        return train.model_copy(update=changed)


class Still(Redense):
    """At a rate of 0: no step, and the statistics that the forward pass has moved are put back."""

    def grads(self, loop: Course) -> bool:
        """As the base says."""
        loop.machine.statistics.restore()
        return False
