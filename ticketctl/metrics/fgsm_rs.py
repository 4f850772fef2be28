"""Accuracy under one step of 8/255 from a random point: what the released code of paper 004 calls FGSM.

x0 is uniform in the ball of radius eps around x and clipped to [0, 1]; x' is x0 + size * sign(gradient at x0), clipped
to the ball and to [0, 1]. The paper prints FGSM without a random start (`fgsm`); its released code runs PGD with one
step of 8/255 and leaves the random start on, by a flag that means the reverse of its name. Half of the step is lost
where the start lies against it: this attack is weaker than FGSM.

Choices: an image's start depends on the seed and its number; it is that of the first restart of `pgd`. Wrong images are
attacked as well. Zero gradients as in `fgsm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ticketctl.metrics import _attack as at
from ticketctl.train.exam import Exam, Measurement

FACTS = {"data": "test", "cost": "2 forward and 1 backward pass over the test images"}
NEEDS = ("net", "test")
BETTER = {"fgsm-rs": "higher", "fgsm-rs.zero": "lower"}


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.fgsm-rs]`."""

    eps: float = 8 / 255
    """Radius of the ball, in (0, 1]."""
    size: float = 8 / 255
    """Of the step, in (0, 1]; the released code's is 8/255."""
    images: int = 0
    """Test images attacked, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        at.check("fgsm-rs", self.images, eps=self.eps, size=self.size)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about."""
    return 4 * min(params.images or sizes["test"], sizes["test"])


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`fgsm-rs` and `fgsm-rs.zero` in [0, 1]; which images the net is still right about."""
    places = at.chosen(exam, params.images)
    specimen, standing, zeros = exam.specimen, [], 0
    for numbers, target in at.batches(specimen, places, params.eps):
        start = at.start_of(target, exam.seeds, numbers, 0)
        found = at.fgsm(at.asked(specimen), target, start, params.size)
        standing.append(found.standing.cpu().numpy())
        zeros += found.zeros
    value, arrays = at.robust(np.concatenate(standing), places)
    zero = at.zero_share(specimen, "fgsm-rs", zeros, len(places), len(places))
    protocol = {"norm": "linf", "start": "uniform in the ball", "loss": "cross-entropy of the label"}
    return Measurement({"fgsm-rs": value, "fgsm-rs.zero": zero}, protocol, arrays)
