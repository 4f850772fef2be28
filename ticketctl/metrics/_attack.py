"""Attacks in the L-infinity ball around pixels in [0, 1], on nets that answer each image by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.metrics._room import gradient_batch
from ticketctl.metrics._softmax import right
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Exam, Value
from ticketctl.train.specimen import Specimen

Logits = Callable[[Tensor], Tensor]
"""Pixels float32 [N, C, H, W] in [0, 1] to logits [N, K], differentiable, the normalisation inside."""

MANY_ZEROS = 0.05
"""Share of zero gradients from which on an attack by gradients is to be doubted."""
STAND = 0.2
"""Share of images that prices take to stand to the end: few do of an ordinary net, most of a robust one."""


@dataclass(frozen=True)
class Target:
    """Images to attack, their labels int64 [N], and how far each pixel may move, in (0, 1]."""

    pixels: Tensor
    labels: Tensor
    eps: float

    def __post_init__(self) -> None:
        """Refuse what is no image: pixels beyond [0, 1] or not finite, another shape."""
        if self.pixels.ndim != 4 or len(self.pixels) != len(self.labels):
            raise ValueError(
                f"{len(self.labels)} labels and pixels {list(self.pixels.shape)}; want [N, C, H, W]"
            )
        if not bool(((self.pixels >= 0) & (self.pixels <= 1)).all()):
            raise ValueError("pixels must be numbers in [0, 1]")

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, index: Tensor) -> Target:
        """Those at `index`."""
        return Target(self.pixels[index], self.labels[index], self.eps)

    def within(self, tried: Tensor) -> Tensor:
        """`tried` [N, C, H, W] brought into the ball and into [0, 1]."""
        return tried.clamp(self.pixels - self.eps, self.pixels + self.eps).clamp(0, 1)


@dataclass(frozen=True)
class Attacked:
    """What came of an attack."""

    pixels: Tensor
    """[N, C, H, W], one in the ball of each image."""
    standing: Tensor
    """Bool [N], on the device: the net is right about them."""
    gradients: int
    """How many were taken, one for each image and step."""
    zeros: int
    """How many of them were exactly zero everywhere, or not finite somewhere: they say no direction."""


def hit(said: Tensor, labels: Tensor) -> Tensor:
    """Which answers are the label, bool [N]; of equal logits the first counts, and logits not finite are wrong."""
    found = torch.from_numpy(right(said.float().cpu().numpy(), labels.cpu().numpy())).to(labels.device)
    return found & said.isfinite().all(dim=1)


def uphill(logits: Logits, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each image's cross-entropy grows.

    Returns:
        The sign of its gradient by the pixels, [N, C, H, W] of -1, 0, 1; bool [N] where it is zero everywhere; the
        logits. A gradient that is not finite somewhere counts as zero. The loss is summed, not averaged: no image's
        gradient depends on how many others there are.
    """
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad():
        said = logits(pixels)
        loss = nn.functional.cross_entropy(said, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, pixels)
    finite = gradient.isfinite().flatten(1).all(dim=1)
    sign = torch.where(finite[:, None, None, None], gradient, 0).sign()
    return sign, (sign == 0).flatten(1).all(dim=1), said.detach()


def fgsm(logits: Logits, target: Target, start: Tensor | None = None, size: float | None = None) -> Attacked:
    """The fast gradient sign method, x' = clip(x + eps * sign(gradient), 0, 1) (Goodfellow et al. 2015, section 4).

    Args:
        logits: of the net.
        target: what is attacked.
        start: pixels [N, C, H, W] in the ball to step from; None: the images themselves.
        size: of the step; None: `target.eps`. The result is clipped to the ball.
    """
    return pgd(logits, target, size=target.eps if size is None else size, steps=1, start=start)


def pgd(
    logits: Logits,
    target: Target,
    *,
    size: float,
    steps: int,
    start: Tensor | None = None,
    early: bool = False,
) -> Attacked:
    """Projected gradient descent in the ball (Madry et al. 2018, section 2.1).

    Args:
        logits: of the net.
        target: what is attacked.
        size: of a step, in pixels of [0, 1].
        steps: how many.
        start: pixels [N, C, H, W] in the ball; None: the images themselves.
        early: leave an image as soon as the net is wrong about it; else the last step is judged, whatever came before.
    """
    at = target.within(target.pixels if start is None else start)
    live = torch.arange(len(target), device=at.device)
    gradients = zeros = 0
    for _ in range(steps):
        sign, zero, said = uphill(logits, at[live], target.labels[live])
        if early:
            on = hit(said, target.labels[live])
            live, sign, zero = live[on], sign[on], zero[on]
        if not len(live):
            break
        gradients, zeros = gradients + len(live), zeros + int(zero.sum())
        at[live] = target.pick(live).within(at[live] + size * sign)
    standing = torch.zeros(len(target), dtype=torch.bool, device=at.device)
    if len(live):
        with torch.no_grad():
            standing[live] = hit(logits(at[live]), target.labels[live])
    return Attacked(at, standing, gradients, zeros)


def start_of(target: Target, seeds: Seeds, numbers: NDArray[np.int64], turn: int) -> Tensor:
    """A point of each image's ball, uniform and then clipped to [0, 1]; float32 [N, C, H, W].

    Args:
        target: the images.
        seeds: what is drawn for an image depends on the root seed, its number and `turn`, on nothing else.
        numbers: int64 [N], which images of the data these are.
        turn: 0, 1, ... for one start after another.
    """
    count = prod(target.pixels.shape[1:])
    words = np.stack([seeds.raw("attack", "start", turn, int(number), count=count) for number in numbers])
    unit = (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - 1  # exact: 24 bits
    moved = torch.from_numpy(unit).to(target.pixels.device).view(target.pixels.shape)
    return target.within(target.pixels + target.eps * moved)


def chosen(exam: Exam, images: int) -> NDArray[np.int64]:
    """Places of the test images that are attacked, int64 [n], ascending: all for 0, else so many, by every attack.

    They are drawn, for the first of a set may be easier or of one class; more contain fewer, and a subset of the set
    keeps what was drawn of the whole as far as it has it (see `Specimen.drawn`).
    """
    return exam.specimen.drawn("test", images, exam.seeds, "attack")


def check(metric: str, images: int, **distances: float) -> None:
    """Refuse keys out of their range.

    Args:
        metric: whose keys they are.
        images: to be attacked.
        distances: between pixels in [0, 1], by key.

    Raises:
        UsageError: fewer than 0 images, a distance not in (0, 1].
    """
    if images < 0:
        raise UsageError(
            f"metrics.{metric}.images = {images} must be 0, for all, or how many test images to attack"
        )
    for key, value in distances.items():
        if not 0 < value <= 1:
            raise UsageError(
                f"metrics.{metric}.{key} = {value} must be above 0 and at most 1, of pixels from 0 to 1; "
                "8/255 is 0.0314"
            )


def batches(
    specimen: Specimen, places: NDArray[np.int64], eps: float
) -> Iterator[tuple[NDArray[np.int64], Target]]:
    """The test images at `places` [n], in order and in batches that have room, and their numbers in the data."""
    test, size = specimen.images["test"], gradient_batch(specimen, "test")
    for start in range(0, len(places), size):
        part = places[start : start + size]
        index = torch.from_numpy(part).to(specimen.device)
        yield specimen.numbers("test", part), Target(test.take(index).float() / 255, test.labels[index], eps)


def asked(specimen: Specimen) -> Logits:
    """The net, which on the way looks whether somebody asked to stop."""

    def logits(pixels: Tensor) -> Tensor:
        specimen.poll()
        return specimen.logits(pixels)

    return logits


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it no weight takes part in a gradient, so that none is left one."""
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        for weight, _ in flags:
            weight.requires_grad_(False)
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)


def clean(exam: Exam, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these test images the net is right about as they are, bool [n]: what `accuracy` counts."""
    seen = exam.answers("test")
    return right(seen.logits, seen.labels)[places]


def zero_share(specimen: Specimen, metric: str, zeros: int, gradients: int, images: int) -> Value:
    """The share of zero gradients, remarked on if large; with a standard error if there is one for each image."""
    share = zeros / gradients if gradients else 0.0
    if share > MANY_ZEROS:
        specimen.reporter.remark(
            f"{metric}: {share:.0%} of the gradients are zero or not finite: the net is saturated or hides its "
            "gradients, and is less robust than it looks"
        )
    error = sqrt(share * (1 - share) / (images - 1)) if gradients == images > 1 else None
    return Value(share, error, images)


def robust(
    standing: NDArray[np.bool_], places: NDArray[np.int64]
) -> tuple[Value, dict[str, NDArray[np.generic]]]:
    """The share that stands with its standard error, and the arrays behind it: `right` uint8 [n], `place` int64 [n]."""
    return Value.mean(standing), {"right": standing.astype(np.uint8), "place": places}
