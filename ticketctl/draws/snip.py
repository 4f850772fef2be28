"""SNIP: keep the weights that the loss of the untrained net is most sensitive to, in one shot.

The score is |dL/dm| at the full mask m = 1 on w * m, which is |w g| with g = dL/dw, ranked over all layers; the round(N
d) largest stay. L is the mean cross entropy on 10 training images of each class. Lee et al. (2019); paper 004 section
3, paper 000.

Choices: the weights that are scored are those that train (the authors' code scores another sample of the initialisation
by default, others re-draw by Xavier's rule: `redraw`); biases are not pruned; BatchNorm uses its kept statistics (`bn =
"train"`: those of the batch, as Su et al. 2020); the images are not augmented. Some codes apply `nll_loss` to raw
logits: `loss = "nll"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ticketctl.draws._saliency import LOSSES, LossName, chosen, saliency
from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.errors import UsageError
from ticketctl.masks.select import top
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.scoring import (
    Precision,
    Statistics,
    balanced_sample,
    indices,
    redraw_,
    scoring_net,
)
from ticketctl.train.state import State

FACTS = {
    "paper": "Lee et al. 2019; papers 000 and 004",
    "rule": "|w g| where levels start",
    "scope": "global",
    "data": "10 images of each class",
    "cost": "E",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": "`loss`, `bn`, `precision`, `samples`, `rounds`, `gap`, `zeros`",
    "limits": "takes a density, not rounds; at high sparsity layers may end up empty",
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for snip."""

    per_class: int = 10
    """Images of each class that are scored with."""
    bn: Statistics = "eval"
    """BatchNorm while scoring: the kept statistics, or those of the batch."""
    loss: LossName = "cross-entropy"
    """Mean cross entropy, or nll: minus the mean logit of the label (what nll_loss of raw logits is)."""
    redraw: Literal["none", "xavier-normal"] = "none"
    """Score the weights that train, or another sample of them."""
    precision: Precision = "f64"
    """f64: float64 on the CPU; f32: float32 where training runs."""
    augment: bool = False
    """Augment the scored images as training does."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, untrained, and level 1, trained."""

    def choose(state: State, count: int) -> Chosen:
        net = scoring_net(lab.bench, state, precision=params.precision, bn=params.bn)
        if params.redraw != "none":
            redraw_(net, lab.seeds, scheme=params.redraw, kinds=(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear))
        sample = balanced_sample(
            lab.bench,
            lab.seeds,
            per_class=params.per_class,
            precision=params.precision,
            augment=params.augment,
        )
        lab.poll()
        scores = saliency(net, sample.batches(), lab.full(), loss=LOSSES[params.loss])
        return chosen(
            scores,
            top(scores, count),
            loss=params.loss,
            bn=params.bn,
            precision=params.precision,
            samples=indices([sample]),
            rounds=1,
        )

    return at_start(lab, target, "snip", choose)


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket.

    Raises:
        UsageError: no density was given, or no images.
    """
    if params.per_class < 1:
        raise UsageError(f"draw.per_class: at least 1 image, not {params.per_class}")
    return at_start_cost(plan, "snip")
