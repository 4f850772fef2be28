"""Adaptive regularised training: shrink small weights until the pruned net is as good as the dense one.

Three phases (paper 000, HyperSparse). (1) Train `pretrain` epochs at a constant rate. (2) Go on at that rate with
lambda_e L added to the loss, lambda_e = lambda_init eta^e in epoch e = 0, 1, ...; after each epoch look at the
magnitude-pruned copy, and end by the rule below. The ticket is the net of the chosen epoch and its round(N d) largest
|w|. (3) Train it by the recipe under that mask, with a fresh optimizer. So the ticket starts from trained weights and
BatchNorm statistics, not from the initialisation; pruned weights are recorded as they were, and held at zero by
training.

L is HyperSparse, sum_i |w_i| (sum_j t_j / stopgrad sum_j t_j) - sum_i |w_i| with t_j = tanh(s |w_j|) and s =
0.6585/w_kappa held constant, or sum |w| (l1) or sum w^2 (l2), over all prunable weights. w_kappa is the magnitude at
place floor(kappa N), from 0 in ascending order, kappa = 1 - d: exact, and found anew at every step. L is 0 at any
weights; its gradient is not, and is added in closed form: sign(w_i) s (1 - t_i^2) sum |w| / sum t. The losses on record
are the cross entropy alone.

The end: accuracies of the pruned copy are averaged over the last 2h + 1 epochs; the best mean chooses the epoch in its
middle; when the best mean is above the dense net's accuracy of this epoch, phase 2 is over. If that never happens
within `max_epochs`, the draw ends as not converged, with the best so far on record.

Which accuracies: as in the paper, both nets on the training images as the epoch augmented them, the pruned copy in eval
mode, the dense net while it trained (a running mean; at a rate this high single evaluations jump, and a dip of the
dense net would end the phase by chance). `accuracies = "plain"` takes both in eval mode without augmentation.

Choices: lambda_init is 5e-4 in a readme, 5e-6 in the code, hence here; the code compares a mean with a single accuracy
and lets windows count before they are full (`stop = "peer"`), we compare full means; the code keeps one weight fewer
than N - floor(kappa N), we keep round(N d); the code has no limit on epochs. Under `--epochs` and `--scale` phase 2 is
stretched as all else is: its limit by the factor f, and lambda_e = lambda_init eta^(e / f), so that lambda is at the
same share of the way what it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from ticketctl.draws._ladder import density_of, refuse_rewind
from ticketctl.draws._regularisers import Regulariser, rank_of
from ticketctl.draws._shrink import Accuracies, Shrink, Shrinking, under
from ticketctl.draws._stop import Rule, Watch, watched
from ticketctl.duration import Duration
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top
from ticketctl.recipe import Rational
from ticketctl.recipe_base import stretched
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "paper 000 (HyperSparse)",
    "rule": "|w| of a net trained under a growing penalty on small weights",
    "scope": "global",
    "data": "all, in three phases",
    "cost": "at most 3E/8 + 200 + E; regulariser = l2: at most 3E/8 + 300 + E",
    "nested": "no",
    "start": "trained weights of the chosen epoch",
    "inverted": "yes; by the scores of the draw",
    "notes": (
        "`gap`, `regulariser`, `pretrain_epochs`, `epochs` (of phases 1 and 2), `chosen_epoch` (from 1), "
        "`last_lambda`, `accuracy` (pruned and dense, as the stop rule saw them, by epoch of phase 2), "
        "`overlap` (share of the kept weights that were among the largest at each epoch, with `record`)"
    ),
    "limits": (
        "takes a density below 1, not rounds; no rewind point; exit 4 if phase 2 does not end within "
        "`max_epochs`"
    ),
}


def _length(value: Any) -> Any:
    """A bare number counts epochs."""
    return f"{value}ep" if isinstance(value, int) and not isinstance(value, bool) else value


LENGTHS = {"stretch": "1", "pretrain": None, "max_epochs": None}
"""What `--epochs` and `--scale` stretch: the factor, 1 where nothing is said; the others if they are said."""

NO_REWIND = "art's tickets start from its own trained weights: leave --rewind at 0"


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for art."""

    pretrain: Annotated[str, BeforeValidator(_length)] = "37.5%"
    """Epochs of phase 1: 60, or a share of the recipe's, rounded up; the default is the paper's 60 of 160."""
    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of phase 2 after which the draw gives up; none: 200, for l2 300."""
    stretch: Annotated[Rational, Field(gt=0)] = Fraction(1)
    """Factor on the time in which the strength grows, and on the 200 or 300 epochs where `max_epochs` says nothing:
    `--epochs` and `--scale` set it."""
    regulariser: Regulariser = "hypersparse"
    """What shrinks the small weights: hypersparse, l1 or l2."""
    lambda_init: Annotated[float, Field(gt=0)] = 5e-6
    """Strength of the regulariser in the first epoch of phase 2."""
    eta: Annotated[float, Field(gt=0)] = 1.05
    """Factor of the strength from one epoch to the next."""
    half_window: Annotated[int, Field(ge=0)] = 1
    """h: accuracies are averaged over 2h + 1 epochs."""
    stop: Rule = "means"
    """Choose by comparing full means, or as the released code does (peer)."""
    accuracies: Accuracies = "training"
    """What the stop rule compares: accuracies on the images as augmented for training, or plain ones."""
    record: bool = True
    """Keep, per epoch, the mask and what the pruned net gets right of the training images."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1, trained from the weights of the chosen epoch.

    Raises:
        UsageError: no density, a density of 1, or a rewind point.
        DivergedError: the pruned net did not become as good as the dense one within `max_epochs`.
    """
    how = _shrinking(lab, target, params)
    yield Level(lab.full(), lab.initial, None)
    spec = lab.bench.train.model_copy(
        update={
            "epochs": how.pretrain + _limit(params),
            "schedule": "constant",
            "milestones": (),
            "warmup": "0",
        }
    )
    hook = Shrink(lab.shapes, how)
    shrunk = lab.fit(
        lab.initial, lab.full(), train=spec, hooks=(hook,), title="pre-training, then regularised"
    )
    found = shrunk.hook(0)
    watch = watched(found["accuracy"].tolist(), half=how.half, rule=how.rule)
    if not watch.ended:
        raise DivergedError(_not_converged(shrunk, watch, found["accuracy"]))
    start = State(under(found, "best."), 0)
    scores = {name: start.weights[name].abs() for name in lab.shapes}
    mask = top(scores, how.kept)
    fit = lab.fit(start, mask, title=f"level 1, density {float(mask.density):.4g}")
    notes = _notes(how, watch, found, scores, mask)
    record = {name: value for name, value in found.items() if not name.startswith("best.")}
    yield Level(
        mask, start, fit, role="trained", notes=notes, scores=scores, record=record if how.record else None
    )


def cost(plan: Plan, params: Params) -> Cost:
    """Phases 1 and 2 at their longest, and the recipe once.

    Raises:
        UsageError: no density, or one that art cannot reach.
    """
    refuse_rewind(plan.rewind, NO_REWIND)
    rank_of(1, density_of(plan.target, "art"))
    _growth(params)
    before = _pretrain(params, plan.epochs) + _limit(params)
    return Cost(2, before + plan.epochs, at_most=True)


def _shrinking(lab: Lab, target: Target, params: Params) -> Shrinking:
    refuse_rewind(lab.rewind, NO_REWIND)
    size, density = lab.full().size, density_of(target, "art")
    return Shrinking(
        regulariser=params.regulariser,
        kept=kept_count(size, density),
        rank=rank_of(size, density),
        pretrain=_pretrain(params, lab.bench.train.epochs),
        lambda_init=params.lambda_init,
        eta=_growth(params),
        half=params.half_window,
        rule=params.stop,
        accuracies=params.accuracies,
        record=params.record,
    )


def _growth(params: Params) -> float:
    """Of lambda in an epoch."""
    try:
        return float(params.eta ** float(1 / params.stretch))
    except OverflowError:
        raise UsageError(
            f"draw.stretch: in a search {float(params.stretch):g} times as long lambda grows past all numbers in an "
            "epoch; train longer"
        ) from None


def _pretrain(params: Params, epochs: int) -> int:
    length = Duration.parse(params.pretrain)
    if length.unit == "it" and length.amount:
        raise UsageError(f"draw.pretrain: {params.pretrain} counts steps; write 60 (epochs) or 37.5%")
    if length.unit == "%":
        return math.ceil(length.amount * epochs / 100)
    return math.ceil(length.amount)


def _limit(params: Params) -> int:
    return params.max_epochs or stretched(300 if params.regulariser == "l2" else 200, params.stretch)


def _not_converged(shrunk: Fit, watch: Watch, accuracy: torch.Tensor) -> str:
    came = (
        "the window never filled"
        if watch.chosen is None
        else (
            f"the pruned net's accuracy came to {watch.mean:.4f}, the dense net's is {float(accuracy[-1, 1]):.4f}; "
            f"the best net so far is kept in {shrunk.files.folder}"
        )
    )
    return (
        f"art did not converge in {watch.epochs} regularised epochs: {came}; "
        "try a larger draw.max_epochs, draw.lambda_init or draw.eta"
    )


def _notes(
    how: Shrinking,
    watch: Watch,
    found: Mapping[str, torch.Tensor],
    scores: Mapping[str, torch.Tensor],
    mask: Mask,
) -> dict[str, Any]:
    """How the mask came about; epochs are counted from the beginning of phase 1, the first is 1."""
    assert watch.chosen is not None
    kept = min(float(score[mask.keep[name]].min()) for name, score in scores.items() if mask.keep[name].any())
    lost = max(
        float(score[~mask.keep[name]].max()) for name, score in scores.items() if not mask.keep[name].all()
    )
    last = how.pretrain + watch.epochs
    notes: dict[str, Any] = {
        "gap": (kept - lost) / kept if kept else 0.0,
        "regulariser": how.regulariser,
        "pretrain_epochs": how.pretrain,
        "epochs": last,
        "chosen_epoch": how.pretrain + watch.chosen + 1,
        "last_lambda": how.strength(last - 1),
        "accuracy": {"pruned": found["accuracy"][:, 0].tolist(), "dense": found["accuracy"][:, 1].tolist()},
    }
    if "overlap" in found:
        notes["overlap"] = (found["overlap"].sum(1).double() / how.kept).tolist()
    return notes
