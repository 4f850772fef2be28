"""A sweep as figures and tables take it: combinations of what stands on its axes, each with its trials over seeds.

What is missing or diverged stays a trial: it is counted where others are averaged, and is in no mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ticketctl.errors import UsageError, near_miss
from ticketctl.figures.paired import Paired
from ticketctl.figures.sheet import NothingError
from ticketctl.figures.significance import interval

if TYPE_CHECKING:
    from ticketctl.figures.shelf import Shelf

DEPTHS = ("density", "sparsity", "level")
"""Axes of how much is kept: other figures draw along them."""
METHOD, DENSE = "method", "dense"
TABLE = ("row", "cell")
"""Axes of a sweep of a paper's table."""
LOWER = (
    "loss",
    "error",
    "objective",
    "ece",
    "nll",
    "brier",
    "mce",
    "barrier",
    "distance.masked",
    "distance.full",
)
"""Ends of the names of metrics of which less is better, beside those that say so of themselves."""

State = Literal["done", "diverged", "missing"]


@dataclass(frozen=True, eq=False)
class Trial:
    """What one seed came to."""

    seed: int
    state: State
    why: str
    """Of one that is not done: waiting, running, failed (data), blocked (diverged)."""
    id: str
    """Of the run; "" where there is none."""
    read: Callable[[str], float | None]
    """A metric by name, in its own unit; None where it was not measured."""
    epochs: float | None = None
    """Of its own training."""
    drawn: float | None = None
    """Epochs of the whole draw that its ticket came from; None of a dense net."""


@dataclass(frozen=True, eq=False)
class Combination:
    """A value on each axis, and a trial for each seed."""

    labels: Mapping[str, str]
    net: str
    data: str
    dense: bool
    """Whether it is a dense net, which every density is held against."""
    trials: tuple[Trial, ...]

    def values(self, metric: str) -> dict[int, float]:
        """By seed, of the trials that are done and have it."""
        found = {trial.seed: trial.read(metric) for trial in self.trials if trial.state == "done"}
        return {seed: value for seed, value in found.items() if value is not None}

    def mean(self, metric: str) -> Paired | None:
        """Over seeds, with its 95 % interval by Student's t; None where there is no value."""
        return interval([*self.values(metric).values()])

    @property
    def diverged(self) -> int:
        """Trials that left the finite numbers."""
        return sum(trial.state == "diverged" for trial in self.trials)

    def missing(self, metric: str) -> int:
        """Trials that are not done, or did not measure it."""
        return len(self.trials) - self.diverged - len(self.values(metric))

    def signs(self, metric: str) -> str:
        """What is to be seen beside its mean: `x2` for two that diverged, `?1` for one that is missing; or nothing."""
        lost, gone = self.diverged, self.missing(metric)
        return " ".join([*([f"x{lost}"] if lost else []), *([f"?{gone}"] if gone else [])])


SIGNS = "xN: N trials diverged; ?N: N are missing; neither is in a mean"


@dataclass(frozen=True, eq=False)
class Swept:
    """All of a sweep."""

    id: str
    title: str
    axes: tuple[str, ...]
    combinations: tuple[Combination, ...]
    metric: str = "test.accuracy"
    """That is shown where none is named."""
    lower: Callable[[str], bool] = lambda metric: metric.endswith(LOWER)
    """Whether less of a metric is better."""

    def values(self, axis: str, *, dense: bool = False) -> list[str]:
        """What stands on an axis, in its order; of tickets alone, unless `dense`."""
        mine = [one for one in self.combinations if dense or not one.dense]
        return list(dict.fromkeys(one.labels[axis] for one in mine or self.combinations))

    @property
    def varying(self) -> list[str]:
        """Axes with more than one value."""
        return [axis for axis in self.axes if len(self.values(axis, dense=True)) > 1]

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs that are there."""
        return tuple(dict.fromkeys(trial.id for one in self.combinations for trial in one.trials if trial.id))

    @property
    def places(self) -> list[tuple[str, str]]:
        """Nets and data sets."""
        return list(dict.fromkeys((one.net, one.data) for one in self.combinations))

    def pair(self) -> tuple[str, str] | None:
        """The two axes of a map: the method, if there are several, and that with the most values; None of one axis.

        How much is kept is taken where nothing else varies. Of a paper's table its rows and cells.
        """
        if {*TABLE} <= {*self.axes}:
            return TABLE
        many = {axis: len(self.values(axis, dense=axis == METHOD)) for axis in self.axes}
        known = [axis for axis in self.axes if many[axis] > 1]
        ordered = sorted(
            known, key=lambda axis: (axis != METHOD, axis in DEPTHS, -many[axis], self.axes.index(axis))
        )
        return (ordered[0], ordered[1]) if len(ordered) > 1 else None

    def rest(self, combination: Combination, *but: str) -> tuple[tuple[str, str], ...]:
        """What else it is than on these axes, of axes on which tickets differ.

        Of a dense net nothing of how much is kept: it belongs to each density.
        """
        gone = {*but, *(DEPTHS if combination.dense else ())}
        kept = [
            axis
            for axis in self.varying
            if axis not in gone and (axis == METHOD or len(self.values(axis)) > 1)
        ]
        return tuple((axis, combination.labels[axis]) for axis in kept)


def swept_in(shelf: Shelf) -> Swept:
    """The sweep that is to be drawn.

    Raises:
        NothingError: there is none, or none of its runs is done.
    """
    if shelf.sweep is None:
        raise NothingError("no sweep was named; run: ticketctl plot --sweep newest")
    if not shelf.sweep.runs:
        raise NothingError(f"no run of the sweep is there yet; ticketctl status {shelf.sweep.id} says why")
    return shelf.sweep


def metric_of(swept: Swept, typed: str) -> str:
    """The metric that is drawn.

    Raises:
        NothingError: no run has it.
    """
    metric = typed or swept.metric
    if not any(one.values(metric) for one in swept.combinations):
        raise NothingError(
            f"no run of the sweep has {metric}; ticketctl collect --metric all shows what there is"
        )
    return metric


def axis_of(swept: Swept, typed: str, key: str) -> str:
    """An axis by its name.

    Raises:
        UsageError: the sweep has no such axis.
    """
    if typed not in swept.axes:
        raise UsageError(f"{key} = {typed!r}: the sweep has no such axis; {near_miss(typed, swept.axes)}")
    return typed


def words(labels: Sequence[tuple[str, str]]) -> str:
    """Labels as they are read: `density 0.2, tweaks ls`."""
    return ", ".join(f"{axis} {value}" for axis, value in labels)
