"""Accuracy under the fast gradient sign method: one step of 8/255 against the net, in every pixel.

x' = clip(x + eps * sign(gradient of the cross-entropy by x), 0, 1) (Goodfellow et al. 2015; paper 004, section 4.1):
no random start, the true label, the net in evaluation mode, pixels in [0, 1] with the normalisation inside the net.

Choices: images that the net gets wrong are attacked like the others, as the paper prints it. An image whose gradient
is exactly zero stays as it is, and so does one whose gradient is not finite somewhere; their share stands beside the
accuracy, and above 5 % is remarked on, for then the net only looks robust. The paper's released code starts from a
random point by an inverted flag: that is `fgsm-rs`. `fgsm.drop` is the accuracy lost, its error paired by image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _attack as at
from ticketctl.train.exam import Exam, Measurement, Value

FACTS = {"data": "test", "cost": "2 forward and 1 backward pass over the test images"}
NEEDS = ("net", "test")
BETTER = {"fgsm": "higher", "fgsm.zero": "lower", "fgsm.drop": "lower"}
VERDICT = ("fgsm",)


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.fgsm]`."""

    eps: float = 8 / 255
    """How far a pixel moves, in (0, 1]."""
    images: int = 0
    """Test images attacked, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        at.check("fgsm", self.images, eps=self.eps)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about."""
    return 4 * min(params.images or sizes["test"], sizes["test"])


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`fgsm`, `fgsm.drop` and `fgsm.zero` in [0, 1]; which images the net is still right about."""
    places = at.chosen(exam, params.images)
    specimen, standing, zeros = exam.specimen, [], 0
    for _, target in at.batches(specimen, places, params.eps):
        found = at.fgsm(at.asked(specimen), target)
        standing.append(found.standing.cpu().numpy())
        zeros += found.zeros
    stood = np.concatenate(standing)
    value, arrays = at.robust(stood, places)
    lost = at.clean(exam, places).astype(np.float64) - stood
    values = {
        "fgsm": value,
        "fgsm.drop": Value.mean(lost),
        "fgsm.zero": at.zero_share(specimen, "fgsm", zeros, len(places), len(places)),
    }
    return Measurement(
        values, {"norm": "linf", "start": "none", "loss": "cross-entropy of the label"}, arrays
    )
