"""What a training is handed (a bench and an order), and where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ticketctl.masks.mask import Mask
from ticketctl.progress import Reporter
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.device import Place
from ticketctl.train.feed import Feed, Images
from ticketctl.train.state import State


@dataclass(frozen=True)
class Bench:
    """What all fits of one draw or spend share."""

    model: nn.Module
    feed: Feed
    exams: Mapping[str, Images]
    """Evaluation sets by name: `val` (if any) and `test`."""
    train: TrainSpec
    place: Place
    reporter: Reporter
    stop: Callable[[], int | None]
    """The exit code to leave with, once somebody asked to stop."""
    clock: Callable[[], float] = time.monotonic

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values of one row of history."""
        exams = tuple(f"{name}.{value}" for name in self.exams for value in ("loss", "accuracy"))
        return (
            "epoch",
            "step",
            "lr",
            "train.loss",
            "train.accuracy",
            *exams,
            "distance.masked",
            "distance.full",
        )


@dataclass(frozen=True)
class Order:
    """One training to do."""

    start: State
    mask: Mask | None
    seeds: Seeds
    keep: tuple[int, ...]
    """Steps at which the weights are kept."""
    key: str
    """Names this training; a checkpoint of another is refused."""
    title: str


@dataclass
class Progress:
    """Where a training stands, apart from the net's own tensors."""

    step: int
    loss: float = 0.0
    """Sum over the images of the current epoch."""
    seen: int = 0
    """Images presented in the current epoch."""
    rows: list[list[float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_accuracy: float = -1.0

    def notes(self) -> dict[str, Any]:
        """For a checkpoint; floats travel as text, exactly."""
        return {
            "step": self.step,
            "loss": self.loss.hex(),
            "seen": self.seen,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy.hex(),
        }
