"""Two records of one machine, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketctl.errors import UsageError
from ticketctl.stages.benchmark_record import Machine, Net, Record, Spread

FIGURES = (
    "images_per_second", "share_of_peak", "share_of_bare", "loader_images_per_second", "evaluated_per_second",
    "first_step_seconds",
)  # fmt: skip
"""Those whose ratio says something; a mask's cost is near 0."""


@dataclass(frozen=True)
class Change:
    """One figure, then and now."""

    net: str
    batch: int
    figure: str
    then: float
    now: float

    @property
    def ratio(self) -> float:
        """Now over then."""
        return self.now / self.then


def check_same(old: Record, machine: Machine, wanted: Sequence[tuple[str, int, str]], where: Path) -> None:
    """Refuse, before anything is timed, a record that nothing of this benchmark can be held against.

    Args:
        old: the record.
        machine: this one.
        wanted: net, batch and precision of what is to be measured.
        where: the record's file, for the message.

    Raises:
        UsageError: another device or other threads, or none of these nets.
    """
    if differing := machine.differs(old.machine):
        only = machine.differs(old.machine.model_copy(update={"threads": machine.threads})) == []
        way = f" (--threads {old.machine.threads} measures as it did)" if only else ""
        raise UsageError(f"--compare {where}: a record of another machine: {'; '.join(differing)}{way}")
    known = [net.key for net in old.nets]
    if not set(known) & set(wanted):
        there = ", ".join(f"{net} in {precision} with batch {batch}" for net, batch, precision in known)
        raise UsageError(f"--compare {where}: none of these nets is in it; it has {there or 'none'}")


def changes(old: Record, new: Record) -> list[Change]:
    """Of every net that both have, and first of the yardstick."""
    before = {net.key: net for net in old.nets}
    peak = Change("matmul", new.peak.size, "flop_per_second", _value(old.peak.flop_per_second),
                  _value(new.peak.flop_per_second))  # fmt: skip
    pairs = [(before[net.key], net) for net in new.nets if net.key in before]
    return [peak, *(one for then, now in pairs for one in _of_net(then, now))]


def _of_net(then: Net, now: Net) -> list[Change]:
    pairs = [(name, _value(getattr(then, name)), _value(getattr(now, name))) for name in FIGURES]
    return [Change(now.net, now.batch, name, was, becomes) for name, was, becomes in pairs if was > 0]


def _value(figure: Spread | float) -> float:
    return figure.median if isinstance(figure, Spread) else figure
