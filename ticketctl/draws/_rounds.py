"""Shared by the draws that prune in rounds before training: the exponential schedule, and SNIP's score along it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from ticketctl.draws._ladder import density_of
from ticketctl.draws._saliency import LOSSES, LossName, Scores, chosen, saliency
from ticketctl.draws._start import Chosen, at_start
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top
from ticketctl.train.lab import Lab, Level, Target
from ticketctl.train.scoring import Precision, Sample, Statistics, balanced_sample, indices, scoring_net
from ticketctl.train.state import State


def schedule(size: int, density: Fraction, rounds: int) -> list[int]:
    """Kept weights after each of `rounds` rounds, floor(size * density^(t/rounds) + 1/2), exactly; 1 or more.

    Raises:
        UsageError: the density is outside (0, 1], or keeps nothing.
    """
    last = kept_count(size, density)
    return [_nearest_power(size, density, t, rounds) for t in range(1, rounds)] + [last]


def _nearest_power(size: int, density: Fraction, t: int, rounds: int) -> int:
    """The largest c with c - 1/2 <= size * density^(t/rounds): floating point guesses, integers decide."""
    limit = (2 * size) ** rounds * density.numerator**t

    def fits(count: int) -> bool:
        return bool((2 * count - 1) ** rounds * density.denominator**t <= limit)

    count = math.floor(size * math.exp(_log(density) * t / rounds) + 0.5)
    while not fits(count):
        count -= 1
    while fits(count + 1):
        count += 1
    return count


def _log(value: Fraction) -> float:
    """The logarithm of a fraction, however small: each part is an integer of any size."""
    return math.log(value.numerator) - math.log(value.denominator)


@dataclass(frozen=True)
class Rounds:
    """How `snip-iterative` and `force` score: the keys they share, and whether pruned weights can come back."""

    iterations: int
    per_class: int
    batches: int
    fresh: bool
    bn: Statistics
    loss: LossName
    precision: Precision
    augment: bool
    revive: bool


def check_rounds(rounds: Rounds) -> None:
    """Refuse keys that cannot be.

    Raises:
        UsageError: no rounds, or no images.
    """
    for key in ("iterations", "per_class", "batches"):
        if getattr(rounds, key) < 1:
            raise UsageError(f"draw.{key}: at least 1, not {getattr(rounds, key)}")


def at_start_in_rounds(lab: Lab, target: Target, method: str, rounds: Rounds) -> Iterator[Level]:
    """Level 0, untrained, and level 1, the mask after all rounds, trained."""
    return at_start(
        lab, target, method, lambda state, _: iterated(lab, state, density_of(target, method), rounds)
    )


def iterated(lab: Lab, state: State, density: Fraction, rounds: Rounds) -> Chosen:
    """The mask after all rounds of the exponential schedule, each of them scored anew."""
    net = scoring_net(lab.bench, state, precision=rounds.precision, bn=rounds.bn)
    used: list[Sample] = []
    now = lab.full()
    counts = schedule(now.size, density, rounds.iterations)
    for number, count in enumerate(counts):
        lab.poll()
        samples = _samples_of(lab, rounds, number)
        used += samples if rounds.fresh or number == 0 else []
        scores = _mean_saliency(net, samples, now, rounds)
        among = None if rounds.revive else now
        now = top(scores, count, among=among)
    return chosen(
        scores,
        now,
        among,
        loss=rounds.loss,
        bn=rounds.bn,
        precision=rounds.precision,
        samples=indices(used),
        rounds=rounds.iterations,
    )


def _samples_of(lab: Lab, rounds: Rounds, number: int) -> list[Sample]:
    """The balanced samples of round `number`; those of the first round are the ones `snip` takes."""
    first = number * rounds.batches if rounds.fresh else 0
    return [
        balanced_sample(
            lab.bench,
            lab.seeds,
            per_class=rounds.per_class,
            number=first + place,
            precision=rounds.precision,
            augment=rounds.augment,
        )
        for place in range(rounds.batches)
    ]


def _mean_saliency(net: nn.Module, samples: Sequence[Sample], mask: Mask, rounds: Rounds) -> Scores:
    """Averaged over the batches; the ranking does not depend on the factor."""
    batches = [batch for sample in samples for batch in sample.batches()]
    scores = saliency(net, batches, mask, loss=LOSSES[rounds.loss], dense=rounds.revive)
    if len(batches) > 1:
        torch._foreach_div_(list(scores.values()), len(batches))
    return scores
