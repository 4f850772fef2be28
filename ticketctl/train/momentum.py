"""Hand what one training's optimizer knew at its end to another at its start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ticketctl.masks.mask import Mask
from ticketctl.store.tensors import pack_tensors
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.optimizer import optimizer_tensors, restore_optimizer
from ticketctl.train.state import to_tensor


class Taken(Hooks):
    """Writes down what the optimizer knows at the end."""

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"optimizer": "taken"}

    def finish(self, loop: Course) -> None:
        """As the base says."""
        self.held = {
            name: value.clone() for name, value in optimizer_tensors(loop.optimizer, loop.model).items()
        }

    def state(self) -> dict[str, Tensor]:
        """`optimizer.<quantity>.<parameter>`."""
        return dict(self.held)


class Handed(Hooks):
    """Begins with an optimizer that knows what another did; of pruned weights it knows nothing."""

    def __init__(self, held: Mapping[str, Tensor], mask: Mask) -> None:
        self.held = dict(held)
        for name, keep in mask.keep.items():
            for key in self.held:
                if key.split(".", 2)[2:] == [name] and self.held[key].shape == keep.shape:
                    self.held[key] = self.held[key] * keep

    def identity(self) -> dict[str, Any]:
        """With a digest of what is handed over."""
        packed = pack_tensors({name: to_tensor(value + 0.0) for name, value in self.held.items()})
        return {"optimizer": "kept", "digest": hashlib.sha256(packed).hexdigest()}

    def start(self, loop: Course) -> None:
        """Once: a training that goes on has its own by now."""
        if not loop.begun:
            restore_optimizer(loop.optimizer, loop.model, self.held)
