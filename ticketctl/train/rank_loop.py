"""What a training does only where several ranks share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from ticketctl.train.bench import poll
from ticketctl.train.machine import Machine
from ticketctl.train.optimizer import optimizer_tensors

if TYPE_CHECKING:
    from ticketctl.train.ranks import Ranks


class Alone:
    """Nobody to meet."""

    leads = True
    """Whether this process writes."""
    due: bool | None = None
    """Whether a checkpoint is, of a step that all have done; None: by the own clock."""

    def meet(self, stop: Callable[[], int | None], due: Callable[[], bool]) -> None:
        """Between two steps, and between batches of an evaluation.

        Args:
            stop: the exit code that this rank was asked to leave with, if it was.
            due: whether a checkpoint is, by the clock of this rank.

        Raises:
            StoppedError: a rank was asked to stop: all do, after the same step.
        """
        poll(stop)

    def begin(self) -> None:
        """Before the first step: start values are those of rank 0; the masks are compared.

        Raises:
            TicketctlError: a rank holds another mask.
        """

    def check(self) -> None:
        """After the last step.

        Raises:
            TicketctlError: a rank holds other weights or another mask.
        """

    def finish(self) -> None:
        """Hooks may have set other weights at the end: those of rank 0 count."""


class Together(Alone):
    """The meetings of one training: stops, checkpoints, and the proof that all ranks have the same net."""

    def __init__(self, ranks: Ranks, machine: Machine, title: str) -> None:
        self.ranks, self.machine, self.title = ranks, machine, title
        self.leads, self.due = ranks.leads, False

    def meet(self, stop: Callable[[], int | None], due: Callable[[], bool]) -> None:
        """As the base says."""
        code, wanted = self.ranks.agree(stop() or 0, int(self.leads and due()))
        self.due = bool(wanted)
        poll(lambda: code or None)

    def begin(self) -> None:
        """As the base says: weights, statistics, optimizer."""
        model, optimizer = self.machine.model, self.machine.optimizer
        self.ranks.lead_([*model.state_dict().values(), *optimizer_tensors(optimizer, model).values()])
        self.ranks.check(self.title, self._masks())

    def check(self) -> None:
        """As the base says."""
        self.ranks.check(self.title, {**self.machine.model.state_dict(), **self._masks()})

    def finish(self) -> None:
        """As the base says."""
        self.ranks.lead_(list(self.machine.model.state_dict().values()))

    def _masks(self) -> Mapping[str, Tensor]:
        held = self.machine.mask_tensors()
        return {f"mask of {name.removeprefix('mask.')}": value for name, value in held.items()}


def together(machine: Machine, title: str) -> Alone:
    """Of the training that the machine has begun."""
    ranks = machine.bench.ranks
    return Alone() if ranks is None else Together(ranks, machine, title)
