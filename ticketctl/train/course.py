"""What hooks see of a training under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ticketctl.masks.mask import Mask
from ticketctl.train.bench import Bench, Progress
from ticketctl.train.feed import Feed
from ticketctl.train.hooks import NO_BATCH, Batch
from ticketctl.train.machine import Machine
from ticketctl.train.state import State


@dataclass
class Course:
    """The net, the optimizer and the mask as they are now, and where the training stands."""

    bench: Bench
    machine: Machine
    progress: Progress
    total: int
    """Steps of the whole schedule."""
    poll: Callable[[], None]
    """Raises StoppedError when somebody asked to stop."""
    end: int
    """Step at which this training stops: that of the schedule's end, or before it if less was asked for."""
    begun: bool = False
    """Whether this process goes on with a training that another began."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The newest row of history by column, in `epoch`."""

    @property
    def model(self) -> nn.Module:
        """The net; its parameters keep their addresses."""
        return self.bench.model

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Its parameters by state_dict name."""
        return dict(self.bench.model.named_parameters())

    @property
    def start(self) -> State:
        """Where the whole training began, in whatever process; its `step` is of the schedule."""
        return self.machine.start

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its `state[parameter]` holds `momentum_buffer`, or Adam's `exp_avg` and `exp_avg_sq`; zeros at first."""
        return self.machine.optimizer

    @property
    def feed(self) -> Feed:
        """The training images."""
        return self.bench.feed

    @property
    def batch(self) -> Batch:
        """What this step sees, in `grads`, and in the `step` of hooks with `reads_grads`."""
        assert self.machine.batch is not None, NO_BATCH
        return self.machine.batch

    def again(self) -> Tensor:
        """Gradients of the same batch at the weights as they are now, in place of those before; the loss, detached.

        Running statistics stay as the first pass left them.
        """
        return self.machine.again()

    @property
    def step(self) -> int:
        """Steps of the schedule that are done."""
        return self.progress.step

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        return self.bench.feed.steps_per_epoch

    @property
    def epochs_done(self) -> int:
        """Whole epochs of the schedule that are done."""
        return self.progress.step // self.steps_per_epoch

    @property
    def right(self) -> Tensor:
        """Bool [N]: what the net got right at its newest presentation, train mode, as augmented then."""
        return self.machine.memory.right

    @property
    def train_loss(self) -> float:
        """Mean over the epoch that just ended, while the weights moved."""
        return self.values["train.loss"]

    @property
    def train_accuracy(self) -> float:
        """Likewise, in [0, 1]."""
        return self.values["train.accuracy"]

    @property
    def masks(self) -> dict[str, Tensor]:
        """0/1 in each weight's dtype, on the device, as applied at every step; empty without a mask. Read only."""
        binding = self.machine.binding
        return dict(zip(binding.names, binding.masks, strict=True)) if binding else {}

    @property
    def mask(self) -> Mask:
        """A copy of the mask."""
        return Mask({name: (held != 0).cpu().contiguous() for name, held in self.masks.items()})

    def remark(self, text: str) -> None:
        """Say what changes how the result is to be read: shown once in a command, and kept in the run's account.

        It is to be said in every process of a training, and to be a function of the whole training: see `start`.
        """
        self.progress.remarks[text] = None
        self.bench.reporter.remark(text)

    def set_mask(self, mask: Mask) -> None:
        """Replace the mask; weights outside it become zero. Optimizer state is left as it is."""
        assert self.machine.binding is not None
        if (ranks := self.bench.ranks) is not None:
            mask = ranks.led_mask(mask)
        self.machine.binding.load_(mask)
        self.machine.binding.apply_()
