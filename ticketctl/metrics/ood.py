"""Out-of-distribution detection: telling test images from others by what the net says.

Scores, higher meaning "in the distribution": the maximum softmax probability (MSP, Hendrycks and Gimpel 2017; paper
004 section 4.1), the energy (Liu et al. 2020), the maximum logit (Hendrycks et al. 2022) and minus the entropy of the
softmax. AUROC has the test images as positives; AUPR is a sum of steps, `in` with the test images as positives and
`out` with the others, under the mirrored score; FPR@95 is the share of the others that passes where 95 % of the test
images do.

Choices: MSP is the score of the verdict, on the set that `verdict.ood` names, else on the first by name, noise last.
Equal scores are ties and count half. AUPR depends on how many images there are of either kind: both counts stand beside
it. The error of AUROC is DeLong's (1988), of the rest none is given. A folder of images whose class folders are some of
the net's own classes, as ImageNet-O has 200 of ImageNet's (`audit.ood = ["imagefolder:DIR"]`), is held against the test
images of these classes, and all other logits are left out before any score is taken (Hendrycks et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.metrics import _detection as det
from ticketctl.metrics._softmax import Floats
from ticketctl.train.exam import Absent, Answers, Exam, Measurement, Value

FACTS = {"data": "test, others", "cost": "1 pass over the test images and each other set"}
NEEDS = ("test", "ood")
BETTER = {"auroc": "higher", "aupr-in": "higher", "aupr-out": "higher", "fpr95": "lower"}
VERDICT = ("auroc",)
SCORES = {
    "msp": det.max_probability,
    "energy": det.energy,
    "maxlogit": det.max_logit,
    "entropy": det.entropy,
}


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`auroc.SET`, `aupr-in.SET`, `aupr-out.SET`, `fpr95.SET` by MSP, and by the other scores as `auroc.SET.energy`.

    Raises:
        Absent: no test image is of the classes of any other set.
    """
    test = exam.answers("test")
    values: dict[str, Value] = {}
    counts, classes = {"test": len(test)}, {}
    for name in (known.removeprefix("ood/") for known in exam.sets if known.startswith("ood/")):
        other = exam.answers(f"ood/{name}")
        inside, outside = test.logits, other.logits
        counts[name] = len(other)
        if other.classes is not None:
            inside, outside = restricted(test, other.classes), other.logits[:, other.classes]
            classes[name] = {"classes": len(other.classes), "test": len(inside)}
        if len(inside):
            values |= _rows(name, inside, outside)
    if not values:
        raise Absent("no test image is of the classes of the other images")
    return Measurement(values, {"positive": "test", "ties": "half", "counts": counts, "restricted": classes})


def restricted(test: Answers, classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """The logits of `classes` [k] to the test images of these classes: [n, k]."""
    return test.logits[np.isin(test.labels, classes)][:, classes]


def _rows(name: str, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for score, rule in SCORES.items():
        tail = name if score == "msp" else f"{name}.{score}"
        values |= {f"{key}.{tail}": value for key, value in _of(rule(inside), rule(outside)).items()}
    return values


def _of(inside: Floats, outside: Floats) -> dict[str, Value]:
    count = len(inside) + len(outside)
    return {
        "auroc": Value(*det.auroc(inside, outside), count),
        "aupr-in": Value(det.average_precision(inside, outside), None, count),
        "aupr-out": Value(det.average_precision(-outside, -inside), None, count),
        "fpr95": Value(det.false_positives(inside, outside), None, count),
    }
