"""Knowledge distillation: the ticket also learns what a trained net, by default its dense one, says of each image.

L = lambda * tau^2 * KL(softmax(z_t / tau) || softmax(z_s / tau)) + (1 - lambda) * CE, the mean over the batch; z_t are
the teacher's logits. Paper 001, sections 3.2 and 4.6, prints KL alone, and no value of tau: `weight = 1` and
`tau2 = false` give its formula. tau^2 keeps the size of the gradient over temperatures (Hinton et al. 2015, section 2).
The released code has no distillation.

Choices: tau = 4 and lambda = 0.9. The teacher is in evaluation mode, sees the very batch (augmented, normalised) that
the student sees, in the same arithmetic, and is not changed. CE is what other tweaks have made of it: with `ls` it is
smoothed. When a step looks twice at one batch (`sam`) the teacher is asked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.train.device import Place
from ticketctl.train.hooks import Batch, Hooks
from ticketctl.train.kit import Kit, Teacher

FACTS = {"changes": "loss", "cost": "a step 1.4 times"}
NEEDS = ("teacher",)
RANK = 2
ZERO = {"weight": 0.0}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.kd]`."""

    teacher: str = "dense"
    """`dense`: the dense run of the same seed; or a run's folder, or a weights file of the plain net."""
    tau: float = 4.0
    """Temperature of both softmaxes, over 0."""
    weight: float = 0.9
    """lambda, the teacher's share of the loss, in [0, 1]."""
    tau2: bool = True
    """Multiply the teacher's term by tau^2."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: a key is out of its range, or there is no teacher.
    """
    if not 0 <= params.weight <= 1:
        raise UsageError(f"tweaks.kd.weight = {params.weight:g} must lie in [0, 1]; 1 is the teacher alone")
    if not 0 < params.tau < float("inf"):
        raise UsageError(f"tweaks.kd.tau = {params.tau:g} must be over 0; 1 is the plain softmax, 4 is usual")
    if kit.teacher is None:
        raise UsageError(f"tweaks.kd.teacher = {params.teacher!r}: no such net; spend the dense net first")
    return Distillation(params, kit.teacher, kit.bench.place)


class Distillation(Hooks):
    """Blends the loss so far with the distance to the teacher."""

    by_image = True
    captured = True

    def __init__(self, params: Params, teacher: Teacher, place: Place) -> None:
        self.params, self.teacher, self.place = params, teacher, place
        self.asked: tuple[Batch, Tensor] | None = None
        """The newest batch, and the teacher's logits for it."""

    def identity(self) -> dict[str, Any]:
        """As the base says: the teacher by its weights, wherever they lie."""
        keys = {"tau": self.params.tau, "weight": self.params.weight, "tau2": self.params.tau2}
        return {"tweak": "kd", "teacher": self.teacher.digest, **keys}

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        """As the base says."""
        weight, tau = self.params.weight, self.params.tau
        if weight == 0:
            return value
        term = distance(logits.float(), self._answers(batch), tau)
        term = term * (weight * tau**2 if self.params.tau2 else weight)
        return term if weight == 1 else term + (1 - weight) * value

    def _answers(self, batch: Batch) -> Tensor:
        """The teacher's logits, float32 [B, K]."""
        if self.asked is None or self.asked[0] is not batch:
            with torch.no_grad(), self.place.autocast():
                self.asked = (batch, self.teacher.net(batch.inputs).float())
        return self.asked[1]


def distance(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """KL(softmax(teacher / tau) || softmax(student / tau)), a scalar: the mean over B of logits [B, K].

    Hinton et al. 2015, section 2; paper 001, section 3.2.
    """
    ours, theirs = (nn.functional.log_softmax(logits / tau, 1) for logits in (student, teacher))
    return nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean")
