"""Top-1 accuracy on the test images.

The share of images whose largest logit is that of their label; of equal logits the first counts. Its standard error is
the binomial one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ticketctl.metrics._softmax import right
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("test",)
BETTER = {"accuracy": "higher"}
VERDICT = ("accuracy",)


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`accuracy` in [0, 1]."""
    test = exam.answers("test")
    return Measurement({"accuracy": Value.mean(right(test.logits, test.labels))}, {"ties": "first"})
