"""Label smoothing: a share alpha of the target is spread over all classes.

`torch`: y' = (1 - alpha) * onehot + alpha / K, paper 001 section 3.2, which prints no alpha. `tost`, the paper's
released code: 1 - alpha for the true class and alpha / (K - 1) for each other one. They are one family: tost(alpha) =
torch(alpha * K / (K - 1)); for ten classes and alpha = 0.1 the code smooths as the paper's formula does at 0.111.

Choices: alpha = 0.1 is the code's. The evaluation loss stays the plain cross-entropy (the code smooths it too); what
is minimised is the history's `train.objective`. With `kd`, the term on the true labels is the smoothed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.train.hooks import Batch, Hooks
from ticketctl.train.kit import Kit

FACTS = {"changes": "loss", "cost": "a step 1.01 times"}
RANK = 1
ZERO = {"alpha": 0.0}

Form = Literal["torch", "tost"]


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.ls]`."""

    alpha: float = 0.1
    """How much of the target is spread, in [0, 1)."""
    form: Form = "torch"
    """`torch`: over all classes, as the paper prints it; `tost`: over all but the true one, as its code does."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The hook of one training.

    Raises:
        UsageError: alpha is out of its range.
    """
    if not 0 <= params.alpha < 1:
        raise UsageError(f"tweaks.ls.alpha = {params.alpha:g} must lie in [0, 1); the paper's code has 0.1")
    return Smoothing(params)


class Smoothing(Hooks):
    """Replaces the loss so far, whatever it is, by the smoothed cross-entropy."""

    by_image = True
    captured = True

    def __init__(self, params: Params) -> None:
        self.params = params

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"tweak": "ls", "alpha": self.params.alpha, "form": self.params.form}

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        """As the base says."""
        if self.params.alpha == 0:
            return value
        return smoothed(logits.float(), batch.labels, self.params.alpha, self.params.form)


def smoothed(logits: Tensor, labels: Tensor, alpha: float, form: Form = "torch") -> Tensor:
    """Mean cross-entropy, a scalar, between `logits` [B, K] and the smoothed targets of `labels` int64 [B].

    Paper 001, section 3.2 (`torch`); VITA-Group/ToST, 2b5bac2 (`tost`). `alpha` lies in [0, 1), K is at least 2.
    """
    if form == "torch":
        return nn.functional.cross_entropy(logits, labels, label_smoothing=alpha)
    logs = nn.functional.log_softmax(logits, 1)
    each = alpha / (logits.shape[1] - 1)
    true = logs.gather(1, labels.unsqueeze(1)).squeeze(1)
    return -((1 - alpha - each) * true + each * logs.sum(1)).mean()
