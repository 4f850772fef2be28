"""SynFlow: keep the weights that carry the flow through the net of absolute weights; no data.

All weights are replaced by their absolute values and an input of ones is fed in; R is the sum of the outputs. A weight
scores |w dR/dw|, the flow along all paths through it. In round t of n (100 by default) the round(N d^(t/n)) best of
those alive stay, and the net that is left is scored again. Tanaka et al. (2020); paper 004 section 3, paper 001 A4.

Choices: evaluation mode, biases 0, and BatchNorm replaced by its positive scale |gamma| / sqrt(var + eps), because a
shift breaks the conservation of the flow (`bn = "peer"` takes the absolute value of everything instead, shifts and
biases included, as the authors' code does; `bn = "identity"` leaves BatchNorm out; the three agree up to a constant
factor at initialisation). Batch statistics would destroy it altogether and are not offered. Always float64: in float32
the flow of ResNet-34 overflows. A net that does not scale with its input (LayerNorm, softmax, attention) is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.draws._flow import Flow, FlowNorm, flow_rounds
from ticketctl.draws._ladder import density_of
from ticketctl.draws._rounds import schedule
from ticketctl.draws._saliency import chosen
from ticketctl.draws._start import Chosen, at_start, at_start_cost
from ticketctl.errors import UsageError
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.scoring import scoring_net
from ticketctl.train.state import State

FACTS = {
    "paper": "Tanaka et al. 2020; papers 001 and 004",
    "rule": "|w dR/dw|, R the sum of outputs of the net of |w|, 100 rounds along d^(t/n)",
    "scope": "global",
    "data": "none",
    "cost": "E",
    "nested": "no; its own rounds are",
    "start": "initialisation or rewind point",
    "inverted": "yes; by the scores of the draw",
    "notes": (
        "`loss`, `bn`, `precision`, `rounds`, `flow` (R in the first and the last round), `gap`, `zeros`"
    ),
    "limits": "takes a density, not rounds; no nets with LayerNorm, GroupNorm, softmax or attention",
}


@dataclass(frozen=True)
class Params:
    """Keys of `[draw]` for synflow."""

    iterations: int = 100
    """Rounds of scoring and pruning, along d^(t/n)."""
    bn: FlowNorm = "scale"
    """BatchNorm while scoring: its positive scale, nothing, or the absolute value of all it holds (the authors')."""


def draw(lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
    """Level 0, untrained, and level 1, trained."""

    def choose(state: State, count: int) -> Chosen:
        del count  # the last of the schedule
        full, shape = lab.full(), tuple(lab.bench.feed.images.source.shape[1:])
        flow = Flow(scoring_net(lab.bench, state, precision="f64"), full, shape, bn=params.bn)
        counts = schedule(full.size, density_of(target, "synflow"), params.iterations)
        done = flow_rounds(flow, counts, lab.poll)
        return chosen(
            done.scores,
            done.mask,
            done.among,
            loss="sum of outputs",
            bn=params.bn,
            precision="f64",
            rounds=params.iterations,
            flow=[done.totals[0], done.totals[-1]],
        )

    return at_start(lab, target, "synflow", choose)


def cost(plan: Plan, params: Params) -> Cost:
    """One training of the ticket.

    Raises:
        UsageError: no density was given, or no rounds.
    """
    if params.iterations < 1:
        raise UsageError(f"draw.iterations: at least 1 round, not {params.iterations}")
    return at_start_cost(plan, "synflow")
