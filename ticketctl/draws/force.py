"""FORCE: SNIP in many rounds in which pruned weights can come back.

In round t of S the gradient g is taken at the masked net, for all weights, pruned ones included; the score is |w g|
with the unmasked w, ranked over all weights, and round(N d^(t/S)) of them stay. The mask of a round need not lie inside
that of the round before. de Jorge et al. (2021).

Choices: S = 60 rounds, new images in every round, scores averaged over the samples of a round, and BatchNorm with the
statistics of the batch, as the authors' code; its `nll_loss` on raw logits is `loss = "nll"`, here it is the mean cross
entropy. With one round and the same `bn` it is `snip`. The authors take 1 batch per round for CIFAR-10, 10 for
CIFAR-100, 20 for Tiny ImageNet and 40 for ImageNet; a sample here has `per_class` images of each class, so that one
goes further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._rounds import Rounds, at_start_in_rounds, check_rounds
from ticketctl.draws._saliency import LossName
from ticketctl.draws._start import at_start_cost
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.scoring import Precision, Statistics

FACTS = {
    "paper": "de Jorge et al. 2021",
    "rule": "|w g|, g at the masked net and w unmasked, 60 rounds along d^(t/S)",
    "scope": "global",
    "data": "10 images of each class in every round",
    "cost": "E",
    "nested": "no",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": "`loss`, `bn`, `precision`, `samples`, `rounds`, `gap`, `zeros`",
    "limits": "takes a density, not rounds",
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for force."""

    iterations: int = 60
    """Rounds of scoring and pruning, along d^(t/S)."""
    per_class: int = 10
    """Images of each class in one sample."""
    batches: int = 1
    """Samples per round, their scores averaged."""
    fresh: bool = True
    """Take other images in every round."""
    bn: Statistics = "train"
    """BatchNorm while scoring: the statistics of the batch, or the kept ones."""
    loss: LossName = "cross-entropy"
    """Mean cross entropy, or nll: minus the mean logit of the label (what nll_loss of raw logits is)."""
    precision: Precision = "f64"
    """f64: float64 on the CPU; f32: float32 where training runs."""
    augment: bool = False
    """Augment the scored images as training does."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, untrained, and level 1, trained."""
    return at_start_in_rounds(lab, target, "force", Rounds(**vars(params), revive=True))


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket.

    Raises:
        UsageError: no density was given, no rounds or no images.
    """
    check_rounds(Rounds(**vars(params), revive=True))
    return at_start_cost(plan, "force")
