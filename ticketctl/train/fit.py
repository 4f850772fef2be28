"""A finished training, and the id that names it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ticketctl.masks.mask import Mask
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import pack_tensors
from ticketctl.train.bench import Order
from ticketctl.train.fitfiles import FitFiles, moved_mask, of_hook
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
    train: TrainSpec
    """The course that was taken."""

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

    def mask_at_end(self) -> Mask:
        """The mask after the last step, of a training whose hooks moved it."""
        assert self.order.mask is not None
        return moved_mask(self.tensors, self.order.mask) if self.order.moves else self.order.mask

    def hook(self, number: int) -> dict[str, torch.Tensor]:
        """What hook `number` held at the end."""
        return of_hook(self.tensors, number)

    def state(self, step: int) -> State:
        """Weights after `step`, one of the steps that were to be kept."""
        return self.files.read_state(self.files.state(step), step)

    def metrics(self) -> dict[str, float]:
        """The last row of history, and the row of the best validation epoch as `best_val.…`, without the steps.

        Of a training with wrong labels also `oracle.test.accuracy`, the best of any epoch after the start: it is
        chosen on the test images, so it says what stopping in time could have gained, not what anyone would get.
        """
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.history.tolist()]
        best = [row for row in rows if row["epoch"] == self.notes["best_epoch"]]
        found = {f"best_val.{name}": value for name, value in (best[0] if best else {}).items()}
        left_out = ("epoch", "step", "lr", "best_val.step", "best_val.lr")
        both = {**rows[-1], **found, **self._oracle()}
        return {name: value for name, value in both.items() if name not in left_out and not math.isnan(value)}

    def _oracle(self) -> dict[str, float]:
        if "permuted.accuracy" not in self.columns:
            return {}
        after = self.history[1:, self.columns.index("test.accuracy")]
        measured = after[~after.isnan()]
        return {"oracle.test.accuracy": float(measured.max())} if len(measured) > 1 else {}


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
