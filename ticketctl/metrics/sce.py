"""Static calibration error: every class's probability against its label, in bins of equal width.

SCE = 1/K sum over classes k and bins m of n_mk / N * |acc_mk - conf_mk| (Nixon et al. 2019, equation 2), where acc is
the share of the bin that is of class k. Paper 004 has it for ImageNet and prints an ambiguous formula; its released
code has none. It falls like 1/K: compare it between nets of as many classes only. The error is the bootstrap's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _calibration as cal
from ticketctl.metrics._softmax import probabilities
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("test",)
BETTER = {"sce": "lower"}


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.sce]`."""

    bins: int = 15
    """Of each class, 1 or more."""

    def __post_init__(self) -> None:
        cal.check_bins("sce", self.bins)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`sce` in [0, 1]."""
    test = exam.answers("test")
    p, count = probabilities(test.logits), len(test)
    error = cal.classes(
        p, cal.one_hot(test.labels, p.shape[1]), params.bins, mass=False, poll=exam.poll
    ).error
    value = Value(error(np.ones(count)), exam.resampled(error, count, "sce"), count)
    return Measurement({"sce": value}, {"bins": "equal width, right-closed", "classes": p.shape[1]})
