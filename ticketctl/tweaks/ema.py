"""Exponential moving average: the net that is kept is an average of the weights over the last steps.

a <- decay * a + (1 - decay) * theta after every step, over parameters and BatchNorm's running statistics; the
training itself is not changed. Polyak & Juditsky 1992; decay = 0.999 averages about the last thousand steps. Not from
the papers.

Choices: a begins as the weights after the first step (as torch's AveragedModel), so it is a weighted mean whose
weights sum to 1 and needs no bias correction; the ticket's start has no share in it. The net after the first of n
steps has the share decay^(n - 1) of it: 82 % with 0.999 over 200 steps, little beyond some thousands; where it is more
than a tenth, a note says so and names a decay that leaves a hundredth. The decay is not warmed up: what was asked for
is what is done. Epochs on the way, the best one too, are measured on the plain weights; the average is measured at the
end. Nets of one mask have an average of that mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._average import Average

FACTS = {"changes": "weights", "cost": "a step 1.01 times"}
EXCLUDES = {"swa": "each puts its own average into the net"}
ZERO = {"decay": 0.0}

MUCH, LITTLE = 0.1, 0.01
"""Shares of the first net in the average: above the one it is told, the other is what is advised."""


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.ema]`."""

    decay: float = 0.999
    """What is kept of the average at each step, in [0, 1)."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: the decay is out of its range.
    """
    if not 0 <= params.decay < 1:
        raise UsageError(f"tweaks.ema.decay = {params.decay:g} must lie in [0, 1); 0.999 is usual")
    return Exponential(params.decay)


class Exponential(Hooks):
    """Follows the weights, and takes their place in the end."""

    reads_grads = False

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average = Average(buffers=True)

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": "ema", "decay": self.decay}

    def start(self, loop: Course) -> None:
        """As the base says; tells of a training too short for the decay."""
        self.average.bind(loop.model)
        if note := too_short(self.decay, loop.end - loop.start.step):
            loop.remark(note)

    def step(self, loop: Course) -> None:
        """As the base says."""
        self.average.add(1 - self.decay)

    def finish(self, loop: Course) -> None:
        """The average is the net; without a step the net stays."""
        if self.average.held:
            self.average.put(loop)
        self.average.held = {}

    def state(self) -> dict[str, Tensor]:
        """As the base says; nothing in the end."""
        return self.average.state()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.average.restore(tensors)


def share_of_first(decay: float, steps: int) -> float:
    """What the net after the first of `steps` (1 or more) is of the average at the end, in [0, 1].

    >>> round(share_of_first(0.999, 200), 2)
    0.82
    """
    return decay ** (steps - 1)


def too_short(decay: float, steps: int) -> str:
    """What to say of a training of `steps`: that the average is mostly where it began, or nothing."""
    if steps < 2 or share_of_first(decay, steps) <= MUCH:
        return ""
    share, better = share_of_first(decay, steps), LITTLE ** (1 / (steps - 1))
    return (
        f"ema: {100 * share:.0f} % of the average is the net after the first of {steps:,} steps: too few for "
        f"tweaks.ema.decay = {decay:g}; with {better:.4g} it would be {100 * LITTLE:g} %"
    )
