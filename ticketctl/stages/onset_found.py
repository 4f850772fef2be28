"""What searches for an onset found, in one report: a value for each initialisation, and what was evaluated of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.report import Report
from ticketctl.recipe_explore import OnsetSpec
from ticketctl.stages.bisection import Found, contradictions, most_evaluations, settled
from ticketctl.stages.stability import APART, GUESSING, Stability
from ticketctl.train.exam import Measurement, Value

BETTER = {
    "onset": "lower", "onset.std": "none", "onset.settled": "lower", "onset.monotone": "none",
    "onset.evaluations": "none", "onset.diverged": "none", "onset.nonconverged": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The onset of one initialisation."""

    epochs: int
    """Of the whole training."""
    found: Found
    there: Mapping[int, Stability]
    """Every evaluation that lies there, those of earlier searches too, by its epoch, ascending."""
    threshold: float
    head: Report

    @property
    def stable(self) -> dict[int, bool]:
        """By epoch."""
        return {epoch: one.stable(self.threshold) for epoch, one in self.there.items()}

    @property
    def settled(self) -> int:
        """From where on all is stable that was evaluated."""
        return settled(self.stable, self.epochs)


def measurement(spec: OnsetSpec, outcomes: Sequence[Outcome]) -> Measurement:
    """`onset`, in epochs, the mean over initialisations; arrays of [I, E] at ascending epochs, -1 and NaN behind."""
    firsts = np.array([one.found.first for one in outcomes], dtype=np.float64)
    odd = [contradictions(one.stable) for one in outcomes]
    asked = sum(len(one.found.trace) for one in outcomes)
    every = [one for each in outcomes for one in each.there.values()]
    count = len(outcomes)
    values = {"onset": Value.mean(firsts)}
    if count > 1:
        values["onset.std"] = Value(float(firsts.std(ddof=1)), None, count)
    values |= {
        "onset.settled": Value.mean(np.array([one.settled for one in outcomes])),
        "onset.monotone": Value(float(not any(odd)), None, count),
        "onset.evaluations": Value(float(asked), None, count),
        "onset.diverged": Value(float(sum(one.diverged for one in every)), None, len(every)),
        "onset.nonconverged": Value(float(sum(one.guesses for one in every)), None, len(every)),
    }
    for number, one in enumerate(outcomes):
        values[f"onset.init-{number}"] = Value(float(one.found.first), None, len(one.found.trace))
    return Measurement(values, _protocol(spec, outcomes, odd), _arrays(outcomes))


def _protocol(
    spec: OnsetSpec, outcomes: Sequence[Outcome], odd: Sequence[tuple[tuple[int, int], ...]]
) -> dict[str, Any]:
    epochs, seeds = outcomes[0].epochs, [one.head.seeds["root"] for one in outcomes]
    return {
        "unit": "epochs of the dense net's training",
        "epochs": epochs,
        "stable": {"mean barrier over pairs below": spec.threshold, "unit": "percent points"},
        "not stable": f"a twin diverged, or its training accuracy is at most {GUESSING} / classes",
        "search": "scan" if spec.scan else "bisection",
        "evaluations at most": epochs if spec.scan else most_evaluations(epochs),
        "last": "stable without an evaluation: from there nothing is trained",
        "roots": seeds,
        "noise": f"order and augmentation of twin n: the root and {APART} (n + 1)",
        "twins": "weights and buffers of the epoch, a fresh optimizer, the schedule continued",
        "contradictions": [[list(pair) for pair in pairs] for pairs in odd],
    }


def _arrays(outcomes: Sequence[Outcome]) -> dict[str, NDArray[Any]]:
    """By initialisation and evaluation; `order` says when this search asked it, -1: an earlier one did."""
    rows, wide = len(outcomes), max(len(one.there) for one in outcomes)
    pairs = len(next(iter(outcomes[0].there.values())).barriers)
    epochs, order = (np.full((rows, wide), -1, dtype=np.int64) for _ in range(2))
    stable, diverged, guesses = (np.zeros((rows, wide), dtype=np.uint8) for _ in range(3))
    error, barriers = np.full((rows, wide), np.nan), np.full((rows, wide, pairs), np.nan)
    for row, each in enumerate(outcomes):
        places = {epoch: place for place, (epoch, _) in enumerate(each.found.trace)}
        for column, (epoch, one) in enumerate(each.there.items()):
            epochs[row, column], order[row, column] = epoch, places.get(epoch, -1)
            stable[row, column] = one.stable(each.threshold)
            diverged[row, column], guesses[row, column] = one.diverged, one.guesses
            barriers[row, column] = one.barriers
            error[row, column] = np.nan if one.error is None else one.error
    found = {"epochs": epochs, "order": order, "stable": stable, "error": error}
    failed = {"diverged": diverged, "nonconverged": guesses}
    means = {"barrier": barriers.mean(2), "barrier.max": barriers.max(2), "barrier.pairs": barriers}
    spread = {"barrier.std": barriers.std(2, ddof=1)} if pairs > 1 else {}
    return {**found, **failed, **means, **spread}
