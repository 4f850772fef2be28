"""A training whose mask comes and goes: phases with all weights, phases under a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.masks.trajectory import Recorder
from ticketctl.recipe import TrainSpec
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.optimizer import reset_optimizer
from ticketctl.train.schedule import learning_rates
from ticketctl.train.state import State

Kinds = dict[int, bool]
"""Epochs done when a phase begins, rising from 0: whether it is dense."""


class Phases(Hooks):
    """Changes the mask where a phase begins; weights that come back start at 0, at the ticket's density others go.

    A change is part of the step before it (the door `step`), so the measurements of that epoch are the new phase's
    start, and no checkpoint holds half a change.
    """

    moves_mask = True

    def __init__(self, kit: Kit, name: str, mask: Literal["ticket", "magnitude"], *, forget: bool) -> None:
        """`mask`: what a sparse phase is held to; `forget`: the momentum at its beginning, as at a dense one's.

        Raises:
            UsageError: there is no mask to come and go.
        """
        if kit.mask is None:
            raise UsageError(f"{name} alternates between a mask and none: spend a ticket, not the dense net")
        self.ticket, self.mask, self.forget = kit.mask, mask, forget
        self.every = kit.bench.feed.steps_per_epoch
        self.recorder = Recorder()

    def phases(self, epochs: int) -> Kinds:
        """Of a training of `epochs`."""
        raise NotImplementedError

    def start(self, loop: Course) -> None:
        """The phase that the training begins in; a sparse one has the ticket's mask."""
        if self.recorder.last is not None:
            return
        if kind_at(self.phases(_epochs(loop)), loop.epochs_done):
            loop.set_mask(Mask.full(self.ticket.shapes()))
        self.recorder.see(loop.step, loop.mask)

    def origin(self, start: State) -> State:
        """The start under the ticket's mask, zeros elsewhere: weights that come back begin there (paper 002)."""
        kept = {name: start.weights[name] * keep for name, keep in self.ticket.keep.items()}
        return State({**start.weights, **kept}, start.step)

    def step(self, loop: Course) -> None:
        """The phase that begins after this step, if one does."""
        done = loop.step + 1
        dense = self.phases(_epochs(loop)).get(done // loop.steps_per_epoch)
        if dense is None:
            return
        mask = Mask.full(self.ticket.shapes()) if dense else self._sparse(loop)
        loop.set_mask(mask)
        self.recorder.see(done, mask)
        if dense or self.forget:
            reset_optimizer(loop.optimizer)

    @torch.no_grad()
    def _sparse(self, loop: Course) -> Mask:
        if self.mask == "ticket":
            return self.ticket
        return largest(loop, self.ticket)

    def state(self) -> dict[str, Tensor]:
        """The masks so far."""
        return self.recorder.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.recorder.restore(tensors)


def _epochs(loop: Course) -> int:
    return loop.total // loop.steps_per_epoch


def kind_at(phases: Kinds, epoch: int) -> bool:
    """Whether the phase that `epoch` (0-based) belongs to is dense."""
    return phases[max(begin for begin in phases if begin <= epoch)]


def largest(loop: Course, like: Mask) -> Mask:
    """The largest |w| over all weights that `like` speaks about, as many as it keeps; ties to the lower flat index."""
    parameters = loop.parameters
    return top({name: parameters[name].detach().abs() for name in like.keep}, like.kept)


def last_rate(train: TrainSpec, steps_per_epoch: int, key: str) -> float:
    """The learning rate of the last step of `train`.

    Raises:
        UsageError: it falls to 0 along a cosine; names the `key` that says what to take instead.
    """
    if train.schedule == "cosine":
        raise UsageError(
            f"the cosine schedule ends at a rate of 0, too little to go on with; set {key}, for example "
            f"{key}={train.lr / 100:g}"
        )
    return learning_rates(train, steps_per_epoch)[-1]
