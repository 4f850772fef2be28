"""Late rewinding by gradient: each round drops the weights whose removal changes the loss least, |dL/dw w|.

The ladder of `ltr` with another score: |g w| ranks the weights still alive, with w the trained weights of the level
before and g = dL/dw at them, L the mean cross entropy of one random batch of training images, with the labels that the
training sees (noisy ones included). Paper 002 section 3.1 and appendix A.1; the score is ShrinkBench's GlobalMagGrad
(Blalock et al. 2020).

Choices: BatchNorm uses its running statistics while scoring (`bn = "train"` is ShrinkBench's way); biases are not
ranked; the batch has the size of the training's and is another one at each level; float64 on the CPU. Layers of dead
units score exactly zero in bulk, and the tie rule then prunes by index: `zeros` in the record says how many there were,
and `batches` scores on more images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._ladder import LadderParams, Ranked, ladder, ladder_cost, trained_fit
from ticketctl.draws._saliency import gradient_scores, zeros
from ticketctl.errors import UsageError
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.scoring import Precision, Statistics

FACTS = {
    "paper": "paper 002; score: Blalock et al. 2020",
    "rule": "|w g| at the end of the level before",
    "scope": "global; or layer",
    "data": "all, to train; one batch per round to score",
    "cost": "(n + 1)E - nk",
    "nested": "yes",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": "`loss`, `bn`, `precision`, `samples`, `rounds`, `zeros`",
    "limits": "at most 254 rounds; bulk zero scores are cut by index",
}


@dataclass(frozen=True)
class Params(LadderParams):
    """Keys of `[draw]` for gradient."""

    batches: int = 1
    """Batches of the training's size to score on; their gradients are summed."""
    bn: Statistics = "eval"
    """BatchNorm while scoring: `eval`, running statistics, or `train`, those of the batch."""
    precision: Precision = "f64"
    """Arithmetic of the scores: f64 on the CPU, or f32 on the training's device."""
    augment: bool = False
    """Augment the scored images as training does."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Levels 0 to n, each trained from the rewind point."""

    def rank(above: Level, number: int) -> Ranked:
        scored = gradient_scores(
            lab,
            trained_fit(above).end(),
            above.mask,
            number,
            batches=params.batches,
            bn=params.bn,
            precision=params.precision,
            augment=params.augment,
        )
        notes = {**scored.notes, "zeros": zeros(scored.scores, above.mask)}
        return Ranked(scored.scores, notes, store=True)

    return ladder(lab, target, params, rank)


def cost(plan: Plan, params: Params) -> Cost:
    """One training per level, the dense one included; scoring costs next to nothing.

    Raises:
        UsageError: no batches, or a target that cannot be.
    """
    if params.batches < 1:
        raise UsageError(f"draw.batches: at least 1, not {params.batches}")
    return ladder_cost(plan, params)
