"""Accuracy under AutoAttack's standard version: APGD-CE, targeted APGD, targeted FAB and Square, one after another.

Croce and Hein (2020, section 4), in the ball of radius 8/255, by the package pyautoattack, which its authors made: 100
steps of APGD on the cross-entropy; 100 on the targeted DLR loss and 100 of FAB for each of 9 other classes; 5,000
queries of Square, which takes no gradient. Each attack sees only the images that withstood those before it.
`autoattack.apgd-ce` and the like are the accuracies after each, `autoattack` that after all.

Choices: needs the extra `attack`. 1,000 test images by default: a robust net takes thousands of passes an image. A
net of fewer than 10 classes is driven to each class that there is; below 4 the loss is not defined, and the metric
absent. What the package finds is judged by ourselves: in the ball, in [0, 1], and the net is wrong. It seeds torch's
generator of the whole process: that is given back as it was, and the seed depends on ours, the attack, and the number
of the first image of a batch. So values depend a little on which images are attacked together: up to 500, on a CPU up
to 50, and fewer where the net is large.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.metrics import _attack as at
from ticketctl.nets.torch_wide import borrowed_generators
from ticketctl.train.exam import Absent, Exam, Measurement, Value

FACTS = {
    "data": "test",
    "cost": "up to 11,600 passes for each image that withstands; about 300 for one that falls",
}
NEEDS = ("net", "test")
ASKED = True
BETTER = {"autoattack": "higher"}
EXTRA = "attack"
IMPORTS = ("pyautoattack",)

ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")
FEWEST = 4
"""Classes that the targeted DLR loss takes: its divisor is of the third and fourth largest logit."""
ROUNDING = 1e-6
"""By how much a pixel may leave the ball in float32."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.autoattack]`."""

    eps: float = 8 / 255
    """Radius of the ball, in (0, 1]."""
    images: int = 1000
    """Test images attacked, drawn by the seed; 0: all."""

    def __post_init__(self) -> None:
        at.check("autoattack", self.images, eps=self.eps)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images if a fifth of them stand to the end, and the rest fall to the first attack."""
    return (300 + at.STAND * 11_300) * min(params.images or sizes["test"], sizes["test"])


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`autoattack` and the accuracy after each attack, in [0, 1]; which images the net is still right about.

    `felled` uint8 [n] says by what: 0 nothing, 1 wrong as it is, 2 to 5 by the first to the fourth attack.

    Raises:
        Absent: the net has fewer than 4 classes.
    """
    specimen, places = exam.specimen, at.chosen(exam, params.images)
    if specimen.classes < FEWEST:
        raise Absent(f"its targeted loss takes {FEWEST} classes or more, and the net has {specimen.classes}")
    logits, known = at.asked(specimen), torch.from_numpy(at.clean(exam, places)).to(specimen.device)
    felled, done = [], 0
    with _as_found(), at.frozen(specimen.model):
        attack = _package(logits, params.eps, specimen.device, specimen.classes)
        for numbers, target in at.batches(specimen, places, params.eps):
            seeds = [
                int(exam.seeds.raw("attack", name, int(numbers[0]), count=1)[0] >> 33) for name in ATTACKS
            ]
            felled.append(_felled(attack, logits, target, known[done : done + len(target)], seeds))
            done += len(target)
    return _measurement(np.concatenate([part.cpu().numpy() for part in felled]), places, specimen.classes)


def _measurement(felled: NDArray[np.uint8], places: NDArray[np.int64], classes: int) -> Measurement:
    from importlib.metadata import version

    value, arrays = at.robust(felled == 0, places)
    after = {
        f"autoattack.{name}": Value.mean((felled == 0) | (felled > 2 + turn))
        for turn, name in enumerate(ATTACKS)
    }
    protocol = {
        "norm": "linf", "version": "standard", "package": f"pyautoattack {version('pyautoattack')}",
        "targets": min(9, classes - 1), "attacks": list(ATTACKS),
    }  # fmt: skip
    return Measurement({"autoattack": value, **after}, protocol, {**arrays, "felled": felled})


def _package(logits: at.Logits, eps: float, device: torch.device, classes: int) -> Any:
    """The package's standard version, which tells nobody anything."""
    from pyautoattack import AutoAttack

    attack = AutoAttack(logits, eps=eps, norm="Linf", version="standard", device=device, seed=0)
    assert tuple(attack.attacks_to_run) == ATTACKS
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
    attack.logger = attack.apgd.logger = attack.apgd_targeted.logger = logging.Logger(
        "silent", logging.CRITICAL + 1
    )
    return attack


def _felled(attack: Any, logits: at.Logits, target: at.Target, right: Tensor, seeds: list[int]) -> Tensor:
    """By what each image was felled, uint8 [N]; see `measure`. `right` bool [N]: the net is, about it as it is."""
    felled = (~right).to(torch.uint8)
    for turn, name in enumerate(ATTACKS):
        live = (felled == 0).nonzero().flatten()
        if not len(live):
            break
        some = target.pick(live)
        attack.attacks_to_run, attack.seed = [name], seeds[turn]
        tried, _ = attack.run_standard_evaluation(some.pixels, some.labels, batch_size=len(some))
        felled[live[_wrong(logits, some, tried)]] = 2 + turn
    return felled


def _wrong(logits: at.Logits, target: at.Target, tried: Tensor) -> Tensor:
    """Which of `tried` [N, C, H, W] are attacks that succeed, bool [N]."""
    allowed = ((tried - target.within(tried)).abs() <= ROUNDING).flatten(1).all(dim=1)
    with torch.no_grad():
        return allowed & ~at.hit(logits(tried), target.labels)


@contextmanager
def _as_found() -> Iterator[None]:
    """The package seeds torch's generators and ends tracing; both are given back."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    trace = sys.gettrace()
    try:
        with borrowed_generators(devices):
            yield
    finally:
        sys.settrace(trace)
