"""The hooks of one training, asked and kept together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ticketctl.errors import StoppedError
from ticketctl.train.bench import Bench, Order
from ticketctl.train.course import Course
from ticketctl.train.fitfiles import moved_mask, of_hook
from ticketctl.train.hooks import Hooks, overrides
from ticketctl.train.machine import Machine
from ticketctl.train.schedule import learning_rates
from ticketctl.train.state import State


@dataclass(frozen=True)
class Company:
    """All hooks of a training, and the mask if one of them moves it."""

    order: Order
    machine: Machine

    def start(self, course: Course) -> None:
        """Before the first step of this process."""
        for hook in self.order.hooks:
            hook.start(course)

    def origin(self) -> State:
        """What distances are measured from: what was ordered, or the start as the hooks have made it."""
        found = self.order.origin or self.order.start
        if self.order.origin is None:
            for hook in self.order.hooks:
                found = hook.origin(found)
        return found

    def finish(self, course: Course) -> bool:
        """At the end. Whether the weights may be others now."""
        finishing = [hook for hook in self.order.hooks if overrides(hook, "finish")]
        for hook in finishing:
            hook.finish(course)
        return bool(finishing)

    def state(self) -> dict[str, Tensor]:
        """What hooks hold, as `hook.<number>.<name>`, and the mask if they move it."""
        found = dict(self.machine.mask_tensors()) if self.order.moves else {}
        for number, hook in enumerate(self.order.hooks):
            found |= {f"hook.{number}.{name}": value for name, value in hook.state().items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if self.order.moves and self.order.mask is not None and self.machine.binding:
            self.machine.binding.load_(moved_mask(tensors, self.order.mask))
        for number, hook in enumerate(self.order.hooks):
            hook.restore(of_hook(tensors, number))

    def ends(self, course: Course, measure: Callable[[], None] | None) -> bool:
        """Whether a hook ends the training at this epoch; `measure`, if given, is then called before it does.

        What comes after the first hook may stop; the hooks are then put back to where they were.
        """
        after = len(self.order.hooks) > 1 or measure is not None
        before = {name: value.clone() for name, value in self.state().items()} if after else {}
        try:
            answers = [hook.epoch(course) for hook in self.order.hooks]  # every one of them is asked
            ended = any(answers)
            if (ranks := self.machine.bench.ranks) is not None:
                ended = ranks.leading(ended)
            if ended and measure is not None:
                measure()
        except StoppedError:
            if after:
                self.restore(before)
            raise
        return ended


def rates_of(bench: Bench, hooks: tuple[Hooks, ...]) -> Sequence[float]:
    """The learning rate of every step of the schedule, as the hooks want it."""
    rates: Sequence[float] = learning_rates(bench.train, bench.feed.steps_per_epoch)
    for hook in hooks:
        rates = hook.learning_rates(rates, bench.feed.steps_per_epoch)
    return rates
