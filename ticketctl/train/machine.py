"""The buffers that one step works on, at addresses that stay from training to training, and the step itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ticketctl.errors import TicketctlError
from ticketctl.masks.bind import Binding
from ticketctl.masks.mask import Mask
from ticketctl.recipe import TrainSpec
from ticketctl.train.bench import Bench
from ticketctl.train.hooks import NO_BATCH, Batch, Hooks, follow, overrides
from ticketctl.train.memory import Memory
from ticketctl.train.optimizer import optimizer_for, reset_optimizer
from ticketctl.train.slices import Pass, Slice
from ticketctl.train.state import State, Statistics

if TYPE_CHECKING:
    from ticketctl.train.course import Course
    from ticketctl.train.ranks import Ranks


@dataclass(frozen=True)
class Kind:
    """What tells one machine from another: the rest is copied into its buffers."""

    optimizer: str
    momentum: float
    nesterov: bool
    weight_decay: float
    decay: str
    masked: tuple[str, ...]

    @classmethod
    def of(cls, train: TrainSpec, mask: Mask | None) -> Kind:
        """Of a training under `mask`."""
        masked = tuple(mask.keep) if mask is not None else ()
        return cls(train.optimizer, train.momentum, train.nesterov, train.weight_decay, train.decay, masked)


class Machine:
    """Net, optimizer, mask and memory of all trainings of one kind."""

    def __init__(self, bench: Bench, mask: Mask | None) -> None:
        self.bench, self.model = bench, bench.model
        self.optimizer = optimizer_for(self.model, bench.train, bench.place.device)
        self.binding = Binding(self.model, mask) if mask is not None else None
        self.memory = Memory(len(bench.feed), bench.place.device)
        self.statistics = Statistics(self.model)
        self.batch: Batch | None = None
        """What the step under way sees."""
        self.part: Slice | None = None
        """Which part of the whole batch that is, where ranks share it."""
        self.hooks: tuple[Hooks, ...] = ()
        self.leader: Hooks | None = None
        """The hook that runs the net, if one does."""
        self.ahead: Any = None
        """Its way of stepping on a GPU, with the captured graph."""

    def begin(self, start: State, mask: Mask | None, hooks: tuple[Hooks, ...]) -> None:
        """Set everything to the beginning of a training: nothing of the one before is left."""
        leaders = [hook for hook in hooks if overrides(hook, "forward")]
        if len(leaders) > 1:
            raise ValueError("two hooks want to run the net; their forward passes cannot be combined")
        self.start, self.hooks, self.leader = start, hooks, leaders[0] if leaders else None
        self.model.requires_grad_(True)
        start.load_into(self.model)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        reset_optimizer(self.optimizer)
        self.memory.reset()
        if self.binding and mask is not None:
            self.binding.load_(mask)
            self.binding.apply_()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, as this training computes them."""
        logits: Tensor = self.leader.forward(self.model, inputs) if self.leader else self.model(inputs)
        return logits

    def gradients(self, batch: Batch, part: Slice | None = None) -> Pass:
        """Forward and backward; running statistics as they were before are remembered.

        `batch` is a `part` of a larger one: what is answered, and the gradients, are of all of it.
        """
        self.statistics.remember()
        self.batch, self.part = batch, part
        return self._pass(batch)

    def shared(self, ranks: Ranks, index: Tensor) -> tuple[Pass, Tensor]:
        """As `gradients`, of the images `index` [B], of which each rank takes some; and the labels of all of them."""
        feed, part = self.bench.feed, ranks.slice_of(len(index))
        seen = self.gradients(Batch(*feed.gather(part.of(index))), part)
        return seen, feed.images.labels.index_select(0, index)

    def again(self) -> Tensor:
        """See `Course.again`."""
        assert self.batch is not None, NO_BATCH
        self.statistics.remember()
        self.optimizer.zero_grad(set_to_none=True)
        objective = self._pass(self.batch).objective
        self.statistics.restore()
        return objective

    def _pass(self, batch: Batch) -> Pass:
        if self.part is not None:
            return self.part.run(lambda: self._losses(batch), self.model.parameters())
        objective, entropy, logits = self._losses(batch)
        objective.backward()
        return Pass(objective.detach(), entropy.detach(), logits.detach())

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        with self.bench.place.autocast():
            logits = self.forward(batch.inputs)
        entropy = objective = nn.functional.cross_entropy(logits.float(), batch.labels)
        for hook in self.hooks:
            objective = hook.loss(logits, batch, objective)
        return objective, entropy, logits

    def update(self) -> None:
        """The optimizer's step, and the pruned weights back to zero."""
        self.optimizer.step()
        if self.binding:
            self.binding.apply_()

    def hooked(self, hooks: tuple[Hooks, ...], course: Course) -> None:
        """What hooks do after a step. Where all of them say so they have nothing of it but the weights."""
        if hooks and follow(hooks):  # after the replay of a graph there is nothing else
            self.optimizer.zero_grad(set_to_none=True)
            self.batch = None
        for hook in hooks:
            hook.step(course)

    def check_mask(self, title: str) -> None:
        """No pruned weight leaves a training alive: that would be a bug of ours, and is never written.

        Raises:
            TicketctlError: names the layers, and how many weights of each.
        """
        leaks = self.binding.violations() if self.binding else {}
        if leaks:
            raise TicketctlError(f"{title}: pruned weights came back: {leaks}")

    def mask_tensors(self) -> dict[str, Tensor]:
        """The mask as it is now, for a checkpoint: uint8, as `mask.<parameter>`."""
        if self.binding is None:
            return {}
        pairs = zip(self.binding.names, self.binding.masks, strict=True)
        return {f"mask.{name}": held.to(torch.uint8) for name, held in pairs}


def machine_for(bench: Bench, mask: Mask | None) -> Machine:
    """The bench's machine for trainings under `mask` (or none), made on first use."""
    kind = Kind.of(bench.train, mask)
    if kind not in bench.machines:
        bench.machines[kind] = Machine(bench, mask)
    machine: Machine = bench.machines[kind]
    machine.bench = bench
    return machine
