"""The training loop. One net, one set of buffers; every fit of a draw reuses them.

A training is a function of (start, mask, recipe, seeds) and of nothing else. It may be killed between any two
instructions: what it needs to go on is written at step boundaries, and order and augmentation are tables computed
from the seed, so the steps that follow are the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ticketctl.errors import StoppedError
from ticketctl.masks.mask import Mask
from ticketctl.train.bench import Bench, Order, Progress, poll
from ticketctl.train.company import Company, rates_of
from ticketctl.train.course import Course
from ticketctl.train.evaluate import examine
from ticketctl.train.fitfiles import FitFiles, as_rows, check_begun
from ticketctl.train.machine import machine_for
from ticketctl.train.memory import Memory
from ticketctl.train.optimizer import optimizer_tensors, restore_optimizer
from ticketctl.train.rank_loop import together
from ticketctl.train.state import State, distances
from ticketctl.train.stepper import stepper_for

CHECKPOINT_SECONDS = 20.0
"""Work that a kill -9 may cost, where writing is quick. When it is written does not touch the bits."""

CHECKPOINT_SHARE = 0.01
"""Writing takes no more of the time than this: for large nets on slow disks checkpoints are further apart."""

REPORT_SECONDS = 1.0


class Loop:
    """A training under way."""

    def __init__(self, bench: Bench, order: Order, files: FitFiles) -> None:
        self.bench, self.order, self.files = bench, order, files
        self.model = bench.model
        self.rates = rates_of(bench, order.hooks)
        self.end = len(self.rates) if order.until is None else order.until
        self.progress = Progress(order.start.step)
        self.best: State | None = None
        self.diverged: str | None = None
        """What left the finite numbers: `loss` or `weights`."""
        self.machine = machine_for(bench, order.mask)
        self.machine.begin(order.start, order.mask, order.hooks)
        self.stepper = stepper_for(bench, self.machine)
        if self.stepper.leaves_traces:  # a capture has run the net
            self.machine.begin(order.start, order.mask, order.hooks)
        self.course = Course(bench, self.machine, self.progress, len(self.rates), self._poll, self.end)
        self.company = Company(order, self.machine)
        self.together = together(self.machine, order.title)
        self.last_written = self.last_reported = bench.clock()
        self.writing_took = 0.0
        self.epoch_of_tables = -1
        self.between = True
        """Whether no step is under way: the only time to stop."""

    # ------------------------------------------------------------------------------------------------ the course

    def run(self) -> None:
        """Train to the end (or to divergence), evaluating at epoch boundaries, and write the results.

        Raises:
            StoppedError: asked to stop; the checkpoint is written.
        """
        self._resume()
        self.stepper.begin(self.progress)
        self.company.start(self.course)
        self.together.begin()
        epochs = self.end / self.bench.feed.steps_per_epoch
        self.files.write_about(self.order.title, epochs, self._epochs_done())
        self.bench.reporter.phase(self.order.title, epochs, self._epochs_done())
        try:
            while True:
                self._at_boundary()
                if self.diverged or self.progress.ended or self.progress.step >= self.end:
                    break
                self._step()
        except StoppedError:
            self.save()
            raise
        self._finish()

    def _at_boundary(self) -> None:
        """Everything that happens between two steps."""
        self._meet()
        due = self._row_is_due() or self.progress.step in self.order.keep
        if due and not (self._settle() and self._is_finite()):
            return  # such weights are neither measured nor kept
        if self.progress.step in self.order.keep:
            self.files.write_state(self.files.state(self.progress.step), self._state())
        if self._row_is_due():
            self._end_epoch()
        now = self.bench.clock()
        if self._is_due(now) if self.together.due is None else self.together.due:
            self.save()
        if now - self.last_reported > REPORT_SECONDS:
            self.last_reported = now
            self.bench.reporter.epochs(self._epochs_done(), {})

    def _step(self) -> None:
        """One batch: forward, backward, update, and the pruned weights back to zero."""
        position = self._tables()
        self.between = False  # a checkpoint of half a step would be none
        if not self.stepper.take(position, self.rates[self.progress.step], self.course):
            self.diverged = "loss"  # the net is still the one before this step
        self.between = True

    def _settle(self) -> bool:
        """Bring `progress` up to date with the device; whether the loss was finite all along."""
        if not self.stepper.settle(self.progress):
            self.diverged = "loss"
        return self.diverged is None

    def _tables(self) -> int:
        """Make sure that order and augmentation are those of the current epoch; the position in it."""
        epoch, position = divmod(self.progress.step, self.bench.feed.steps_per_epoch)
        self._begin_epoch(epoch)
        return position

    def _begin_epoch(self, epoch: int) -> None:
        if epoch != self.epoch_of_tables:
            self.bench.feed.begin_epoch(self.order.seeds, epoch)
            self.epoch_of_tables = epoch

    # ------------------------------------------------------------------------------------------- epoch boundaries

    def _row_is_due(self) -> bool:
        step, per_epoch = self.progress.step, self.bench.feed.steps_per_epoch
        if self.progress.rows and self.progress.rows[-1][1] == step:
            return False
        if step == self.order.start.step:
            return True
        return step % per_epoch == 0

    def _end_epoch(self) -> None:
        """Append a row of history, first of all before training starts. Stopping inside leaves no trace."""
        row = self._row()
        ended = self._is_ended(row) if self.progress.seen else False
        if self.progress.seen:
            self.memory.end_epoch()
        values = self.bench.named(row)
        self.progress.rows.append(row)
        self.progress.loss = self.progress.objective = 0.0
        self.progress.seen, self.progress.ended = 0, ended
        self.stepper.begin(self.progress)
        self._remember_best(values)
        self.files.append_event(values)
        self.bench.reporter.epochs(self._epochs_done(), values)

    def _is_ended(self, row: list[float]) -> bool:
        """Whether a hook ends the training here; its last row is measured in any case."""
        self.course.values = self.bench.named(row)
        measure = None if self._evaluation_is_due() else lambda: self._measure(row)
        return self.company.ends(self.course, measure)

    def _row(self) -> list[float]:
        step, per_epoch = self.progress.step, self.bench.feed.steps_per_epoch
        started = (seen := self.progress.seen) > 0
        sums = (self.progress.loss, int(self._right_now()) if started else 0, self.progress.objective)
        loss, accuracy, objective = (each / seen if started else math.nan for each in sums)
        rate = self.rates[step - 1] if started else math.nan
        exams = self._examine() if self._evaluation_is_due() else [math.nan] * (2 * len(self.bench.exams))
        moved = distances(self.model, self.company.origin(), self._mask())
        minimised = [objective] if self.bench.objective else []
        return [step / per_epoch, float(step), rate, loss, accuracy, *exams, *minimised, *moved]

    @property
    def memory(self) -> Memory:
        """What was right at each presentation."""
        return self.machine.memory

    def _mask(self) -> Mask | None:
        """The mask of this moment."""
        return self.course.mask if self.order.moves else self.order.mask

    def _right_now(self) -> torch.Tensor:
        """How many of the images presented in this epoch were right."""
        return self.memory.right[self.bench.feed.newest(self.progress.step, self.progress.seen)].sum()

    def _evaluation_is_due(self) -> bool:
        step, per_epoch = self.progress.step, self.bench.feed.steps_per_epoch
        if step in (self.order.start.step, self.end):
            return True
        return (step // per_epoch) % self.bench.train.eval_every == 0

    def _examine(self) -> list[float]:
        return examine(self.model, self.bench.exams, self._meet, self.machine.forward, self.bench.ranks)

    def _measure(self, row: list[float]) -> None:
        """Put the accuracies and losses of this moment into a row of history."""
        row[5 : 5 + 2 * len(self.bench.exams)] = self._examine()
        row[-2:] = distances(self.model, self.company.origin(), self._mask())

    def _remember_best(self, values: Mapping[str, float]) -> None:
        """The earliest epoch with the best validation accuracy; never chosen on test, nor where the mask moves."""
        accuracy = values.get("val.accuracy", math.nan)
        started = self.progress.step > self.order.start.step and not self.order.moves
        if started and accuracy > self.progress.best_accuracy:
            self.progress.best_accuracy = accuracy
            self.progress.best_epoch = round(values["epoch"])
            self.best = self._state()

    # ------------------------------------------------------------------------------------------------- persistence

    def save(self) -> None:
        """Write the checkpoint. The best weights are written beside it only when they changed."""
        if not self._settle() or not self.together.leads:
            return  # the boundary that comes next ends this training; or rank 0 writes for all
        began = self.bench.clock()
        self._write_best()
        tensors = dict(self._state().weights)
        tensors |= optimizer_tensors(self.machine.optimizer, self.model)
        tensors |= self.memory.tensors()
        tensors |= self.company.state()
        tensors["history"] = as_rows(self.progress.rows, len(self.bench.columns))
        notes = {**self.progress.notes(), "device": self.bench.place.device.type}
        self.files.write_checkpoint(self.order.key, notes, tensors)
        self.last_written = self.bench.clock()
        self.writing_took = self.last_written - began

    def _resume(self) -> None:
        found = self.files.read_checkpoint(self.order.key)
        self.files.write_events(self.bench.columns, found[1]["history"].tolist() if found else [])
        if found is None:
            return
        notes, tensors = found
        check_begun(notes["device"], self.bench.place.device.type, self.files.folder)
        State(tensors).load_into(self.model)
        restore_optimizer(self.machine.optimizer, self.model, tensors)
        self.memory.restore(tensors)
        self.company.restore(tensors)
        self.course.progress = self.progress = Progress.of(notes, tensors["history"].tolist())
        self.course.begun = True
        if self.progress.seen:  # stopped at the very end of an epoch, its row still needs that epoch's order
            self._begin_epoch((self.progress.step - 1) // self.bench.feed.steps_per_epoch)

    def _finish(self) -> None:
        """Results on disk; the record last, because it says that the rest is there."""
        if self.diverged is None:
            self.together.check()
        if self.diverged is None and self.company.finish(self.course):
            self.together.finish()
            self._measure(self.progress.rows[-1])  # what was measured before is not what is kept
        if not self._is_finite():  # then the last that are known to be are those before the first step
            self.order.start.load_into(self.model)
            if self.machine.binding:
                self.machine.binding.apply_()
        if self.diverged:
            what = f"the {self.diverged} left the finite numbers at step {self.progress.step}"
            self.bench.reporter.note(f"{self.order.title}: {what}")
        self._write_best()
        self.machine.check_mask(self.order.title)
        self.files.write_state(self.files.final, self._state())
        notes = {
            "step": self.progress.step,
            "status": "diverged" if self.diverged else "done",
            "cause": self.diverged,
            "best_epoch": self.progress.best_epoch,
            "steps": self.progress.step - self.order.start.step,
            **self.progress.remarked,
        }
        memory = self.memory.tensors()
        tensors = {"history": as_rows(self.progress.rows, len(self.bench.columns)), **self.company.state()}
        tensors |= {name: memory[name] for name in ("memory.events", "memory.epochs")}
        self.files.write_record(self.order.key, notes, tensors)

    def _is_finite(self) -> bool:
        """Whether all weights and statistics are; BatchNorm can hide from the loss that they are not."""
        finite = State(self.model.state_dict()).finite
        if not finite:
            self.diverged = "weights"
        return finite

    def _write_best(self) -> None:
        if self.best is not None and self.progress.best_epoch is not None:
            self.files.write_state(self.files.best(self.progress.best_epoch), self.best)
            self.best = None

    def _state(self) -> State:
        return State.of(self.model, self.progress.step)

    def _epochs_done(self) -> float:
        return self.progress.step / self.bench.feed.steps_per_epoch

    def _is_due(self, now: float) -> bool:
        return now - self.last_written > max(CHECKPOINT_SECONDS, self.writing_took / CHECKPOINT_SHARE)

    def _meet(self) -> None:
        self.together.meet(self.bench.stop, lambda: self._is_due(self.bench.clock()))

    def _poll(self) -> None:
        if self.between:
            poll(self.bench.stop)
