"""Expected calibration error: confidence against accuracy, in bins of equal width.

ECE = sum over M bins of |B_m| / N * |acc(B_m) - conf(B_m)| (Guo et al. 2017, equation 3; paper 004 section 4.2), over
the confidence of the answer given. A bin has its right end, (lo, hi], the last one 1.

Choices: M = 15 is the paper's text; its released code cuts at `linspace(0, 1, 15)` and so has 14 bins: `bins = 14`.
RMSCE (Hendrycks et al. 2019), with squares in the place of absolute values, stands beside it. Nets of low accuracy are
calibrated easily: the verdict reads ECE beside accuracy. The error is the bootstrap's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _calibration as cal
from ticketctl.metrics._softmax import Floats, probabilities, right
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("test",)
BETTER = {"ece": "lower", "rmsce": "lower"}
VERDICT = ("ece",)


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.ece]`."""

    bins: int = 15
    """How many, 1 or more; 14 is the released code's."""

    def __post_init__(self) -> None:
        cal.check_bins("ece", self.bins)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`ece` and `rmsce` in [0, 1]; the bins, for a reliability diagram."""
    test = exam.answers("test")
    confidence, hit = probabilities(test.logits).max(axis=1), right(test.logits, test.labels)
    index, count = cal.equal_width(confidence, params.bins), len(test)

    def cut(weights: Floats) -> cal.Bins:
        return cal.binned(confidence, hit, index, params.bins, weights)

    rules = {"ece": cal.expected_error, "rmsce": cal.root_mean_square_error}
    bins = cut(np.ones(count))
    values = {  # mypy does not type a lambda with a default
        name: Value(rule(bins), exam.resampled(lambda drawn, rule=rule: rule(cut(drawn)), count, name), count)  # type: ignore[misc]
        for name, rule in rules.items()
    }
    arrays = {"bin.count": bins.count, "bin.confidence": bins.confidence, "bin.accuracy": bins.accuracy}
    return Measurement(values, {"bins": "equal width, right-closed"}, arrays)
