"""Something measured along a training, every so many epochs. What it is, the engine does not know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

PREFIX = "metrics."
EPOCHS = f"{PREFIX}epoch"

Measure = Callable[[Course], Mapping[str, float]]
"""Numbers by name, of the net as it is now; it leaves no trace in net and course, and may ask `poll`."""


class Watch(Hooks):
    """Writes down what `measure` finds: before training, after each epoch that is a multiple of `spacing`, and after
    the last of the schedule.

    Names may have letters, digits, `_` and `.`; other signs become `_`. A number that is not finite, or that is not
    there in some epoch, is NaN.
    """

    def __init__(self, measure: Measure, spacing: int, identity: Mapping[str, Any]) -> None:
        """`spacing`: whole epochs, 1 or more. `identity`: what the numbers are a function of beside the training."""
        self.measure, self.spacing, self.about = measure, spacing, dict(identity)
        self.epochs: list[int] = []
        self.found: list[dict[str, float]] = []

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"keep": "metrics", "every": self.spacing, **self.about}

    def start(self, loop: Course) -> None:
        """What is measured first is the net before training."""
        if not loop.begun and not self.epochs:
            self._note(loop)

    def epoch(self, loop: Course) -> bool:
        """A measurement, where one is due."""
        if loop.epochs_done % self.spacing == 0 or loop.step >= loop.end:
            self._note(loop)
        return False

    def state(self) -> dict[str, Tensor]:
        """`metrics.epoch` int64 [M], whole epochs of the schedule that were done, and `metrics.<name>` float64 [M]."""
        names = sorted({name for found in self.found for name in found})
        values = {name: [found.get(name, nan) for found in self.found] for name in names}
        kept = {f"{PREFIX}{name}": torch.tensor(row, dtype=torch.float64) for name, row in values.items()}
        return {EPOCHS: torch.tensor(self.epochs, dtype=torch.int64), **kept}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.epochs = tensors[EPOCHS].tolist()
        rows = {name.removeprefix(PREFIX): row.tolist() for name, row in tensors.items() if name != EPOCHS}
        self.found = [{name: row[at] for name, row in rows.items()} for at in range(len(self.epochs))]

    def _note(self, loop: Course) -> None:
        found = _written(self.measure(loop))
        self.epochs.append(loop.epochs_done)
        self.found.append(found)


def _written(values: Mapping[str, float]) -> dict[str, float]:
    """By the names that tensors may have.

    Raises:
        UsageError: two would have one name.
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        plain = re.sub(r"[^A-Za-z0-9_.]", "_", name)
        if plain in found or f"{PREFIX}{plain}" == EPOCHS:
            raise UsageError(
                f"keep.metrics: {name} would be kept as {PREFIX}{plain}, which is another's place; leave one out"
            )
        found[plain] = float(value) if isfinite(value) else nan
    return found
