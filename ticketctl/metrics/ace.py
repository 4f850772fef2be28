"""Adaptive calibration error: every class's probability against its label, in bins of equal mass.

ACE = 1/(K R) sum over classes k and R runs of as many images each of |acc_rk - conf_rk| (Nixon et al. 2019, equation
3). `ace.top` is the same of the answer's confidence alone: ECE with bins of equal mass.

Choices: runs are cut by rank, and a cut may fall among equal probabilities, as of a net that answers every image alike.
Each run then has its part of them all, as if each had their mean: nothing depends on the order of the images. The error
is the bootstrap's over those runs, cut once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _calibration as cal
from ticketctl.metrics._softmax import probabilities, right
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("test",)
BETTER = {"ace": "lower", "ace.top": "lower"}


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.ace]`."""

    bins: int = 15
    """Of each class, 1 or more."""

    def __post_init__(self) -> None:
        cal.check_bins("ace", self.bins)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`ace` and `ace.top` in [0, 1]."""
    test = exam.answers("test")
    p, count = probabilities(test.logits), len(test)
    confidence, hit = p.max(axis=1), right(test.logits, test.labels)
    rules = {
        "ace": cal.classes(
            p, cal.one_hot(test.labels, p.shape[1]), params.bins, mass=True, poll=exam.poll
        ).error,
        "ace.top": cal.classes(
            confidence[:, None], hit[:, None], params.bins, mass=True, poll=exam.poll
        ).error,
    }
    values = {
        name: Value(rule(np.ones(count)), exam.resampled(rule, count, name), count)
        for name, rule in rules.items()
    }
    return Measurement(
        values, {"bins": "equal mass, by rank", "ties": "divided evenly", "classes": p.shape[1]}
    )
