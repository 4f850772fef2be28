"""Accuracy and loss in float32, eval mode, fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ticketctl.train.feed import Images

if TYPE_CHECKING:
    from ticketctl.train.ranks import Ranks

BATCH = 500
"""Images per evaluation batch; it belongs to the bits of the loss."""


Poll = Callable[[], None]
"""Called between batches; may raise to stop."""

Forward = Callable[[Tensor], Tensor]
"""Runs the net where that is not simply `model(inputs)`."""


@dataclass(frozen=True)
class Part:
    """Some images of another evaluation set, scored against labels of their own at no further forward pass.

    `rows` int64 [n], ascending, are their places in that set; `labels` int64 [n].
    """

    of: Images
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


Exam = Images | Part


def evaluate(
    model: nn.Module, images: Images, poll: Poll = lambda: None, forward: Forward | None = None
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in [0, 1]."""
    loss, right = answers(model, images, poll, forward)
    return loss, int(right.sum()) / len(images)


def answers(
    model: nn.Module, images: Images, poll: Poll = lambda: None, forward: Forward | None = None
) -> tuple[float, Tensor]:
    """Mean cross-entropy, and which images are right: bool [N] on the device. See `evaluate`."""
    tally = _tallied(model, images, [Part(images, _every(images), images.labels)], poll, forward)[0]
    return tally.loss / len(images), tally.right


def examine(
    model: nn.Module,
    exams: Mapping[str, Exam],
    poll: Poll = lambda: None,
    forward: Forward | None = None,
    ranks: Ranks | None = None,
) -> list[float]:
    """Mean cross-entropy and accuracy of each set, one after the other: [2 * len(exams)]; NaN of one without images.

    Sets that are part of the same images are scored in one pass over these. `ranks` take the batches in turn; the bits
    are those of one process.
    """
    found: dict[str, _Tally] = {}
    for images in _passes(exams):
        parts = {name: _as_part(exam) for name, exam in exams.items() if _images(exam) is images}
        found |= zip(parts, _tallied(model, images, [*parts.values()], poll, forward, ranks), strict=True)
    return [value for name in exams for value in found[name].means()]


def _passes(exams: Mapping[str, Exam]) -> list[Images]:
    """The images that a set of exams runs through the net, each once."""
    return list(dict.fromkeys(_images(exam) for exam in exams.values()))


def passed(exams: Mapping[str, Exam]) -> int:
    """Forward passes of single images that `examine` takes."""
    return sum(len(images) for images in _passes(exams))


def _images(exam: Exam) -> Images:
    return exam.of if isinstance(exam, Part) else exam


def _as_part(exam: Exam) -> Part:
    return exam if isinstance(exam, Part) else Part(exam, _every(exam), exam.labels)


def _every(images: Images) -> Tensor:
    return torch.arange(len(images), device=images.labels.device)


@dataclass
class _Tally:
    """Sums of the losses of a part, and which of its images are right."""

    part: Part
    bounds: list[int]
    """Of its rows, where each batch begins."""
    losses: list[float | Tensor]
    """Of each batch; on a GPU they stay there until they are added up."""
    right: Tensor

    @classmethod
    def of(cls, part: Part) -> _Tally:
        starts = torch.arange(0, len(part.of) + BATCH, BATCH, device=part.rows.device)
        right = torch.zeros(len(part), dtype=torch.bool, device=part.labels.device)
        bounds = torch.searchsorted(part.rows, starts).tolist()
        return cls(part, bounds, [0.0] * (len(bounds) - 1), right)

    @property
    def loss(self) -> float:
        """Of all batches, in their order: the sum of floats is not that of another order."""
        total = 0.0
        for each in self.losses:
            total += float(each)
        return total

    def add(self, number: int, logits: Tensor) -> None:
        """What the net said to batch `number` of the images, all of it."""
        first, last = self.bounds[number : number + 2]
        if first == last:
            return
        if last - first < len(logits):
            logits = logits[self.part.rows[first:last] - number * BATCH]
        labels = self.part.labels[first:last]
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        self.losses[number] = loss if loss.is_cuda else float(loss)
        self.right[first:last] = logits.argmax(1) == labels

    def gather(self, ranks: Ranks) -> None:
        """What each rank has found of the batches that it took; the others are 0 there."""
        device = self.right.device
        mine = [float(each) for each in self.losses]
        self.losses = ranks.sum_(torch.tensor(mine, dtype=torch.float64, device=device)).tolist()
        self.right = ranks.sum_(self.right.to(torch.int32)).bool()

    def means(self) -> tuple[float, float]:
        count = len(self.part)
        return (self.loss / count, int(self.right.sum()) / count) if count else (math.nan, math.nan)


def _tallied(
    model: nn.Module,
    images: Images,
    parts: list[Part],
    poll: Poll,
    forward: Forward | None,
    ranks: Ranks | None = None,
) -> list[_Tally]:
    mine, turns = (0, 1) if ranks is None else (ranks.rank, ranks.size)
    was_training = model.training
    model.eval()
    tallies = [_Tally.of(part) for part in parts]
    try:
        with torch.no_grad():
            for number, start in enumerate(range(0, len(images), BATCH)):
                if number % turns == 0:
                    poll()
                if number % turns != mine:
                    continue
                logits = (forward or model)(images.batch(start, start + BATCH)[0]).float()
                for tally in tallies:
                    tally.add(number, logits)
    finally:
        model.train(was_training)
    if ranks is not None:
        for tally in tallies:
            tally.gather(ranks)
    return tallies
