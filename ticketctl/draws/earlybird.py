"""Early-bird tickets: train the dense net only until its mask stops moving, then prune it and train on.

Every epoch the net is pruned on paper: `form = "channel"` keeps the share `density` of all BatchNorm channels, those
with the largest |gamma| over all layers together, while training adds l1 * sign(gamma) to the gradients of the scales;
`form = "weight"` keeps the share `density` of the weights by |w| over all layers (no l1). A queue holds the newest 5 of
these masks; the distance of two is the share of entries in which they differ. The ticket is found when the newest lies
within epsilon of each of the others: with epsilon 0.1, after 5 epochs at the earliest. It goes on from the weights of
that epoch, on the schedule from there. You et al. (2020).

A channel mask becomes a weight mask: rows that write a pruned channel and columns that read it go, scale and shift of
its BatchNorm start at 0; channels that a residual sum adds up stay if one of them does. The share of weights kept is
then another than the share of channels. Both are in the record of the level, with the channels themselves.

Choices: the distance test is the released code's (newest against the others, <= epsilon); the paper asks for the
largest distance within the queue, below epsilon. Exact ranking instead of a threshold, and no layer loses its last
channel: while all scales are equal, the code's threshold prunes everything. The initial mask does not enter the queue;
in the code it is that empty mask, from which no trained one is within epsilon. A net whose mask does not come to rest
within the recipe's epochs is an error (exit 4); the closest mask stays in the search's record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.draws._channels import expand, scales, silenced, top_channels
from ticketctl.draws._ladder import density_of, refuse_rewind
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top
from ticketctl.recipe import Rational
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Fit, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "You et al. 2020",
    "rule": "|gamma| of BatchNorm, or |w|, as soon as the mask has come to rest",
    "scope": "global; over channels, or weights",
    "data": "all, in the one training",
    "cost": "E",
    "nested": "no",
    "start": "trained weights of the epoch that found it",
    "inverted": 'with form = "weight"; by the scores of the draw',
    "notes": (
        "`form`, `epoch` and `step` of the find, `distances` (largest in the queue, by epoch); channels "
        "also: `chosen` (asked for), `kept` (with those that sums keep), `channels` (in all), `norms` "
        "(which, by BatchNorm, as `<count>:<bits in hex>`)"
    ),
    "limits": (
        "takes a density, not rounds; no rewind point; channels need BatchNorm, and their density counts "
        "channels; exit 4 if no mask comes to rest"
    ),
}

_Bits = NDArray[np.bool_]


NO_REWIND = "earlybird's ticket starts from the epoch where it is found: leave rewind at 0"


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for earlybird."""

    form: Literal["channel", "weight"] = "channel"
    """Prune channels by the scales of BatchNorm (density: share of channels), or single weights by magnitude."""
    epsilon: Rational = Fraction(1, 10)
    """Largest share of entries in which masks of the queue may differ from the newest."""
    length: int = 5
    """Masks in the queue, one per epoch."""
    l1: float = 1e-4
    """Weight of the L1 penalty on BatchNorm's scales while searching; form channel only."""


@dataclass
class Queue:
    """The newest masks, flat, oldest first; at most `length` of them."""

    length: int
    masks: list[_Bits] = field(default_factory=list)

    def push(self, mask: _Bits) -> int | None:
        """Add a mask, dropping the oldest of a full queue.

        Returns:
            The largest number of entries in which an older mask differs from it; None until the queue is full.
        """
        self.masks = [*self.masks, mask][-self.length :]
        if len(self.masks) < self.length:
            return None
        return max(int(np.count_nonzero(mask != older)) for older in self.masks[:-1])


@dataclass(frozen=True)
class _Rule:
    """What is ranked each epoch, and how much of it stays."""

    form: Literal["channel", "weight"]
    names: tuple[str, ...]
    count: int

    def mask(self, tensors: Mapping[str, Tensor]) -> Mask:
        """Over scales or weights."""
        picked = {name: tensors[name].detach().abs().cpu() for name in self.names}
        return top_channels(picked, self.count) if self.form == "channel" else top(picked, self.count)


class Search(Hooks):
    """Watches the mask from epoch to epoch, and ends the training when it has come to rest."""

    def __init__(self, rule: _Rule, params: Params, size: int) -> None:
        self.rule, self.params, self.size = rule, params, size
        self.queue = Queue(params.length)
        self.moved: list[int] = []
        """The largest difference after each epoch, in entries; -1 while the queue is not full."""
        self.closest: _Bits | None = None
        self.gammas: list[torch.nn.Parameter] = []

    def identity(self) -> dict[str, Any]:
        """The keys, and what is ranked."""
        params, rule = self.params, self.rule
        return {
            "name": "earlybird",
            "form": rule.form,
            "names": list(rule.names),
            "count": rule.count,
            "epsilon": str(params.epsilon),
            "length": params.length,
            "l1": params.l1,
        }

    def start(self, loop: Course) -> None:
        """Find the scales that are to shrink."""
        places = loop.parameters
        self.gammas = [places[name] for name in self.rule.names if self.rule.form == "channel"]

    def grads(self, loop: Course) -> bool:
        """Add the subgradient of l1 * sum |gamma|."""
        shrink(self.gammas, self.params.l1)
        return True

    def epoch(self, loop: Course) -> bool:
        """Whether the mask has come to rest."""
        mask = _flat(self.rule.mask(loop.parameters))
        moved = self.queue.push(mask)
        if moved is not None and moved <= min((m for m in self.moved if m >= 0), default=moved):
            self.closest = mask
        self.moved.append(-1 if moved is None else moved)
        return self.rests

    @property
    def rests(self) -> bool:
        """Whether it was within epsilon at the newest epoch."""
        return bool(self.moved) and 0 <= self.moved[-1] <= self.params.epsilon * self.size

    def state(self) -> dict[str, Tensor]:
        """Masks as packed bits, one row each."""
        masks = self.queue.masks
        found = {"moved": torch.tensor(self.moved, dtype=torch.int64)}
        if masks:
            found["queue"] = torch.from_numpy(np.packbits(np.stack(masks), axis=1))
        if self.closest is not None:
            found["closest"] = torch.from_numpy(np.packbits(self.closest))
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The opposite."""
        self.moved = [int(value) for value in tensors["moved"]]
        rows = [*tensors["queue"]] if "queue" in tensors else []
        self.queue.masks = [self._unpacked(row) for row in rows]
        self.closest = self._unpacked(tensors["closest"]) if "closest" in tensors else None

    def _unpacked(self, row: Tensor) -> _Bits:
        return np.unpackbits(row.numpy(), count=self.size).astype(np.bool_)


@torch.no_grad()
def shrink(gammas: list[torch.nn.Parameter], l1: float) -> None:
    """Add l1 * sign(gamma) to the gradient of each: the subgradient of l1 * sum |gamma| that is 0 at 0."""
    for gamma in gammas:
        if gamma.grad is not None:
            gamma.grad.add_(gamma.sign(), alpha=l1)


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense and untrained, and level 1 from where the search ended.

    Raises:
        UsageError: no density; a rewind point; form channel without BatchNorm.
        DivergedError: the mask did not come to rest within the recipe's epochs.
    """
    rule, size = _rule(lab, target, params)
    yield Level(lab.full(), lab.initial, None)
    search = lab.fit(lab.initial, None, hooks=(Search(rule, params, size),), title="the search")
    found = Search(rule, params, size)
    found.restore(search.hook(0))
    if not found.rests:
        raise _restless(found, lab)
    yield _ticket(lab, rule, search, found)


def _rule(lab: Lab, target: Target, params: Params) -> tuple[_Rule, int]:
    density = density_of(target, "earlybird")
    refuse_rewind(lab.rewind, NO_REWIND)
    if params.form == "weight":
        size = lab.full().size
        return _Rule("weight", tuple(lab.shapes), kept_count(size, density)), size
    sizes = {name: scale.numel() for name, scale in scales(lab.bench.model).items()}
    if not sizes:
        raise UsageError(
            'this net has no BatchNorm, whose channels earlybird ranks: give draw.form = "weight"'
        )
    count = kept_count(sum(sizes.values()), density)
    if count < len(sizes):
        raise UsageError(
            f"{count:,} channels do not suffice for {len(sizes)} layers, each of which keeps one; "
            f"the least density is {len(sizes) / sum(sizes.values()):.3g}"
        )
    return _Rule("channel", tuple(sizes), count), sum(sizes.values())


def _ticket(lab: Lab, rule: _Rule, search: Fit, found: Search) -> Level:
    end = search.end()
    mask, weights = rule.mask(end.weights), end.weights
    notes: dict[str, Any] = {
        "form": rule.form,
        "epoch": len(found.moved),
        "step": end.step,
        "distances": [None if moved < 0 else moved / found.size for moved in found.moved],
    }
    scores = None
    if rule.form == "weight":
        scores = {name: weights[name].abs() for name in lab.shapes}
    else:
        inputs, _ = lab.bench.feed.images.batch(0, 1)
        wide = expand(lab.bench.model, mask, lab.shapes, inputs.shape[1:])
        notes |= {"chosen": mask.kept, "kept": wide.channels.kept, "channels": found.size}
        notes["norms"] = _packed(wide.channels)
        mask, weights = wide.weights, silenced(weights, wide.channels)
        lab.note(
            f"{notes['kept']:,} of {found.size:,} channels, sums included; density {float(mask.density):.4g}"
        )
    start = State(weights, 0 if lab.restart else end.step)
    title = f"level 1 from epoch {len(found.moved)}, density {float(mask.density):.4g}"
    return Level(mask, start, lab.fit(start, mask, title=title), "trained", notes, scores)


def _restless(found: Search, lab: Lab) -> DivergedError:
    moved = [value for value in found.moved if value >= 0]
    epoch = found.moved.index(min(moved)) + 1
    return DivergedError(
        f"earlybird: no mask came to rest within {lab.bench.train.epochs} epochs; the closest, after epoch {epoch}, "
        f"differed in {min(moved) / found.size:.3g} of its entries, not {float(found.params.epsilon):g}: "
        f"raise train.epochs or draw.epsilon"
    )


def _packed(channels: Mask) -> dict[str, str]:
    """By norm, `<channels>:<hex>`: bits of kept channels, the first channel in the highest bit."""
    arrays = channels.to_arrays()
    return {name: f"{keep.size}:{np.packbits(keep).tobytes().hex()}" for name, keep in arrays.items()}


def _flat(mask: Mask) -> _Bits:
    return np.concatenate([keep.reshape(-1) for keep in mask.to_arrays().values()])


def cost(plan: Plan, params: Params) -> Cost:
    """The search and the ticket share one schedule.

    Raises:
        UsageError: no density, a queue of fewer than two masks or longer than the training, or epsilon outside [0, 1].
    """
    refuse_rewind(plan.rewind, NO_REWIND)
    density_of(plan.target, "earlybird")
    if params.length < 2 or not 0 <= params.epsilon <= 1 or not params.l1 >= 0:
        raise UsageError("draw.length is 2 or more, draw.epsilon lies in [0, 1], draw.l1 is not negative")
    if plan.epochs < params.length:
        raise UsageError(
            f"draw.length: {params.length} masks, one per epoch, do not come together in {plan.epochs} epochs"
        )
    return Cost(2, 2 * plan.epochs, at_most=True) if plan.restart else Cost(2, plan.epochs)
