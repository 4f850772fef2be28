"""Generalisation gap: test accuracy less training accuracy.

Both in evaluation mode, the training images without augmentation, under the labels that were trained on. At or below
zero where the net overfits. Paper 004 (section 4.1) prints a sum over the validation images divided by the number of
test images; for nets near zero training error it takes the test accuracy itself, which `accuracy` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from ticketctl.metrics._softmax import right
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "train, test", "cost": "1 pass over the training and test images"}
NEEDS = ("train", "test")
BETTER = {"gap": "higher"}


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`gap` in [-1, 1], and the `train.accuracy` in it."""
    train, test = (
        Value.mean(right(seen.logits, seen.labels)) for seen in (exam.answers("train"), exam.answers("test"))
    )
    error = None if train.error is None or test.error is None else hypot(train.error, test.error)
    gap = Value(test.value - train.value, error, test.n)
    return Measurement({"gap": gap, "train.accuracy": train}, {"augment": "none"})
