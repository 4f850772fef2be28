"""What a metric is handed, and what it answers. Nothing here imports torch: answers are judged anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.seeds import Seeds

if TYPE_CHECKING:
    from ticketctl.train.specimen import Specimen

RESAMPLINGS = 200
"""Bootstrap samples behind the standard error of what is no mean."""


class Absent(Exception):  # noqa: N818  # nothing went wrong
    """A metric raises it where it has nothing to measure: it is then in the report without a value.

    Its text is the reason, one line: "no --set metrics.compositional.folder=DIR was given".
    """


@dataclass(frozen=True)
class Answers:
    """What a net said to some images: logits float32 [N, K], the images' labels int64 [N]."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64] | None = None
    """int64 [k], ascending: the logits that count, and test images of these classes alone; None: all."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Value:
    """One number, its standard error (None: it has none), and over how many examples or samples it was taken."""

    value: float
    error: float | None
    n: int

    @classmethod
    def mean(cls, values: NDArray[Any]) -> Value:
        """The mean of [N] values of single examples, and its standard error (none of a single one)."""
        found = np.asarray(values, dtype=np.float64)
        error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None
        return cls(float(found.mean()), error, len(found))


@dataclass(frozen=True)
class Measurement:
    """What a metric found, and how."""

    values: Mapping[str, Value]
    """By name; the first is the metric itself."""
    protocol: Mapping[str, Any]
    """What was settled that is no key: plain JSON."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What is behind the values, to draw or to judge them: curves, rows, samples."""


@dataclass(frozen=True)
class History:
    """What was kept along a net's training."""

    rows: Mapping[str, NDArray[np.float64]]
    """Columns of the series, [E] each: `epoch` (0: before training), `val.accuracy` …; NaN where not measured."""
    epochs: tuple[int, ...]
    """Those after which the weights were kept, ascending."""
    weights: Callable[[int], Mapping[str, Any]]
    """The whole state_dict after one of these epochs: float32 torch tensors by name, on the CPU."""
    correct: NDArray[np.bool_] | None = None
    """[T, N]: whether each training image was answered right when epoch 1 .. T presented it; None: not recorded."""
    pruned: NDArray[np.bool_] | None = None
    """[T, N]: whether a copy with the final mask's number of largest weights answered each plain training image right
    after epoch 1 .. T of the training that the mask was taken from (`art`), by the labels trained on; None: the draw
    wrote down no such thing, or this is no training of the draw's own."""


@dataclass(frozen=True)
class Exam:
    """A trained net under audit."""

    answers: Callable[[str], Answers]
    """To the images of `train`, `val`, `test`, `ood/NAME` …, stored where they were asked before."""
    sets: Sequence[str]
    """The names that `answers` knows."""
    seeds: Seeds
    net: Specimen | None = None
    """The net itself and its images, for metrics that need more than answers; those have "net" among their `NEEDS`."""
    poll: Callable[[], None] = lambda: None
    """To be called at least once a second of work: it raises where somebody asked to stop."""
    history: History | None = None
    """For metrics that have "history" among their `NEEDS`; None: the net was not trained."""

    @property
    def specimen(self) -> Specimen:
        """The net, for metrics that need it."""
        assert self.net is not None, "a metric that takes the net says so in NEEDS"
        return self.net

    def resampled(self, measure: Callable[[NDArray[np.float64]], float], count: int, name: str) -> float:
        """The bootstrap's standard error of a number that is no mean.

        Args:
            measure: of weights [count], how often each example counts.
            count: examples.
            name: tells the numbers of one metric from those of another.
        """
        found = []
        for turn in range(RESAMPLINGS):
            self.poll()
            drawn = self.seeds.raw("resample", name, turn, count=count) % np.uint64(count)
            found.append(measure(np.bincount(drawn.astype(np.int64), minlength=count).astype(np.float64)))
        return float(np.std(found, ddof=1))
