"""Supermasks by edge-popup: weights stay as they were initialised, a score per weight is trained instead.

Each layer keeps the share `density` of its weights with the largest |score|; the forward pass uses w * mask, and the
gradient passes the choice straight through: dL/dscore = dL/d(w * mask) * w * sign(score). Scores start uniform within
1/sqrt(fan_in) (Kaiming uniform, a = sqrt 5). BatchNorm has no scale and shift (1 and 0, not trained), biases and layers
that are not prunable stay as they were initialised. Ramanujan et al. (2020).

The supermask itself, of which no weight is trained, is measured first: `untrained` in the record of level 1. The ticket
is that net: the frozen weights, the mask, and BatchNorm's statistics from the training of the scores, so its accuracy
before training is the supermask's. Level 1 is then trained as any ticket; level 0 is the frozen net, dense and
untrained.

Choices: exact counts over the net, each layer within one weight of its share; what their code calls prune_rate and
sparsity is the share kept, and is called density here. `scale` divides fan_in by the share kept as their paper does
(the code multiplies by 1 - prune_rate). Zhou et al.'s (2019) Bernoulli masks are left out: they have no density that
could be asked for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ticketctl.draws._channels import scales
from ticketctl.draws._ladder import density_of, refuse_rewind
from ticketctl.draws._popup import first_scores, frozen, popup
from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.select import kept_count, top_by_layer
from ticketctl.recipe import TrainSpec
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "Ramanujan et al. 2020",
    "rule": "|score|, trained in the place of frozen weights",
    "scope": "layer",
    "data": "all, to train the scores and then the ticket",
    "cost": "2E; epochs = e: e + E",
    "nested": "no",
    "start": "initialisation, frozen, with trained BatchNorm statistics",
    "inverted": "yes; by the scores of the draw",
    "notes": "`untrained` (metrics of the supermask), `score_steps` (steps of its training)",
    "limits": "takes a density, not rounds; no rewind point",
}

LENGTHS = {"epochs": None}
"""What `--epochs` and `--scale` stretch, if it is said."""

NO_REWIND = "supermask freezes the initialisation: leave rewind at 0"


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for supermask."""

    weights: Literal["init", "signed-constant"] = "init"
    """Frozen weights: the initialisation, or its signs times sqrt(2 / fan_in)."""
    scale: bool = False
    """Multiply the frozen weights by sqrt(1 / density)."""
    epochs: int = 0
    """Epochs for the scores; 0: as many as the recipe's trainings."""
    lr: float = 0.1
    """Learning rate of the scores at its highest; it falls as a cosine."""
    momentum: float = 0.9
    """SGD's momentum for the scores."""
    weight_decay: float = 1e-4
    """L2 penalty on the scores."""


class Popups(Hooks):
    """Trains scores in the place of weights: the net's own parameters `weights` hold the scores meanwhile."""

    by_image = True

    def __init__(self, weights: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
        """`weights`: the frozen ones by name; `counts`: how many each layer keeps."""
        self.weights, self.counts = dict(weights), dict(counts)
        self.placed: dict[str, Tensor] = {}

    def identity(self) -> dict[str, Any]:
        """The frozen weights are part of it: the training starts from scores and would not know them."""
        digest = hashlib.sha256()
        for name, weight in self.weights.items():
            digest.update(name.encode() + weight.contiguous().numpy().tobytes())
        return {"name": "supermask", "weights": digest.hexdigest(), "counts": self.counts}

    def start(self, loop: Course) -> None:
        """Put the frozen weights where the scores lie."""
        places = loop.parameters
        self.placed = {
            name: torch.empty_like(places[name].detach()).copy_(weight)
            for name, weight in self.weights.items()
        }

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The subnet that the scores pick. Nothing but scores is in the graph, so nothing else has a gradient."""
        chosen: dict[str, Tensor] = {}
        for name, parameter in model.named_parameters():
            if name in self.placed:
                chosen[name] = popup(parameter, self.placed[name], self.counts[name])
            else:
                chosen[name] = parameter.detach()
        logits: Tensor = torch.func.functional_call(model, chosen, (inputs,))
        return logits


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, the frozen net, and level 1, the supermask, trained.

    Raises:
        UsageError: no density, one that keeps nothing, or a rewind point.
    """
    density = density_of(target, "supermask")
    refuse_rewind(lab.rewind, NO_REWIND)
    counts = layer_counts(lab.shapes, density)
    weights = _frozen(lab, params, density)
    yield Level(lab.full(), State(weights), None)
    hook = Popups({name: weights[name] for name in lab.shapes}, counts)
    scores = {name: first_scores(lab.seeds, name, shape) for name, shape in lab.shapes.items()}
    fit = lab.fit(
        State({**weights, **scores}), None, train=_course(lab.bench.train, params), hooks=(hook,),
        title="the scores",
    )  # fmt: skip
    yield _ticket(lab, weights, counts, fit)


def layer_counts(shapes: Mapping[str, torch.Size], density: Fraction) -> dict[str, int]:
    """Kept weights of each layer: its size times the density, rounded so that the sum is exact."""
    sizes = {name: shape.numel() for name, shape in shapes.items()}
    quotas = {name: size * density for name, size in sizes.items()}
    return apportion(quotas, sizes, kept_count(sum(sizes.values()), density))


def _frozen(lab: Lab, params: Params, density: Fraction) -> dict[str, Tensor]:
    """The whole state_dict of the net whose weights are frozen."""
    share = float(density) if params.scale else 1.0
    weights = dict(lab.initial.weights)
    for name in lab.shapes:
        weights[name] = frozen(weights[name], params.weights, share)
    for name in scales(lab.bench.model):
        shift = f"{name.rpartition('.')[0]}.bias"
        weights[name] = torch.ones_like(weights[name])
        weights[shift] = torch.zeros_like(weights[shift])
    return weights


def _ticket(lab: Lab, weights: Mapping[str, Tensor], counts: Mapping[str, int], fit: Fit) -> Level:
    end = fit.end().weights
    scores = {name: end[name].abs() for name in lab.shapes}
    mask = top_by_layer(scores, counts)
    trained = {name for name, _ in lab.bench.model.named_parameters()}
    start = State({name: weights[name] if name in trained else end[name] for name in end})
    measured = {name: value for name, value in fit.metrics().items() if name.startswith(("val.", "test."))}
    notes = {"untrained": measured, "score_steps": fit.steps}
    title = f"level 1, density {float(mask.density):.4g}"
    return Level(mask, start, lab.fit(start, mask, title=title), "init", notes, scores)


def _course(train: TrainSpec, params: Params) -> TrainSpec:
    """How scores are trained."""
    wanted = {
        "epochs": params.epochs or train.epochs, "optimizer": "sgd", "lr": params.lr, "momentum": params.momentum,
        "nesterov": False, "weight_decay": params.weight_decay, "decay": "all", "schedule": "cosine",
        "milestones": (), "warmup": "0",
    }  # fmt: skip
    return train.model_copy(update=wanted)


def cost(plan: Plan, params: Params) -> Cost:
    """The training of the scores and that of the ticket.

    Raises:
        UsageError: no density, or a key out of its range.
    """
    refuse_rewind(plan.rewind, NO_REWIND)
    density_of(plan.target, "supermask")
    if params.epochs < 0 or not 0 < params.lr < math.inf or not 0 <= params.momentum < 1:
        raise UsageError("draw.epochs is 0 or more, draw.lr above 0, draw.momentum in [0, 1)")
    if not 0 <= params.weight_decay < math.inf:
        raise UsageError("draw.weight_decay is 0 or more")
    return Cost(2, (params.epochs or plan.epochs) + plan.epochs)
