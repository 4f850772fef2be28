"""A sweep's combinations beside each other: means over seeds, differences from one of them, cost. No torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.figures.paired import Paired
from ticketctl.figures.significance import Tested, difference, holm
from ticketctl.figures.swept import DENSE, DEPTHS, LOWER, METHOD, Combination, Swept, Trial
from ticketctl.plugins import plugins
from ticketctl.stages.grid_spec import CONTROL
from ticketctl.stages.measured import EXPLORED
from ticketctl.stages.sweep_costs import Cost
from ticketctl.stages.sweep_entries import Entries, Entry
from ticketctl.stages.sweep_labels import NONE

PLAIN = ("tweaks", "spend")
"""Axes whose `none` others are held against where nothing is said."""


def swept_of(whole: Entries, metric: str = "test.accuracy") -> Swept:
    """The sweep as figures take it: dense nets first, then as planned.

    Args:
        whole: all its places.
        metric: that is shown where none is named.
    """
    alike = combined(whole)
    found = [_combination(whole, mine) for mine in alike.values()]
    ordered = sorted(found, key=lambda one: not one.dense)
    return Swept(whole.plan.id, whole.plan.title, whole.axes, tuple(ordered), metric, is_lower)


def combined(whole: Entries) -> dict[tuple[str, ...], list[Entry]]:
    """The places of each combination of labels, one for each seed."""
    alike: dict[tuple[str, ...], list[Entry]] = {}
    for entry in whole.entries:
        alike.setdefault(tuple(entry.labels.values()), []).append(entry)
    return alike


def _combination(whole: Entries, mine: Sequence[Entry]) -> Combination:
    trials = tuple(
        Trial(
            entry.seed, entry.state, entry.why, entry.run.manifest.run_id if entry.run else "",
            partial(whole.value, entry), entry.cost.epochs, entry.cost.draw_epochs,
        )
        for entry in mine
    )  # fmt: skip
    recipe = mine[0].use.draw.recipe
    net, data = recipe.model.name, whole.called[recipe.data.name]
    return Combination(dict(mine[0].labels), net, data, mine[0].dense, trials)


def is_lower(metric: str) -> bool:
    """Whether less of it is better: as the plug-in says that measures it, else by how it is called."""
    kind, _, row = metric.partition(".")
    if kind in ("audit", "ratio", *EXPLORED):
        for one in (*plugins("metrics").values(), *plugins("curves").values()):
            better: Mapping[str, str] = one.literals.get("BETTER", {})
            if row in better:
                return better[row] == "lower"
    return metric.endswith(LOWER)


# --------------------------------------------------------------------------------------------------------- reference


@dataclass(frozen=True)
class Reference:
    """What combinations are held against: the one with this value on this axis, and with theirs on the others."""

    axis: str
    value: str

    def __str__(self) -> str:
        return DENSE if self.value == DENSE else f"{self.axis}={self.value}"

    def of(self, one: Combination, swept: Swept) -> Combination | None:
        """Of a combination; None where it is the reference itself, or the sweep has none."""
        if (one.dense and self.value == DENSE) or one.labels.get(self.axis) == self.value:
            return None
        free = (METHOD, CONTROL, *DEPTHS) if self.value == DENSE else (self.axis,)
        fit = [
            other
            for other in swept.combinations
            if (other.dense if self.value == DENSE else other.labels[self.axis] == self.value)
            and all(other.labels[axis] == label for axis, label in one.labels.items() if axis not in free)
        ]
        return fit[0] if len(fit) == 1 else None


def reference_of(text: str | None, swept: Swept) -> Reference | None:
    """What `--against` says: AXIS=VALUE, or `dense`; None: no tweaks, else the plain spend, else the dense net.

    Raises:
        UsageError: no such axis, or nothing of the sweep has that value.
    """
    if text is None:
        return _usual(swept)
    if text == DENSE:
        if not any(one.dense for one in swept.combinations):
            raise UsageError("--against dense: the sweep has no dense net (its grid says dense = false)")
        return Reference(METHOD, DENSE)
    axis, sign, value = text.partition("=")
    if not sign or axis not in swept.axes:
        hint = near_miss(axis, [*swept.axes, DENSE])
        raise UsageError(f"--against {text!r}: write AXIS=VALUE, as method=imp, or dense; {hint}")
    known = swept.values(axis, dense=True)
    if (value or NONE) not in known:
        raise UsageError(f"--against {text!r}: {near_miss(value, known)}")
    return Reference(axis, value or NONE)


def _usual(swept: Swept) -> Reference | None:
    plain = (axis for axis in PLAIN if axis in swept.varying and NONE in swept.values(axis, dense=True))
    dense = any(one.dense for one in swept.combinations)
    axis = next(plain, None)
    return Reference(axis, NONE) if axis else Reference(METHOD, DENSE) if dense else None


# -------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class Row:
    """A combination with its mean and how far it is from its reference."""

    combination: Combination
    mean: Paired | None
    tested: Tested | None
    """Against the reference; None where there is none, or no common seed."""
    cost: Cost
    """Means over the runs that are there."""
    runs: tuple[str, ...]
    """Folders in the workspace."""


def rows_of(whole: Entries, swept: Swept, reference: Reference | None, metric: str) -> list[Row]:
    """Every combination; the p of the t-tests are corrected for all of them together, by Holm.

    Args:
        whole: all places.
        swept: the same as combinations.
        reference: as `reference_of` reads it.
        metric: in its own unit.
    """
    mine = combined(whole)
    found = []
    for one in swept.combinations:
        other = reference.of(one, swept) if reference else None
        tested = difference(one.values(metric), other.values(metric)) if other else None
        entries = mine[tuple(one.labels.values())]
        folders = tuple(
            entry.run.folder.relative_to(whole.plan.workspace).as_posix() for entry in entries if entry.run
        )
        found.append(Row(one, one.mean(metric), tested, _mean_cost(entries), folders))
    corrected = holm([row.tested.student if row.tested else None for row in found])
    return [
        replace(row, tested=replace(row.tested, holm=p)) if row.tested else row
        for row, p in zip(found, corrected, strict=True)
    ]


def _mean_cost(entries: Iterable[Entry]) -> Cost:
    """Of what is done: a run that diverged stopped early, and is no bargain."""
    costs = [entry.cost for entry in entries if entry.state == "done"]

    def mean(name: str) -> float | None:
        known = [float(value) for one in costs if (value := getattr(one, name)) is not None]
        return statistics.fmean(known) if known else None

    devices = ", ".join(dict.fromkeys(one.device for one in costs if one.device))
    return Cost(
        mean("epochs"), None, None, mean("seconds"), devices, mean("draw_epochs"), mean("draw_seconds")
    )


def as_record(row: Row, metric: str) -> dict[str, Any]:
    """For `--json`: numbers in the metric's own unit."""
    one, mean, tested, cost = row.combination, row.mean, row.tested, row.cost
    return {
        "labels": dict(one.labels),
        "dense": one.dense,
        "n": len(one.values(metric)),
        "diverged": one.diverged,
        "missing": one.missing(metric),
        "why": [f"seed {trial.seed}: {trial.why}" for trial in one.trials if trial.why],
        "mean": mean and mean.mean,
        "low": mean and mean.low,
        "high": mean and mean.high,
        "equal": bool(mean and mean.equal),
        "values": {str(seed): value for seed, value in one.values(metric).items()},
        "paired": tested and tested.gap.record(),
        "p": tested and tested.student,
        "p_holm": tested and tested.holm,
        "p_wilcoxon": tested and tested.wilcoxon,
        "epochs": cost.epochs,
        "draw_epochs": cost.draw_epochs,
        "seconds": cost.seconds,
        "draw_seconds": cost.draw_seconds,
        "device": cost.device,
        "runs": list(row.runs),
    }
