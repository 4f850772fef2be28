"""Brier score: the square distance of the probabilities from the label.

The mean over images of sum over classes of (p_k - y_k)^2 (Brier 1950), in [0, 2]; of two classes it is twice the score
of scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

from ticketctl.metrics._calibration import brier
from ticketctl.metrics._softmax import probabilities
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("test",)
BETTER = {"brier": "lower"}


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`brier` in [0, 2]."""
    test = exam.answers("test")
    return Measurement(
        {"brier": Value.mean(brier(probabilities(test.logits), test.labels))}, {"form": "sum over classes"}
    )
