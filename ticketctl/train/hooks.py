"""Doors into a training: how a draw method or a tweak changes what the engine does, without a loop of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds

if TYPE_CHECKING:
    from ticketctl.train.course import Course
    from ticketctl.train.state import State


NO_BATCH = "there is no batch here: all hooks of this step say reads_grads = False"


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    inputs: Tensor
    """Float32 [B, C, H, W], normalised and augmented."""
    labels: Tensor
    """Int64 [B]."""
    index: Tensor
    """Int64 [B]: which training images these are."""


class Hooks:
    """A method's part in one training. Subclass it and override the doors that are needed.

    Everything a hook does must be a function of its `identity`, its `state` and the course, so that a training that
    was killed ends in the same bits. Random numbers come from `Seeds.raw` at a position that names the step.
    """

    every: int = 1
    """`grads` and `step` are called for the batches at which (steps done + 1) is a multiple of this."""
    moves_mask: bool = False
    """Whether the mask changes during the training; it is then kept in checkpoints and in the record."""
    by_image: bool = False
    """Whether `loss` is a mean over images of terms of one image each, plus terms of no image that autograd takes the
    gradient of, and `forward` treats images apart, BatchNorm aside. Then the parts of a batch that several devices
    compute add up to the batch; a hook with either door that does not say so is refused there."""
    captured: bool = False
    """Whether `forward` and `loss` do the same work on the device at every step and never ask it for a value: then
    they go into the CUDA graph. What changes from step to step is a tensor on the device, written in `step`."""
    reads_grads: bool = True
    """Whether `step` may look at gradients or the batch. Where no hook that is due does, and none of them has a
    `grads` of its own, a GPU replays the captured step and then opens `step`, and both have gone by then, on a CPU
    too."""

    def identity(self) -> dict[str, Any]:
        """Name and parameters, plain JSON; part of the training's id."""
        raise NotImplementedError

    def plan(self, train: TrainSpec) -> TrainSpec:
        """The course to take instead of `train`, over the same batches in the same precision."""
        return train

    def learning_rates(self, rates: Sequence[float], steps_per_epoch: int) -> Sequence[float]:
        """The learning rate of every step of the schedule instead of `rates`, as many."""
        return rates

    def model(self, net: nn.Module, seeds: Seeds) -> None:
        """Change the plain net, once, before any weights are loaded. The net is this training's own.

        Its parameters and buffers keep their names; what is added is called `tweak.<name>.…` and initialised here,
        from the stream `init` at that name.
        """

    def start(self, loop: Course) -> None:
        """Once in each process, before its first step; after `restore`, if a training goes on."""

    def origin(self, start: State) -> State:
        """What distances are measured from, after `start` of the hooks: the initialisation as this training has it.

        `start` is the one it was handed, pruned weights as they were; it must not be changed.
        """
        return start

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """Logits [B, classes], in training and in evaluation. At most one hook of a training overrides this."""
        logits: Tensor = model(inputs)
        return logits

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        """The loss to minimise, a scalar; `value` is what it is so far, at first the mean cross-entropy.

        `logits` [B, classes] may be bfloat16: take `logits.float()`.
        """
        return value

    def grads(self, loop: Course) -> bool:
        """After the backward pass: gradients are dense. False: the optimizer does not step on this batch.

        `loop.batch` is what was seen, `loop.again()` computes the gradients anew at the weights as they are then.
        """
        return True

    def step(self, loop: Course) -> None:
        """After the optimizer's step and the mask; the gradients are still there, unless `reads_grads` is False."""

    def epoch(self, loop: Course) -> bool:
        """At the end of an epoch. True: the training ends here.

        It may ask `loop.poll()` during long work, and is then called again after a restart: change nothing in
        `state` before the last poll.
        """
        return False

    def finish(self, loop: Course) -> None:
        """At the end, before the final weights are measured and written; it may replace them, and the mask.

        It may ask `loop.poll()`: whatever it has changed is forgotten then, and it is called again after a restart.
        """

    def state(self) -> dict[str, Tensor]:
        """What must survive a kill; the last of it stays in the finished training's record."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""


def overrides(hook: Hooks, door: str) -> bool:
    """Whether `hook` has a `door` of its own."""
    return getattr(type(hook), door) is not getattr(Hooks, door)


def due(hooks: tuple[Hooks, ...], step: int) -> tuple[Hooks, ...]:
    """The hooks with something to do, in `grads` or `step`, for the batch after `step` steps."""
    return tuple(
        hook
        for hook in hooks
        if (step + 1) % hook.every == 0 and (overrides(hook, "grads") or overrides(hook, "step"))
    )


def follow(hooks: tuple[Hooks, ...]) -> bool:
    """Whether all of them can come after a whole step, whose gradients have gone."""
    return all(not hook.reads_grads and not overrides(hook, "grads") for hook in hooks)
