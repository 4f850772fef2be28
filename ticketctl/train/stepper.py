"""Taking steps: on a CPU one by one, reading each loss; on a GPU without waiting, replayed from one CUDA graph."""

from __future__ import annotations

import math
import operator
from typing import Protocol

import torch
from torch import Tensor

from ticketctl.train.bench import Bench, Progress
from ticketctl.train.capture import captured, moved_alike
from ticketctl.train.course import Course
from ticketctl.train.hooks import Batch, Hooks, due, follow, overrides
from ticketctl.train.machine import Machine
from ticketctl.train.optimizer import set_rate

AHEAD = 16
"""Steps after which the host waits until the GPU has done the ones before them: a stop is noticed soon."""

SMALL_RATE = 1e-4
"""Learning rate of the steps around a capture, so that nothing leaves the finite numbers."""


class Stepper(Protocol):
    """Takes the steps of one training."""

    leaves_traces: bool
    """Whether making it may have run the net: the training is then to be begun anew."""

    def begin(self, progress: Progress) -> None:
        """Set the sums to where `progress` stands."""

    def take(self, position: int, rate: float, course: Course) -> bool:
        """Do the batch at `position` of the epoch. False: the loss is known to be not finite; nothing was changed."""

    def settle(self, progress: Progress) -> bool:
        """Bring `progress` up to date with the device. False: the loss was not finite after `progress.step`."""


class ReadEach:
    """Reads every loss, which costs nothing on a CPU."""

    leaves_traces = False

    def __init__(self, bench: Bench, machine: Machine) -> None:
        self.feed, self.machine, self.ranks = bench.feed, machine, bench.ranks

    def begin(self, progress: Progress) -> None:
        """Nothing to set: the sums are in `progress`."""

    def take(self, position: int, rate: float, course: Course) -> bool:
        """As the protocol says."""
        machine, progress = self.machine, course.progress
        if self.ranks is None:
            batch = Batch(*self.feed.batch(position))
            seen, index, labels = machine.gradients(batch), batch.index, batch.labels
        else:
            index = self.feed.rows(position)
            seen, labels = machine.shared(self.ranks, index)
        value = float(seen.objective)
        if not math.isfinite(value):
            machine.statistics.restore()
            machine.optimizer.zero_grad(set_to_none=True)
            return False
        machine.memory.see(index, seen.logits, labels)
        _commit(machine, rate, course)
        progress.loss += float(seen.entropy) * len(index)
        progress.objective += value * len(index)
        progress.seen += len(index)
        progress.step += 1
        return True

    def settle(self, progress: Progress) -> bool:
        """Always up to date."""
        return True


def _commit(machine: Machine, rate: float, course: Course) -> None:
    """The second half of a step: the optimizer, the mask, and the hooks that are due."""
    hooks = due(machine.hooks, course.step)
    answers = [hook.grads(course) for hook in hooks]  # every one of them is asked
    if all(answers):
        set_rate(machine.optimizer, rate)
        machine.update()
    machine.hooked(hooks, course)
    machine.optimizer.zero_grad(set_to_none=True)


class Ahead:
    """Runs ahead of a GPU: sums and the test for a finite loss live there, and are read when they are asked for.

    After a loss that is not finite the optimizer stands still (`found_inf`), BatchNorm's statistics are put back and
    nothing is counted, so the net stays the one before that step, as on a CPU. Whole batches without a hook between
    their halves are one CUDA graph, captured once per machine; its check against an eager step comes before its use.
    """

    leaves_traces = True

    def __init__(self, bench: Bench, machine: Machine) -> None:
        device = bench.place.device
        self.feed, self.machine, self.reporter = bench.feed, machine, bench.reporter
        self.ranks = bench.ranks
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.loss, self.objective = self.sums
        self.done = torch.zeros((), dtype=torch.int64, device=device)
        self.bad = torch.zeros((), dtype=torch.float32, device=device)
        self.index = torch.zeros(bench.feed.batch_size, dtype=torch.int64, device=device)
        machine.optimizer.found_inf = self.bad  # type: ignore[attr-defined]  # what GradScaler hands to fused optimizers
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inside: tuple[Hooks, ...] | None = None
        """The hooks that are part of the graph, or of what was tried; None: nothing was."""
        self.usable = False
        self.rate = math.nan
        """What the optimizer's is set to; not a number: to nobody knows what."""
        self.marks: list[torch.cuda.Event] = []
        self.begun = 0

    def begin(self, progress: Progress) -> None:
        """As the protocol says."""
        self.usable = self._can_be_captured()
        self.rate = math.nan
        self.loss.fill_(progress.loss)
        self.objective.fill_(progress.objective)
        self.done.zero_()
        self.bad.zero_()
        self.begun = progress.step

    def take(self, position: int, rate: float, course: Course) -> bool:
        """As the protocol says; that the loss was not finite shows at the next `settle`."""
        index = self.feed.rows(position)
        if rate != self.rate:
            set_rate(self.machine.optimizer, rate)
            self.rate = rate
        hooks = due(self.machine.hooks, course.step)
        if follow(hooks):
            self._whole(index)
            if hooks and not self.bad.item():  # the hooks' own state must not move any more either
                self.machine.hooked(hooks, course)
        else:
            self._hooked(index, rate, course)
        course.progress.seen += len(index)
        course.progress.step += 1
        self._pace(course.progress.step)
        return True

    def settle(self, progress: Progress) -> bool:
        """As the protocol says."""
        progress.loss, progress.objective = float(self.loss), float(self.objective)
        if not self.bad.item():
            return True
        taken = progress.step - self.begun
        lost = taken - int(self.done)
        progress.step -= lost
        progress.seen -= lost * self.feed.batch_size
        return False

    def _whole(self, index: Tensor) -> None:
        if self.graph is not None and self.usable and len(index) == len(self.index):
            self.index.copy_(index)
            self.graph.replay()
        else:
            self.plain(index)

    def plain(self, index: Tensor) -> None:
        """One whole step without hooks between its halves; all of it can be captured."""
        self._first_half(index)
        self.machine.update()
        self.machine.optimizer.zero_grad(set_to_none=True)

    def _first_half(self, index: Tensor) -> None:
        machine = self.machine
        if self.ranks is None:
            batch = Batch(*self.feed.gather(index))
            seen, labels = machine.gradients(batch), batch.labels
        else:
            seen, labels = machine.shared(self.ranks, index)
        self.bad.masked_fill_(
            (seen.objective - seen.objective) != 0, 1.0
        )  # infinity less itself is no number
        machine.statistics.restore_where(self.bad)
        machine.memory.see_unless(self.bad, index, seen.logits, labels)
        stopped = self.bad > 0
        each = torch.stack([seen.entropy, seen.objective]).double()
        self.sums.add_(each.mul_(len(index)).masked_fill_(stopped, 0.0))
        self.done.add_(~stopped)

    def _hooked(self, index: Tensor, rate: float, course: Course) -> None:
        self._first_half(index)
        if self.bad.item():  # nothing may move any more, the hooks' own state included
            self.machine.optimizer.zero_grad(set_to_none=True)
            return
        _commit(self.machine, rate, course)

    def _pace(self, step: int) -> None:
        if step % AHEAD == 0:
            self.marks.append(
                torch.cuda.Event(blocking=True)
            )  # waiting is no work for a core: other jobs may want it
            self.marks[-1].record()
            if len(self.marks) > 1:
                self.marks.pop(0).synchronize()

    # ------------------------------------------------------------------------------------------------- the graph

    def capture(self) -> None:
        """Capture the step, once; call it before a training is loaded, for it leaves the net anywhere.

        A step that cannot be captured, or whose replay does not do what the step does, is taken eagerly; a note says
        so and why.
        """
        if self.ranks is not None or not self._can_be_captured() or self._is_captured():
            return  # sums over ranks in a graph were never tried: docs/decisions/015-data-parallel.md
        self.inside, self.graph = self._changing(), None
        if not self.feed.images.resident:
            self.reporter.note("the data do not fit on the device and are streamed: no CUDA graph, slower")
            return
        stream = torch.cuda.current_stream()
        self.bad.zero_()
        try:
            graph = self._captured()
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # a capture that failed may have left its own
            reason = str(error).splitlines()[0]
            self.reporter.note(f"the step cannot be captured as a CUDA graph and runs slower: {reason}")
            return
        if self._is_true(graph):
            self.graph = graph
        else:
            self.reporter.note("the captured step differs from the step itself: it is not used; slower")

    def _changing(self) -> tuple[Hooks, ...]:
        """The hooks that change what is inside the graph."""
        return tuple(
            hook for hook in self.machine.hooks if overrides(hook, "forward") or overrides(hook, "loss")
        )

    def _can_be_captured(self) -> bool:
        return all(hook.captured for hook in self._changing())

    def _is_captured(self) -> bool:
        """Whether the very hooks of this training are in the graph: others have tensors of their own."""
        ours = self._changing()
        return (
            self.inside is not None
            and len(ours) == len(self.inside)
            and all(map(operator.is_, ours, self.inside))
        )

    def _captured(self) -> torch.cuda.CUDAGraph:
        self.index.copy_(torch.arange(len(self.index), device=self.index.device) % len(self.feed))
        set_rate(self.machine.optimizer, SMALL_RATE)
        return captured(lambda: self.plain(self.index))

    @torch.no_grad()
    def _is_true(self, graph: torch.cuda.CUDAGraph) -> bool:
        """Whether a replay moves everything as an eager step from the same state does, within a twentieth.

        With other images and another rate than at the capture, so that nothing of those can have been frozen in.
        """
        state = self._moving()
        before = [value.clone() for value in state]
        self.index.add_(len(self.index)).remainder_(len(self.feed))
        set_rate(self.machine.optimizer, SMALL_RATE / 2)
        graph.replay()
        replayed = [value.clone() for value in state]
        for value, old in zip(state, before, strict=True):
            value.copy_(old)
        with torch.enable_grad():
            self.plain(self.index)
        if self.bad.item():
            return False
        return all(moved_alike(*three) for three in zip(before, replayed, state, strict=True))

    def _moving(self) -> list[Tensor]:
        """Everything that a step changes, but for what was right."""
        moments = [value for kept in self.machine.optimizer.state.values() for value in kept.values()]
        return [
            *self.machine.model.state_dict().values(),
            *moments,
            self.loss,
            self.objective,
            self.done,
            self.bad,
        ]


def stepper_for(bench: Bench, machine: Machine) -> Stepper:
    """The way of stepping that fits the device, for the training that the machine has begun."""
    if bench.place.device.type != "cuda":
        return ReadEach(bench, machine)
    if machine.ahead is None:
        machine.ahead = Ahead(bench, machine)
    ahead: Ahead = machine.ahead
    ahead.capture()
    return ahead
