"""Runs beside each other: mean, deviation and n of what was trained alike, and differences paired by seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.figures.paired import Paired, all_equal, paired
from ticketctl.stages.measured import whole_name
from ticketctl.stages.otherwise import changes
from ticketctl.stages.recorded import Settings
from ticketctl.stages.rows import in_order, place_of
from ticketctl.stages.subjects import Subject

CLOSE = Fraction(1, 100)
"""Densities of one method that lie this near, relative to the larger, are one."""
SCALED = ("accuracy",)
"""Ends of the names of metrics that are shares and shown in percent."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but seeds."""

    net: str
    data: str
    method: str
    control: str
    density: Fraction
    """Of the tickets."""
    tweaks: tuple[str, ...]
    settings: Settings
    runs: tuple[Subject, ...]

    @property
    def final(self) -> Fraction:
        """Mean share of the prunable weights that the final nets have: 1 after a re-dense training."""
        return sum((run.final for run in self.runs), Fraction(0)) / len(self.runs)

    @property
    def ended_otherwise(self) -> bool:
        """Whether the final nets have another density than their tickets."""
        return self.final != self.density

    @property
    def finite(self) -> tuple[Subject, ...]:
        """Those that did not diverge: a diverged run is counted, and averaged into nothing."""
        return tuple(run for run in self.runs if not run.diverged)

    @property
    def diverged(self) -> int:
        """How many did."""
        return len(self.runs) - len(self.finite)

    @property
    def tickets(self) -> int:
        """Different tickets behind the runs; 0 for dense nets."""
        return len({run.manifest.ticket for run in self.runs} - {"dense"})

    def values(self, metric: str) -> list[float]:
        """What was measured of the runs that stayed finite."""
        found = (run.value(metric) for run in self.finite)
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """Of the runs that stayed finite and measured it."""
        values = self.values(metric)
        return statistics.fmean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Sample standard deviation, from two runs on."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def equal(self, metric: str) -> bool:
        """Whether several runs measured the same value, so that their deviation, 0, tells nothing of chance."""
        values = self.values(metric)
        return len(values) > 1 and all_equal(values)


@dataclass(frozen=True)
class Compared:
    """A group, what sets it apart from the others of its kind, and how far it is from the one without tweaks."""

    group: Group
    changes: Mapping[str, str]
    paired: Paired | None
    """Over the seeds that both have; None without tweaks, without such a group, or without common seeds."""


def grouped(subjects: Iterable[Subject]) -> list[Group]:
    """Groups in the order of net, data, method, density (the densest first), tweaks, recipe."""
    alike: dict[Any, list[Subject]] = {}
    for run in subjects:
        key = (run.net, run.data, run.method, run.control, run.tweaks, tuple(sorted(run.settings.items())))
        alike.setdefault(key, []).append(run)
    groups = [group for runs in alike.values() for group in _by_density(runs)]
    return sorted(groups, key=_order)


def _by_density(runs: Sequence[Subject]) -> Iterable[Group]:
    ordered = sorted(runs, key=lambda run: run.density)
    begin = 0
    for end in range(1, len(ordered) + 1):
        if end < len(ordered) and ordered[end].density * (1 - CLOSE) <= ordered[end - 1].density:
            continue
        part = ordered[begin:end]
        first, begin = part[0], end
        density = sum((run.density for run in part), Fraction(0)) / len(part)
        yield Group(
            first.net, first.data, first.method, first.control, density, first.tweaks, first.settings, tuple(part)
        )  # fmt: skip


def _order(group: Group) -> tuple[Any, ...]:
    return (
        group.net,
        group.data,
        group.method != "dense",
        group.method,
        group.control,
        -group.density,
        place_of(group.tweaks),
        len(group.settings),
        sorted(group.settings.items()),
    )


def compare(groups: Sequence[Group], metric: str) -> list[Compared]:
    """Every group with what sets it apart and its paired difference (ours minus the one without tweaks).

    Args:
        groups: as `grouped` makes them.
        metric: as a run's manifest names it, such as test.accuracy; in its own unit.

    Raises:
        UsageError: no run has the metric; names what there is.
    """
    known = {name for group in groups for run in group.runs for name in run.known}
    if metric not in known:
        raise UsageError(f"no run measured {metric!r}; {whole_name(metric) or near_miss(metric, known)}")
    apart = zip(groups, changes(groups), strict=True)
    return [Compared(group, found, _paired(group, groups, metric)) for group, found in apart]


def _paired(group: Group, groups: Sequence[Group], metric: str) -> Paired | None:
    if not group.tweaks:
        return None
    plain = [other for other in groups if not other.tweaks and _plain_of(group, other)]
    if len(plain) != 1:
        return None
    ours, theirs = by_seeds(group, metric), by_seeds(plain[0], metric)
    common = sorted(ours.keys() & theirs.keys())
    return paired(
        {place: ours[seeds] for place, seeds in enumerate(common)},
        {place: theirs[seeds] for place, seeds in enumerate(common)},
    )


def _plain_of(group: Group, other: Group) -> bool:
    """Whether `other` is `group` without its tweaks."""
    near = abs(other.density - group.density) <= CLOSE * group.density
    ours = {key: value for key, value in group.settings.items() if not key.startswith("tweaks.")}
    kind = (other.net, other.data, other.method, other.control)
    return kind == (group.net, group.data, group.method, group.control) and near and ours == other.settings


def by_seeds(group: Group, metric: str) -> dict[tuple[int, int], float]:
    """The metric by (root, initialisation); seeds that several runs have are left out: they make no pair."""
    found: dict[tuple[int, int], list[float | None]] = {}
    for run in group.finite:
        found.setdefault(run.seeds, []).append(run.value(metric))
    alone = {seeds: values[0] for seeds, values in found.items() if len(values) == 1}
    return {seeds: value for seeds, value in alone.items() if value is not None}


def unit_of(metric: str) -> tuple[float, str]:
    """What a metric is multiplied with to be shown, and the sign behind it."""
    return (100.0, "%") if metric.endswith(SCALED) else (1.0, "")


def as_record(found: Compared, metric: str) -> dict[str, Any]:
    """For `--json`: numbers in the metric's own unit."""
    group, gap = found.group, found.paired
    return {
        "net": group.net,
        "data": group.data,
        "method": group.method,
        "control": group.control or None,
        "density": float(group.final),
        "ticket_density": None if group.method == "dense" else float(group.density),
        "tweaks": list(in_order(group.tweaks)),
        "changes": dict(found.changes),
        "n": len(group.values(metric)),
        "diverged": group.diverged,
        "tickets": group.tickets,
        "mean": group.mean(metric),
        "deviation": group.deviation(metric),
        "equal": group.equal(metric),
        "paired": gap and gap.record(),
        "runs": [str(run.folder) for run in group.runs],
    }
