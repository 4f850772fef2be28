"""Temperature scaling: what calibration one number, fitted on validation images, mends.

The logits are divided by the T with the least NLL on the validation images (Guo et al. 2017, section 4.2), which
changes no answer; ECE and NLL of the test images are then taken again. T above 1: the net was overconfident.

Choices: T is looked for in [1/1000, 1000]; where the best lies outside, as of a net that is right on every validation
image, `temperature.bound` is 1. Of a net whose logits are all alike, which no T changes, T is 1. Under wrong labels
(`data.noise`) those of the validation images are wrong as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _calibration as cal
from ticketctl.metrics._softmax import Floats, probabilities, right
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "val, test", "cost": "1 pass over the validation and test images"}
NEEDS = ("val", "test")
BETTER = {"temperature.ece": "lower", "temperature.nll": "lower"}
BINS = 15


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`temperature`, whether it lies at a bound, and `temperature.ece`, `temperature.nll` under it."""
    val, test = exam.answers("val"), exam.answers("test")
    found, count = cal.fitted_temperature(val.logits, val.labels), len(test)
    confidence = probabilities(test.logits, found).max(axis=1)
    hit, index = right(test.logits, test.labels), cal.equal_width(confidence, BINS)

    def error(weights: Floats) -> float:
        return cal.expected_error(cal.binned(confidence, hit, index, BINS, weights))

    values = {
        "temperature": Value(found, None, len(val)),
        "temperature.bound": Value(float(found in cal.TEMPERATURES), None, len(val)),
        "temperature.ece": Value(error(np.ones(count)), exam.resampled(error, count, "temperature"), count),
        "temperature.nll": Value.mean(cal.surprise(test.logits, test.labels, found)),
    }
    return Measurement(values, {"fitted on": "val", "bins": BINS})
