"""What a draw method is handed: a way to train, and everything a training starts from.

A draw is a generator that is simply run again after an interruption: `fit` answers from disk for every training that
was finished, goes on in the middle of the one that was not, and the calls before it cost no time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import pack_tensors
from ticketctl.train.bench import Bench, Order
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.loop import Loop
from ticketctl.train.state import State, to_tensor


@dataclass(frozen=True)
class Fit:
    """A finished training; weights are read from disk when they are asked for."""

    files: FitFiles
    key: str
    order: Order
    columns: tuple[str, ...]
    notes: Mapping[str, Any]
    history: torch.Tensor
    """Float64 [E, C]: one row before training and one per epoch; NaN where nothing was measured."""
    tensors: Mapping[str, torch.Tensor]

    @property
    def diverged(self) -> bool:
        """Whether the loss left the finite numbers."""
        return bool(self.notes["status"] == "diverged")

    @property
    def why_diverged(self) -> str:
        """One line on a training that diverged."""
        step = self.notes["step"]
        if self.notes.get("cause") == "weights":
            return (
                f"weights or statistics are not finite after step {step}; those from before training are kept"
            )
        return f"the loss is not finite after step {step}; the last finite weights are kept"

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return int(self.notes["steps"])

    def end(self) -> State:
        """Weights after the last step."""
        return self.files.read_state(self.files.final, int(self.notes["step"]))

    def state(self, step: int) -> State:
        """Weights after `step`, one of the steps that were to be kept."""
        return self.files.read_state(self.files.state(step), step)

    def metrics(self) -> dict[str, float]:
        """The last row of history, and the row of the best validation epoch as `best_val.…`, without the steps."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.history.tolist()]
        best = [row for row in rows if row["epoch"] == self.notes["best_epoch"]]
        found = {f"best_val.{name}": value for name, value in (best[0] if best else {}).items()}
        left_out = ("epoch", "step", "lr", "best_val.step", "best_val.lr")
        both = {**rows[-1], **found}
        return {name: value for name, value in both.items() if name not in left_out and not math.isnan(value)}


@dataclass(frozen=True)
class Level:
    """One level of a ladder: its mask, the weights it starts from, and its training (None if it has none)."""

    mask: Mask
    start: State
    fit: Fit | None


@dataclass(frozen=True)
class Target:
    """How far to prune: to a density, or by a number of the method's rounds; one of the two."""

    density: Fraction | None = None
    rounds: int | None = None


@dataclass
class Lab:
    """Trainings by call order, in numbered folders below `folder`."""

    bench: Bench
    seeds: Seeds
    initial: State
    """Weights at initialisation."""
    shapes: Mapping[str, torch.Size]
    """The prunable parameters, in flat order."""
    rewind: int
    """Step whose weights the levels start from."""
    restart: bool
    """After a rewind, run the whole schedule again."""
    keep: tuple[int, ...]
    """Steps at which every training keeps its weights."""
    identity: Mapping[str, Any]
    """What every training here is a function of, besides its own arguments."""
    folder: Path
    head: str | None = None
    """The output layer's weight."""
    calls: int = field(default=0)

    def full(self) -> Mask:
        """The mask that keeps everything."""
        return Mask.full(self.shapes)

    def fit(self, start: State, mask: Mask | None, *, keep: tuple[int, ...] = (), title: str = "") -> Fit:
        """Train from `start` under `mask` to the end of the recipe.

        Raises:
            DivergedError: the loss left the finite numbers; the finite weights before it are kept.
            StoppedError: asked to stop; the same calls go on from here.
        """
        files = FitFiles(self.folder / f"{self.calls:03d}")
        self.calls += 1
        fit = self.fit_in(files, start, mask, keep=keep, title=title or f"training {self.calls}")
        if fit.diverged:
            advice = f"try a lower rate, e.g. --set train.lr={self.bench.train.lr / 10:g}"
            raise DivergedError(f"{title}: {fit.why_diverged} ({files.final}); {advice}")
        return fit

    def fit_in(
        self, files: FitFiles, start: State, mask: Mask | None, *, keep: tuple[int, ...], title: str
    ) -> Fit:
        """As `fit`, in a folder of the caller's; a training that diverged is returned, flagged."""
        steps = tuple(sorted({*self.keep, *keep}))
        mask = mask if mask is not None and mask.kept < mask.size else None  # nothing to hold at zero
        key = training_id(self.identity, self.seeds, start, mask)
        order = Order(start, mask, self.seeds, steps, key, title)
        found = files.read_record(key)
        if found is None:
            Loop(self.bench, order, files).run()
            found = files.read_record(key)
        else:
            epochs = self.bench.train.epochs
            self.bench.reporter.phase(title, epochs, epochs)
        assert found is not None
        notes, tensors = found
        return Fit(files, key, order, self.bench.columns, notes, tensors["history"], tensors)

    def rewound(self, dense: Fit) -> State:
        """The state that every level starts from, on the schedule where the recipe wants it."""
        state = dense.state(self.rewind) if self.rewind else self.initial
        return State(state.weights, 0 if self.restart else self.rewind)


def training_id(identity: Mapping[str, Any], seeds: Seeds, start: State, mask: Mask | None) -> str:
    """Names the training by all that its bits are a function of on one machine: 64 hex digits.

    A mask that keeps everything is the same as none.
    """
    mask = mask if mask is not None and mask.kept < mask.size else None
    streams = {stream: seeds.of(stream) for stream in ("order", "augment", "split")}
    arrays = mask.to_arrays() if mask is not None else {}
    bits = {name: to_tensor(torch.from_numpy(array)) for name, array in arrays.items()}
    parts = {
        "engine": "fit.v1",
        **identity,
        "seeds": streams,
        "start": {"step": start.step, "weights": hashlib.sha256(pack_tensors(start.tensors())).hexdigest()},
        "mask": hashlib.sha256(pack_tensors(bits)).hexdigest() if bits else None,
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()
