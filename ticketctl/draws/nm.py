"""N:M masks: of every M consecutive weights along the summed axis N are kept, as sparse hardware wants them.

Groups run along a Linear layer's inputs and along a convolution's input channels at one kernel position; each keeps its
N largest |w|, ties to the lower index. `when = "init"` ranks the weights that levels start from, `when = "trained"`
those of a dense training, `when = "sr-ste"` those of a training that used w * mask in every forward pass, with the mask
of that moment and the gradient g + decay * (1 - mask) * w, which draws pruned weights to zero until the mask rests.
`start = "rewind"` goes back to the initialisation or the rewind point; `start = "trained"` hands on the weights that
were ranked, to be trained once more over the whole schedule. Mishra et al. (2021); SR-STE: Zhou et al. (2021).

A layer whose axis M does not divide (a first convolution over 3 channels, depthwise convolutions) stays dense and is
named in the record; the density is N/M over all others.

Choices: Linear layers are grouped along their inputs, which equals the released code's flattened rows wherever M
divides them. The pull is added to the gradient of the pruned weights alone; 2e-4 is the released code's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ticketctl.draws._groups import divides, grouped, refined
from ticketctl.draws._ladder import dense_level
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "Mishra et al. 2021; SR-STE: Zhou et al. 2021",
    "rule": "the N largest |w| of every M consecutive inputs",
    "scope": "group of M weights",
    "data": "all, to train the net that is ranked; when = init: none",
    "cost": "2E - k; start = trained: 2E; when = init: E",
    "nested": "yes; for one M, and not under sr-ste",
    "start": "initialisation or rewind point; start = trained: trained weights",
    "inverted": "yes; by the scores of the draw",
    "notes": (
        "`structure` (n:m), `when`, `density`, `left_dense` (layers); sr-ste also: `sr_ste` (metrics of "
        "that training), `sr_ste_steps`"
    ),
    "limits": (
        "the density is n/m, another one is refused, and so are rounds; layers that M does not divide stay "
        "dense; the controls do not keep to the pattern"
    ),
}

SETS_DENSITY = True
"""It follows from n and m; a recipe need not give one."""


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for nm."""

    n: int = 2
    """Weights kept of each group."""
    m: int = 4
    """Weights of a group."""
    when: Literal["init", "trained", "sr-ste"] = "trained"
    """Which weights are ranked: untrained ones, those of a dense training, or of one that ran with the pattern."""
    start: Literal["rewind", "trained"] = "rewind"
    """Where the ticket starts: initialisation or rewind point, or the weights that were ranked."""
    decay: float = 2e-4
    """Weight of the pull on pruned weights; sr-ste only."""


class Refine(Hooks):
    """SR-STE: weights stay dense and are used through the mask that they make at each step."""

    def __init__(self, names: tuple[str, ...], params: Params) -> None:
        self.names, self.params = names, params

    def identity(self) -> dict[str, Any]:
        """The pattern, the decay, and the layers."""
        params = self.params
        return {
            "name": "sr-ste",
            "n": params.n,
            "m": params.m,
            "decay": params.decay,
            "layers": list(self.names),
        }

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The net with the pattern of this moment."""
        params = self.params
        sparse = {
            name: refined(model.get_parameter(name), params.n, params.m, params.decay) for name in self.names
        }
        logits: Tensor = torch.func.functional_call(model, sparse, (inputs,))
        return logits


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense (trained under `when = "trained"` alone), and level 1, trained.

    Raises:
        UsageError: the pattern, the density or the start cannot be; no layer has groups of M.
    """
    _check(target, params)
    layers = tuple(name for name, shape in lab.shapes.items() if divides(shape, params.m))
    if not layers:
        raise UsageError(f"draw.m: no prunable layer has inputs in groups of {params.m}")
    first, ranked, notes = _ranked(lab, layers, params)
    yield first
    mask = pattern(ranked, lab.shapes, params.n, params.m)
    yield _ticket(lab, mask, first.start, ranked, {**_notes(lab, mask, layers, params), **notes}, params)


def pattern(weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], n: int, m: int) -> Mask:
    """The n:m mask of |w| over the weights named in `shapes`; layers without groups of `m` stay dense.

    Raises:
        DivergedError: a weight that is not finite; names the layer.
    """
    keep = {}
    for name, shape in shapes.items():
        if not bool(weights[name].isfinite().all()):
            raise DivergedError(f"layer {name!r}: weights are NaN or infinite; nothing was ranked")
        groups = divides(shape, m)
        keep[name] = grouped(weights[name].abs(), n, m) if groups else torch.ones(shape, dtype=torch.bool)
    return Mask(keep)


def _ranked(
    lab: Lab, layers: tuple[str, ...], params: Params
) -> tuple[Level, Mapping[str, Tensor], dict[str, Any]]:
    """Level 0, the weights to rank, and what to note about them."""
    if params.when == "trained":
        level = dense_level(lab)
        assert level.fit is not None
        return level, level.fit.end().weights, {}
    start = lab.start_point()
    level = Level(lab.full(), start, None)
    if params.when == "init":
        return level, start.weights, {}
    fit: Fit = lab.fit(start, None, hooks=(Refine(layers, params),), title=f"SR-STE {params.n}:{params.m}")
    measured = {name: value for name, value in fit.metrics().items() if name.startswith(("val.", "test."))}
    return level, fit.end().weights, {"sr_ste": measured, "sr_ste_steps": fit.steps}


def _ticket(
    lab: Lab, mask: Mask, start: State, ranked: Mapping[str, Tensor], notes: dict[str, Any], params: Params
) -> Level:
    role: Literal["trained"] | None = None
    if params.start == "trained":
        start, role = State(ranked), "trained"
    fit = lab.fit(start, mask, title=f"level 1, {params.n}:{params.m}, density {float(mask.density):.4g}")
    return Level(mask, start, fit, role, notes, {name: ranked[name].abs() for name in lab.shapes})


def _notes(lab: Lab, mask: Mask, layers: tuple[str, ...], params: Params) -> dict[str, Any]:
    dense = [name for name in lab.shapes if name not in layers]
    if dense:
        lab.note(
            f"dense, their inputs do not come in groups of {params.m}: {', '.join(dense)}; "
            f"density {float(mask.density):.4g}"
        )
    return {
        "structure": f"{params.n}:{params.m}",
        "when": params.when,
        "density": str(mask.density),
        "left_dense": dense,
    }


def _check(target: Target, params: Params) -> None:
    n, m = params.n, params.m
    if not 1 <= n <= m:
        raise UsageError(f"draw.n and draw.m: {n} of {m} cannot be kept; n lies in 1..m")
    if not 0 <= params.decay < math.inf:
        raise UsageError("draw.decay is 0 or more")
    if params.when == "init" and params.start == "trained":
        raise UsageError('draw.start = "trained" needs trained weights: draw.when = "trained" or "sr-ste"')
    if target.density is not None and target.density != Fraction(n, m):
        raise UsageError(
            f"density {float(target.density):g} is not {n}:{m}, which keeps {float(Fraction(n, m)):g}; "
            f"leave --density out, or change draw.n and draw.m"
        )
    if target.density is None and target.rounds is not None:
        raise UsageError(f"nm prunes once: its density is n/m = {n}/{m}; leave --rounds out")


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket, and one before it unless `when = "init"`.

    Where that is no plain dense training, the dense net is trained to the rewind point as well, if there is one.

    Raises:
        UsageError: as `draw`.
    """
    _check(plan.target, params)
    if params.when == "init":
        return plan.from_start
    before = Cost(1, plan.epochs) if params.when == "trained" else plan.from_start
    ticket = plan.epochs - (plan.skipped if params.start == "rewind" else 0)
    return Cost(before.trainings + 1, before.epochs + ticket)
