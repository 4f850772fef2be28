"""SmartRatio: fixed densities that fall towards the output, positions at random; or hybrid tickets.

Layers count l = 1..L, the output layer included. The output layer keeps the share `head` of its weights, 30 %; every
other has a density in proportion to (L-l+1)^2 + (L-l+1), for VGG nets divided by l^2, such that round(N d) weights are
kept in all. What a layer cannot hold goes to the next. With `hybrid` the counts stay, and each layer keeps its largest
|w| of the trained dense net, whose weights are then trained again on the schedule from the rewind point (learning-rate
rewinding). Su et al. (2020), "Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot"; paper 000.

Choices: exact arithmetic and largest remainders, so that round(N d) weights are kept; the authors' program cuts
fractions off in float32 and stays up to 1 % below (`count_rule = "peer"`). Where 30 % of the output layer is more than
all that is to be kept, 10 % of it is, as in paper 000 for CIFAR-100 and TinyImageNet at 99.8 %, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from ticketctl.draws._ladder import dense_level, magnitudes
from ticketctl.draws._start import at_start_cost, count_of, dense_layers, scattered
from ticketctl.errors import UsageError
from ticketctl.masks.profiles import Counts
from ticketctl.masks.select import top_by_layer
from ticketctl.masks.smartratio import HEADS, Decay, SmartRatio
from ticketctl.recipe import Rational
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.state import State

FACTS = {
    "paper": "Su et al. 2020; paper 000",
    "rule": (
        "density in proportion to (L-l+1)^2 + (L-l+1); random positions, or the largest |w| of each layer "
        "(hybrid)"
    ),
    "scope": "layer",
    "data": "none; hybrid: all, to train the dense net",
    "cost": "E; hybrid: 2E - k",
    "nested": "by counts",
    "start": "initialisation or rewind point; hybrid: trained weights",
    "inverted": "with hybrid = true; by the scores of the draw",
    "notes": "`head` (share of the output layer), `divided` (by l^2), `dense_layers`",
    "limits": (
        "takes a density, not rounds; refused where the share of the output layer leaves nothing for the "
        "others, or more than they hold; layers may end up empty"
    ),
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]`."""

    head: Rational | None = None
    """Share of the output layer to keep; none: 0.3, or 0.1 where the density leaves nothing beside 0.3."""
    decay: Decay = "quadratic"
    """How densities fall with l; linear, cubic, ascending and uniform are the paper's ablations."""
    divide: Literal["auto", "yes", "no"] = "auto"
    """Divide densities by l^2; auto: for nets whose name says VGG."""
    count_rule: Literal["exact", "peer"] = "exact"
    """exact: round(N d) weights in all; peer: as the authors' program counts, up to 1 % fewer."""
    hybrid: bool = False
    """Keep the largest weights of each layer of the trained dense net instead of random ones."""
    start: Literal["trained", "rewind"] = "trained"
    """Weights a hybrid ticket starts from: the trained ones, or those of the rewind point."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, dense (trained for hybrid tickets alone), and level 1.

    Raises:
        UsageError: the density is too small for the share of the output layer, or too large.
    """
    counts, notes = _counts(lab, target, params)
    if params.hybrid:
        return _hybrid(lab, counts, notes, params)
    return scattered(lab, target, "smartratio", counts, notes)


def cost(plan: Plan, params: Params) -> Cost:
    """One training; for a hybrid ticket two, the dense net's and its own.

    Raises:
        UsageError: no density was given.
    """
    one = at_start_cost(plan, "smartratio")
    return Cost(2, 2 * plan.epochs - plan.skipped) if params.hybrid else one


def _counts(lab: Lab, target: Target, params: Params) -> tuple[Counts, dict[str, Any]]:
    count = count_of(lab, target, "smartratio")
    if params.head is not None and not 0 <= params.head <= 1:
        raise UsageError(f"draw.head {float(params.head):g} cannot be; it is a share, 0 to 1")
    auto = "vgg" in str(lab.identity["arch"]["name"]).lower()
    divide = auto if params.divide == "auto" else params.divide == "yes"
    rule = SmartRatio(lab.shapes, lab.head, params.decay, divide)
    if params.head is None:
        counts, share = rule.counts_with_fallback(count)
    else:
        counts, share = rule.counts(count, params.head), params.head
    if params.count_rule == "peer":
        assert target.density is not None
        counts = rule.peer_counts(1 - target.density, share)
    _say(lab, params, share, count - sum(counts.values()))
    notes = {"head": str(share), "divided": divide, "dense_layers": dense_layers(lab, counts)}
    return counts, notes


def _say(lab: Lab, params: Params, share: Fraction, missing: int) -> None:
    if params.head is None and share != HEADS[0]:
        lab.note(
            f"{float(HEADS[0]):.0%} of the output layer is all that is to be kept, or more: it keeps {float(share):.0%}"
        )
    if missing:
        lab.note(f'smartratio, count_rule = "peer": {missing:,} weights fewer than the density says are kept')


def _hybrid(lab: Lab, counts: Mapping[str, int], notes: Mapping[str, Any], params: Params) -> Iterator[Level]:
    dense = dense_level(lab)
    yield dense
    assert dense.fit is not None
    scores = magnitudes(lab, dense.fit)
    mask = top_by_layer(scores, counts)
    trained = params.start == "trained"
    start = State(dense.fit.end().weights, dense.start.step) if trained else dense.start
    fit = lab.fit(start, mask, title=f"level 1, density {float(mask.density):.4g}")
    yield Level(mask, start, fit, "trained" if trained else None, notes, scores)
