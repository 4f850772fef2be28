"""GraSP: keep the weights whose removal would most reduce the flow of gradients, in one shot.

The score is w (H g), signed, with g and H the gradient and the Hessian of the cross entropy of logits / T on 10
training images of each class. Removing a weight changes |g|^2 by -2 times its score, to first order, and the round(N d)
largest stay. The authors write -w (H g) and remove the largest: the same set. Wang et al. (2020); papers 000, 001 (A4)
and 004 section 3.

Choices: T = 200, and BatchNorm with the statistics of the batch, as the authors' code. That code sorts the images by
class before it halves them, so that each half has other classes, which matters to those statistics: here the halves are
shuffled (`halves = "by-class"` imitates it). It re-draws the output layer before scoring, another one than the one that
trains: here it does not (`reinit_head`). It keeps one weight too many: here the count is exact. `abs` ranks |w (H g)|.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ticketctl.draws._hessian import preserved_flow
from ticketctl.draws._saliency import chosen
from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.errors import UsageError
from ticketctl.masks.select import top
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.scoring import (
    CHUNK,
    Batch,
    Precision,
    Sample,
    Statistics,
    balanced_sample,
    indices,
    redraw_,
    scoring_net,
)
from ticketctl.train.state import State

FACTS = {
    "paper": "Wang et al. 2020; papers 000, 001 and 004",
    "rule": "w (H g), signed, where levels start",
    "scope": "global",
    "data": "10 images of each class",
    "cost": "E",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": "`loss`, `bn`, `precision`, `samples`, `rounds`, `gap`, `zeros`",
    "limits": (
        "takes a density, not rounds; differentiates twice, which takes about three times the memory of a "
        "gradient (`chunk`); known to empty layers of VGG nets"
    ),
}

Halves = Literal["shuffled", "by-class", "off"]


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for grasp."""

    temperature: float = 200.0
    """What logits are divided by."""
    per_class: int = 10
    """Images of each class that are scored with."""
    bn: Statistics = "train"
    """BatchNorm while scoring: the statistics of each batch, or the kept ones."""
    halves: Halves = "shuffled"
    """Two batches of mixed classes, two with the classes apart, or one batch; it matters to bn = train alone."""
    chunk: int = CHUNK
    """Images in one batch at most; more are split. Smaller ones need less memory."""
    reinit_head: bool = False
    """Re-draw the Linear layers by Xavier's rule before scoring, as the authors' code does."""
    abs: bool = False
    """Rank |w (H g)|, without the sign."""
    precision: Precision = "f64"
    """f64: float64 on the CPU; f32: float32 where training runs."""
    augment: bool = False
    """Augment the scored images as training does."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, untrained, and level 1, trained."""

    def choose(state: State, count: int) -> Chosen:
        net = scoring_net(lab.bench, state, precision=params.precision, bn=params.bn)
        if params.reinit_head:
            redraw_(net, lab.seeds, scheme="xavier-normal", kinds=(nn.Linear,))
        sample = balanced_sample(
            lab.bench,
            lab.seeds,
            per_class=params.per_class,
            precision=params.precision,
            augment=params.augment,
        )
        lab.poll()
        batches = batches_of(sample, params.halves, params.chunk)
        scores = preserved_flow(net, batches, lab.full(), temperature=params.temperature)
        if params.abs:
            scores = {name: score.abs_() for name, score in scores.items()}
        return chosen(
            scores,
            top(scores, count),
            loss=f"cross-entropy of logits / {params.temperature:g}",
            bn=params.bn,
            precision=params.precision,
            samples=indices([sample]),
            rounds=1,
        )

    return at_start(lab, target, "grasp", choose)


def batches_of(sample: Sample, halves: Halves, chunk: int) -> list[Batch]:
    """The batches that the images are scored in."""
    if halves == "off":
        return sample.batches(chunk)
    ordered = sample.by_class() if halves == "by-class" else sample
    return [batch for half in ordered.halves() if half.index for batch in half.batches(chunk)]


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket.

    Raises:
        UsageError: no density was given, no images, or a temperature that is not above 0.
    """
    if params.per_class < 1 or params.chunk < 1:
        raise UsageError("draw.per_class and draw.chunk: at least 1 image")
    if not params.temperature > 0:
        raise UsageError(f"draw.temperature lies above 0; it is {params.temperature:g}")
    return at_start_cost(plan, "grasp")
