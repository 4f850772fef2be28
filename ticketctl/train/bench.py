"""What a training is handed (a bench and an order), and where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from ticketctl.errors import StoppedError
from ticketctl.masks.mask import Mask
from ticketctl.progress import Reporter
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.device import Place
from ticketctl.train.evaluate import Exam
from ticketctl.train.feed import Feed
from ticketctl.train.hooks import Hooks
from ticketctl.train.state import State

if TYPE_CHECKING:
    from ticketctl.train.ranks import Ranks


@dataclass(frozen=True)
class Bench:
    """What all fits of one draw or spend share."""

    model: nn.Module
    feed: Feed
    exams: Mapping[str, Exam]
    """Evaluation sets by name: `val` (if any), `test`, and of wrong labels what `stages.setting` adds."""
    train: TrainSpec
    place: Place
    reporter: Reporter
    stop: Callable[[], int | None]
    """The exit code to leave with, once somebody asked to stop."""
    clock: Callable[[], float] = time.monotonic
    objective: bool = False
    """Whether a hook changes the loss: what is minimised is then measured beside the cross-entropy."""
    machines: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Buffers of the step by kind of training (`train.machine`), made once and used by every fit."""
    ranks: Ranks | None = field(default=None, compare=False, repr=False)
    """The processes that share the run, if it is not this one alone."""

    @property
    def devices(self) -> dict[str, int]:
        """How many devices share the work, for a record; nothing where it is one."""
        return {} if self.ranks is None else {"devices": self.ranks.size}

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
            *(("train.objective",) if self.objective else ()),
            "distance.masked",
            "distance.full",
        )

    def named(self, row: Sequence[float]) -> dict[str, float]:
        """A row of history by column."""
        return dict(zip(self.columns, row, strict=True))


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
    until: int | None = None
    """Step at which to stop; none: the end of the schedule."""
    hooks: tuple[Hooks, ...] = ()
    origin: State | None = None
    """What distances are measured from; none: the start."""

    @property
    def moves(self) -> bool:
        """Whether a hook changes the mask."""
        return any(hook.moves_mask for hook in self.hooks)


@dataclass
class Progress:
    """Where a training stands, apart from the net's own tensors."""

    step: int
    loss: float = 0.0
    """Cross-entropy, summed over the images of the current epoch."""
    objective: float = 0.0
    """Likewise, of what was minimised."""
    seen: int = 0
    """Images presented in the current epoch."""
    rows: list[list[float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_accuracy: float = -1.0
    ended: bool = False
    """A hook ended the training before its schedule did."""
    remarks: dict[str, None] = field(default_factory=dict)
    """What hooks said that changes how the result is to be read: a set in the order in which it was said."""

    @classmethod
    def of(cls, notes: Mapping[str, Any], rows: list[list[float]]) -> Progress:
        """From what `notes` gave, and the history."""
        best = float.fromhex(notes["best_accuracy"])
        loss, objective = float.fromhex(notes["loss"]), float.fromhex(notes["objective"])
        return cls(
            notes["step"], loss, objective, notes["seen"], rows, notes["best_epoch"], best, notes["ended"],
            dict.fromkeys(notes.get("remarks", ())),
        )  # fmt: skip

    def notes(self) -> dict[str, Any]:
        """For a checkpoint; floats travel as text, exactly."""
        return {
            "step": self.step,
            "loss": self.loss.hex(),
            "objective": self.objective.hex(),
            "seen": self.seen,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy.hex(),
            "ended": self.ended,
            **self.remarked,
        }

    @property
    def remarked(self) -> dict[str, list[str]]:
        """The remarks for a checkpoint or a record, if there are any."""
        return {"remarks": list(self.remarks)} if self.remarks else {}


def poll(stop: Callable[[], int | None]) -> None:
    """Leave, if somebody asked to stop.

    Raises:
        StoppedError: somebody did.
    """
    code = stop()
    if code is not None:
        raise StoppedError("stopped; everything so far is kept, and the same command goes on from here", code)
