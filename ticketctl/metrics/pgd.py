"""Accuracy under projected gradient descent: 20 steps of 2/255 in the ball of radius 8/255.

From a uniform point of the ball, x <- clip to the ball and [0, 1] of x + size * sign(gradient of the cross-entropy)
(Madry et al. 2018, section 2.1), `restarts` times; the true label, evaluation mode, pixels in [0, 1].

Choices: an image counts as robust if the net is right about everything that was tried: the image itself, FGSM's answer
to it, and every step of every restart. So accuracy >= PGD and, image by image, FGSM >= PGD. Only images that still
stand are attacked further. With `steps = 1`, `size` = `eps`, `start = false` the attack is FGSM. What is
drawn for an image depends on the seed, its number and the restart. `pgd.zero` is the share of gradients that were
exactly zero or not finite somewhere: those steps do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.metrics import _attack as at
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Exam, Measurement

FACTS = {"data": "test", "cost": "at most 21 forward and 20 backward passes a restart over the test images"}
NEEDS = ("net", "test")
ASKED = True
BETTER = {"pgd": "higher", "pgd.zero": "lower"}


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.pgd]`."""

    eps: float = 8 / 255
    """Radius of the ball, in (0, 1]."""
    size: float = 2 / 255
    """Of a step, in (0, 1]."""
    steps: int = 20
    """Of a restart, 1 or more."""
    restarts: int = 1
    """How often it begins anew, 1 or more."""
    start: bool = True
    """From a random point; false: from the image."""
    fgsm: bool = True
    """FGSM's answer is tried as well."""
    images: int = 0
    """Test images attacked, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        _check(self)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images if a fifth of them stand to the end, and the rest fall at once."""
    count = min(params.images or sizes["test"], sizes["test"])
    return count * (4 * params.fgsm + at.STAND * params.restarts * (3 * params.steps + 1))


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`pgd` and `pgd.zero` in [0, 1]; which images the net is still right about."""
    places, specimen = at.chosen(exam, params.images), exam.specimen
    known = torch.from_numpy(at.clean(exam, places)).to(specimen.device)
    found, done = [], 0
    for numbers, target in at.batches(specimen, places, params.eps):
        stands = known[done : done + len(target)]
        found.append(_attacked(at.asked(specimen), target, stands, params, exam.seeds, numbers))
        done += len(target)
    value, arrays = at.robust(np.concatenate([one.stands.cpu().numpy() for one in found]), places)
    tally = (sum(one.zeros for one in found), sum(one.gradients for one in found))
    zero = at.zero_share(specimen, "pgd", *tally, len(places))
    protocol = {
        "norm": "linf",
        "loss": "cross-entropy of the label",
        "judged": "worst of the image and every step",
    }
    return Measurement({"pgd": value, "pgd.zero": zero}, protocol, arrays)


@dataclass
class _Tally:
    """Which images still stand, bool [N], and how many gradients were taken."""

    stands: Tensor
    gradients: int = 0
    zeros: int = 0

    def add(self, index: Tensor, found: at.Attacked) -> None:
        """What came of attacking the images at `index`."""
        self.stands[index] &= found.standing
        self.gradients, self.zeros = self.gradients + found.gradients, self.zeros + found.zeros


def _attacked(
    logits: at.Logits,
    target: at.Target,
    stands: Tensor,
    params: Params,
    seeds: Seeds,
    numbers: NDArray[np.int64],
) -> _Tally:
    """`stands` bool [N]: the net is right about the images as they are; `numbers` [N], which of the data they are."""
    tally = _Tally(stands.clone())
    if params.fgsm:  # on all of them, so that the answers are those of `fgsm` to the bit
        tally.add(torch.arange(len(target), device=stands.device), at.fgsm(logits, target))
    for turn in range(params.restarts):
        live = tally.stands.nonzero().flatten()
        if not len(live):
            break
        some = target.pick(live)
        start = at.start_of(some, seeds, numbers[live.cpu().numpy()], turn) if params.start else None
        tally.add(live, at.pgd(logits, some, size=params.size, steps=params.steps, start=start, early=True))
    return tally


def _check(params: Params) -> None:
    at.check("pgd", params.images, eps=params.eps, size=params.size)
    for key in ("steps", "restarts"):
        if getattr(params, key) < 1:
            raise UsageError(f"metrics.pgd.{key} = {getattr(params, key)} must be at least 1")
    if params.restarts > 1 and not params.start:
        raise UsageError(
            f"metrics.pgd.restarts = {params.restarts} from the same point are all the same; "
            "set start = true or restarts = 1"
        )
